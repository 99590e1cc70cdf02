"""The studio's page in a real browser: what is set is seen, what is seen is made, and it can be used by everybody."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")
playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST: pip install playwright (extra `test`)")

from anomgen.banks.folder import Bank
from anomgen.dataset.png import decode_png, encode_png
from anomgen.dataset.reader import Dataset
from anomgen.score.entries import BASELINES

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from studio_client import served
from studio_pictures import browser_path, shown

BROWSER = browser_path()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="NO BROWSER TEST: install chromium, the page is not tried")
EXPECTED = {200, 303, 422}
"""Answers without a fault; 422 tells of a wrong value."""
SLOW = 30_000
"""Milliseconds that a busy machine may take for one answer."""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, photos, tmp_path):
    """The page, opened on the photos; what goes wrong in it fails the test."""
    faults = []
    with served(photos, tmp_path / "out") as address:
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        key = json.dumps(f"anomgen-studio {photos}")
        context.add_init_script(f'localStorage.getItem({key}) ?? localStorage.setItem({key}, \'{{"base": "perlin"}}\')')
        opened = context.new_page()
        opened.set_default_timeout(SLOW)
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("response", lambda answer: answer.status not in EXPECTED and faults.append(answer.url))
        opened.goto(address)
        opened.address = address
        shown(opened)
        yield opened
        context.close()
    assert faults == []


def move(slider, value):
    slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value)
    slider.evaluate("(e) => e.dispatchEvent(new Event('change', { bubbles: true }))")


def answered(page, work):
    """Do something that sets the recipe and wait until its samples are shown."""
    with page.expect_response("**/api/rows"):
        work()
    shown(page)


def pixels(page, index, view):
    """Return a picture as the page gets it, at its own size."""
    address = page.locator(".tile img[src]").first.get_attribute("src")
    recipe = address.split("/")[2]
    told = page.request.get(f"{page.address.split('?')[0]}row/{recipe}/{index}/{view}.png")
    return decode_png(told.body())


def test_what_is_set_is_seen_and_what_is_seen_is_made_bit_for_bit(page, tmp_path):
    """Law: open, move a slider, save, make: the dataset holds what the page showed."""
    before = pixels(page, 0, "image")
    answered(page, lambda: move(page.get_by_label("opacity, low", exact=True), 0.85))
    answered(page, lambda: set_figure(page, "Images", "size", "64"))
    assert not np.array_equal(pixels(page, 0, "image"), before)
    rows = [int(re.search(r"row (\d+)", text)[1]) for text in page.locator(".tile figcaption").all_inner_texts()]
    seen = {k: (pixels(page, k, "image"), pixels(page, k, "mask")) for k in rows if k < 12}

    page.get_by_role("button", name="Save recipe").click()
    page.get_by_label("Name", exact=True).last.fill("bold")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text(re.compile("saved: .*bold.yaml")).wait_for()
    assert "opacity_range" in (tmp_path / "out" / "bold.yaml").read_text()

    page.get_by_role("button", name="Make dataset").click()
    page.locator("#ask-name").fill("made")
    page.locator("#ask-rows").fill("12")
    page.get_by_role("button", name="Make it").click()
    page.locator(".item.finished button.name", has_text="made").wait_for()
    dataset = Dataset(tmp_path / "out" / "made")
    assert len(dataset) == 12 and len(seen) >= 6
    for k, (image, mask) in seen.items():
        stored = dataset.row(k)
        assert np.array_equal(stored["image"], image) and np.array_equal(stored["mask"], mask[..., 0] > 127)
    page.locator("#datasets .tile img[src]").nth(11).wait_for()
    page.get_by_label("Type", exact=True).select_option("perlin")
    page.get_by_text("6 of 12 rows").wait_for()


def set_figure(page, section, label, value):
    """Give a number to a key; its section is opened first."""
    part = page.locator(f"details[data-title={section}]")
    if part.get_attribute("open") is None:
        part.locator("summary").click()
    field = part.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Enter")


def test_a_wrong_value_says_why_and_undo_takes_it_back(page):
    answered(page, lambda: move(page.get_by_label("opacity, low", exact=True), 0.5))
    field = page.get_by_label("opacity, low in figures")
    field.fill("7")
    field.press("Enter")
    page.locator(".control.wrong .problem", has_text="empty").wait_for()
    assert page.get_by_role("button", name="Make dataset").is_disabled()
    page.get_by_role("button", name="Undo").click()
    page.locator(".control.wrong").wait_for(state="detached")
    assert field.input_value() == "0.5"
    page.keyboard.press("Control+z")
    page.wait_for_timeout(200)
    assert field.input_value() == "0.2"


def test_what_the_material_cannot_carry_is_said_and_mended_and_undo_survives_a_reload(page):
    answered(page, lambda: page.locator("#base").select_option("spot"))
    answered(page, lambda: set_figure(page, "Anomalies", "visibility, high in figures", "20"))
    field = page.get_by_label("visibility, low in figures")
    field.fill("20")
    with page.expect_response("**/api/rows"):
        field.press("Enter")
    page.get_by_text("most defects cannot be more visible than about").first.wait_for()
    page.get_by_role("button", name="Make dataset").click()
    page.locator("#ask").get_by_text("stops at the first row").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.reload()
    page.locator("#look .faint button").wait_for()
    assert field.input_value() == "20"
    page.get_by_role("button", name="Undo").click()
    page.locator("#look .faint").wait_for(state="hidden")
    assert field.input_value() == "0.9"


def test_settings_are_those_of_the_folder_and_what_is_refused_is_dropped(page, photos, tmp_path):
    before = {"base": "transplant", "changes": {"generator.bank": str(tmp_path / "elsewhere"), "seed": 7}}
    page.evaluate("([key, text]) => localStorage.setItem(key, text)", [f"anomgen-studio {photos}", json.dumps(before)])
    page.reload()
    page.get_by_text("some settings of last time were dropped").wait_for()
    page.get_by_text("This recipe needs real defects").wait_for()
    kept = json.loads(page.evaluate("(key) => localStorage.getItem(key)", f"anomgen-studio {photos}"))
    assert kept["changes"] == {"seed": 7}


def test_the_grid_and_the_viewer_are_used_by_keys_alone(page):
    first = page.locator(".tile .number").first.inner_text()
    page.locator("#main").focus()
    with page.expect_response("**/api/rows"):
        page.keyboard.press("n")
    shown(page)
    assert page.locator(".tile .number").first.inner_text() != first
    page.keyboard.press("p")
    page.locator(".tile .number", has_text=re.compile(f"^{first}$")).wait_for()
    page.keyboard.press("m")
    page.locator(".tile img[src*=mask]").first.wait_for()
    page.locator(".tile .picture").first.focus()
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer[open]")
    viewer.wait_for()
    viewer.get_by_text("1 of").wait_for()
    page.keyboard.press("ArrowRight")
    viewer.get_by_text("2 of").wait_for()
    page.keyboard.press("+")
    page.keyboard.press("b")
    assert page.locator("#viewer .zoom.divided").count() == 1
    page.keyboard.press("Escape")
    viewer.wait_for(state="detached")
    page.keyboard.press("3")
    page.locator(".easel img[src]").first.wait_for()


def painted(page, at, to):
    """Drag over the easel that is shown, from one place to another, given as shares of its sides."""
    easel = page.locator("#draw .mode:not([hidden]) .easel")
    easel.locator("img[src]").wait_for()
    box = easel.bounding_box()
    page.mouse.move(box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + to[0] * box["width"], box["y"] + to[1] * box["height"], steps=5)
    page.mouse.up()


@pytest.mark.parametrize(
    ("use", "key"), [("Where defects may be", "foreground.roi"), ("How often", "generator.weights")]
)
def test_a_region_is_painted_saved_and_used(page, photos, tmp_path, use, key):
    answered(page, lambda: page.locator("#base").select_option("defects"))
    page.get_by_role("tab", name="Draw").click()
    painted(page, (0.1, 0.5), (0.4, 0.5))
    page.get_by_role("radio", name=use).first.check()
    page.get_by_role("button", name="Save the mask").click()
    page.locator("#ask-name").fill("left")
    with page.expect_response("**/api/recipe"):
        page.get_by_role("button", name="Save", exact=True).click()
    painted_ = decode_png((tmp_path / "out" / "left.png").read_bytes())[..., 0] > 0
    columns = np.nonzero(painted_)[1] / painted_.shape[1]
    assert columns.min() < 0.1 and 0.35 < columns.max() < 0.55
    kept = f"() => JSON.parse(localStorage.getItem({f'anomgen-studio {photos}'!r})).changes[{key!r}]"
    deadline = time.monotonic() + 30
    while page.evaluate(kept) != str(tmp_path / "out" / "left.png"):
        assert time.monotonic() < deadline, "the page does not keep the mask's path"
        page.wait_for_timeout(50)
    page.reload()
    shown(page)
    page.get_by_role("tab", name="Draw").click()
    assert page.get_by_role("button", name="Save the mask").is_visible()


def test_a_real_defect_is_marked_put_into_a_bank_and_on_the_photos(page, tmp_path):
    picture = np.full((64, 64, 3), 120, np.uint8)
    picture[20:40, 20:40] = 200
    (tmp_path / "bad.png").write_bytes(encode_png(picture))
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Real defects").click()
    page.locator("#draw input[type=file]").set_input_files(tmp_path / "bad.png")
    painted(page, (0.45, 0.45), (0.45, 0.45))
    page.get_by_label("What it is").fill("stain")
    page.locator("button", has_text="Put into the bank").and_(page.locator(":enabled")).click()
    page.get_by_text("bank · 1 defect").wait_for()
    (own,) = Bank(tmp_path / "out" / "bank").defects()
    assert own.defect_type == "stain" and own.mask[22:38, 22:38].all() and own.mask.sum() <= 400
    assert page.evaluate("localStorage.length") <= 2  # what is marked is the studio's, not this browser's
    page.reload()  # neither the picture nor what is marked on it is lost with the page
    shown(page)
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Real defects").click()
    page.locator("button", has_text="Put into the bank").and_(page.locator(":enabled")).wait_for()
    answered(page, lambda: page.get_by_role("button", name="Put them on my photos").click())
    page.locator(".tile .kind", has_text="stain").first.wait_for()


def test_a_recipe_without_its_bank_says_what_to_do(page):
    page.locator("#base").select_option("transplant")
    page.get_by_text("This recipe needs real defects").wait_for()
    page.locator("#look").get_by_role("button", name="Mark real defects").click()
    page.get_by_role("button", name="Open pictures…").wait_for()
    page.get_by_role("tab", name="Look").click()
    answered(page, lambda: page.locator("#base").select_option("nsa"))


def test_a_recipe_without_its_model_gives_the_command_that_trains_one_for_these_photos(page, photos, tmp_path):
    page.locator("#base").select_option("sdas")
    page.get_by_text("This recipe needs a trained model").wait_for()
    command = page.locator("#look .command code").inner_text()
    assert command == f"anomgen train sdas --source {photos} -o {tmp_path / 'out'}/sdas-model"
    assert page.get_by_role("button", name=re.compile("MODEL")).count() == 0
    answered(page, lambda: page.locator("#base").select_option("mix"))
    page.get_by_text("NSA: weight").wait_for()
    page.locator(".tile .kind", has_text="NSA").first.wait_for()


def test_the_bar_holds_everything_while_photos_are_read(page):
    page.evaluate(
        """() => { const told = document.getElementById('reading'); told.hidden = false;
            told.lastElementChild.textContent = 'looking at the images to choose the foreground · 9,999 of 10,000'; }"""
    )
    assert page.locator("#make").bounding_box()["x"] + page.locator("#make").bounding_box()["width"] <= 1280


def test_the_object_is_seen_and_refined(page):
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Object", exact=True).click()
    page.locator(".objects .tile img[src]").nth(7).wait_for()
    rim = page.locator(".objects .rim").first
    for work in (
        lambda: page.locator("#draw").get_by_role("radio", name="background color").click(),
        lambda: move(page.locator("#draw").get_by_label("tolerance, slider"), 3),
    ):
        before = rim.get_attribute("d")
        work()
        playwright.expect(rim).not_to_have_attribute("d", before)


TABS = ["Look", "Compare", "Draw", "Datasets", "Inspect"]


def faults(page):
    """Return what axe-core calls serious or critical: rule, and the elements."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="NO AXE: pip install axe-playwright-python"
    )
    page.evaluate(
        "Promise.all(document.getAnimations().map((one) => one.effect.getTiming().iterations === 1 && one.finished))"
    )
    found = axe.Axe().run(page).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], node["html"][:200], node["failureSummary"]) for one in bad for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_either_mode(page, tmp_path, scheme):
    (tmp_path / "bad.png").write_bytes(encode_png(np.full((64, 64, 3), 120, np.uint8)))
    page.emulate_media(color_scheme=scheme)
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
        assert faults(page) == [], tab
    page.get_by_role("tab", name="Draw").click()
    for part in ("Object", "Real defects"):
        page.get_by_role("button", name=part, exact=True).click()
        page.wait_for_timeout(200)
        assert faults(page) == [], part
    page.locator("#draw input[type=file]").set_input_files(tmp_path / "bad.png")
    page.locator("#draw .mode:not([hidden]) .easel img[src]").wait_for()
    assert faults(page) == [], "marking"
    page.get_by_role("tab", name="Look").click()
    page.locator(".tile .picture").first.click()
    page.locator("#viewer[open] dl dt").first.wait_for()
    assert faults(page) == [], "one sample"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make dataset").click()
    assert faults(page) == [], "a question"


def test_everything_that_can_be_used_has_a_name_and_a_phone_shows_all_of_it(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('main button, main input, main select, header button')]
                .filter((e) => e.checkVisibility() && !(e.textContent.trim() || e.getAttribute('aria-label')
                    || e.labels?.length || e.getAttribute('aria-labelledby'))).map((e) => e.outerHTML)"""
        )
        assert nameless == [], tab
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        small = page.evaluate(
            """() => [...document.querySelectorAll('main button, header button')].filter((e) => e.checkVisibility())
                .filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.textContent)"""
        )
        assert small == [], tab


def test_a_name_turns_no_text(page):
    drawn = (
        "import('/static/dom.js').then(({ h }) => h('b', { title: 'x\\u202ey' }, 'a\\u202eb\\x1b', h('i')).outerHTML)"
    )
    assert page.evaluate(drawn) == r'<b title="x\u202ey">a\u202eb\u001b<i></i></b>'


def test_what_a_comparison_takes_counts_what_every_recipe_is_held_against(page):
    asked = "({ effort }) => effort({ recipes: ['none', 'perlin'], seeds: '2', steps: '50' })"
    assert page.evaluate(f"import('/static/inspect.js').then({asked})").startswith("6 trainings, about 2 min ")
    assert set(BASELINES) == {"none", "boxes"}


def test_an_image_is_chosen_by_its_name_for_every_recipe(page):
    page.get_by_role("tab", name="Compare").click()
    chosen = page.get_by_label("Image", exact=True)
    playwright.expect(page.locator("#compare-images option")).to_have_count(12)
    name = page.locator("#compare-images option").nth(5).get_attribute("value")
    assert chosen.input_value() != name
    chosen.fill(name)

    rows = []

    def tell(answer):
        if answer.url.endswith("/api/rows") and answer.request.post_data_json["indices"] != [0]:
            rows.extend(answer.json()["rows"])

    page.on("response", tell)
    chosen.press("Enter")
    for _ in range(100):  # recipes that need an outline or a model have errors here
        drawn = [row for row in rows if "error" not in row]
        if len(drawn) >= 3:
            break
        page.wait_for_timeout(200)
    page.remove_listener("response", tell)
    assert len(drawn) >= 3 and all(row["source_id"] == name or row["moved"] for row in drawn)
    assert any(row["source_id"] == name for row in drawn)


def test_settings_on_a_phone_are_at_hand_while_the_samples_are_seen(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.locator("#base").bounding_box()["y"] < page.locator(".tile").first.bounding_box()["y"] < 844
    field = page.get_by_label("opacity, low in figures")
    field.wait_for(state="hidden")
    page.get_by_role("button", name="Settings").click()
    field.wait_for()
    page.get_by_role("button", name="Done").click()
    field.wait_for(state="hidden")
