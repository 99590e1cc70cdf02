"""The studio's answers: its rows are those of `make`, what it refuses, what it writes."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the studio is an extra")

from studio_client import SMALL, chosen, opened, picture, refused

from anomgen.dataset.png import encode_png
from anomgen.dataset.reader import Dataset
from anomgen.errors import UsageError
from anomgen.making.make import make
from anomgen.making.recipe import bundled_recipes, load_recipe
from anomgen.studio.app import name_of_folder
from anomgen.studio.controls import sections_of
from anomgen.studio.serve import studio as serve

# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["perlin", "defects", "mix"])
def test_row_k_of_the_page_is_row_k_of_what_its_command_makes(studio, out, base):
    """Law: what is seen is what is made, bit for bit."""
    changes = {"seed": 5, "foreground": "otsu"}
    told = chosen(studio, base, **changes)
    words = shlex.split(told["command"])
    recipe, source, where = (words[words.index(option) + 1] for option in ("--recipe", "--source", "-o"))
    overrides = [words[k + 1] for k, word in enumerate(words) if word == "--set"]
    dataset = Dataset(make(recipe, where, source=source, overrides=overrides).path)
    assert Path(where) == out / base and len(dataset) == 8
    rows = studio.post("/api/rows", json={"id": told["id"], "indices": list(range(8))}).json()["rows"]
    for k, row in enumerate(rows):
        stored = dataset.row(k)
        assert (row["index"], row["defect_type"], row["params"]) == (k, stored["defect_type"], stored["params"])
        assert np.isclose(row["severity"], stored["severity"], rtol=1e-6) and row["boxes"] == stored["boxes"]
        address = f"/row/{told['id']}/{k}"
        assert np.array_equal(picture(studio, f"{address}/image.png"), stored["image"])
        assert np.array_equal(picture(studio, f"{address}/mask.png")[..., 0] > 127, stored["mask"])


def test_the_next_anomalous_rows_are_those_of_the_dataset(studio):
    told = chosen(studio, anomaly_ratio=0.25, count=12)
    rows = studio.post("/api/rows", json={"id": told["id"], "start": 3, "count": 2}).json()["rows"]
    last = studio.post("/api/rows", json={"id": told["id"], "start": 9, "count": 2}).json()["rows"]
    assert [row["index"] for row in last] == [9]  # the dataset ends
    assert [row["index"] for row in rows] == [5, 9] and all(row["label"] == 1 for row in rows)
    normal = chosen(studio, anomaly_ratio=0.0)
    rows = studio.post("/api/rows", json={"id": normal["id"], "start": 3, "count": 2}).json()["rows"]
    assert [row["index"] for row in rows] == [3, 4] and not any(row["outline"] for row in rows)


def test_the_outline_goes_around_the_mask(studio):
    told = chosen(studio)
    row = studio.post("/api/rows", json={"id": told["id"], "count": 1}).json()["rows"][0]
    points = [pair.split() for part in row["outline"].split("M")[1:] for pair in [part.rstrip("Z")]]
    flat = np.array([float(number) for part in points for number in part]).reshape(-1, 2)
    mask = picture(studio, f"/row/{told['id']}/{row['index']}/mask.png")[..., 0] > 127
    x, y = np.floor(flat).astype(int).T
    assert mask[y, x].all()
    assert [x.min(), y.min()] == [np.nonzero(mask)[1].min(), np.nonzero(mask)[0].min()]


def test_thumbnails_are_no_larger_than_asked_for_and_views_are_known(studio):
    told = chosen(studio, **{"source.size": 96})
    address = f"/row/{told['id']}/0"
    assert picture(studio, f"{address}/difference.png?side=32").shape == (32, 32, 3)
    assert picture(studio, f"{address}/normal.png?side=5000").shape == (96, 96, 3)
    refused(studio.get(f"{address}/secret.png"), "no picture 'secret'")
    refused(studio.get(f"{address}/image.png?side=1e9"), "no number", 422)
    refused(studio.get("/row/unknown/0/image.png"), "choose the recipe again", 410)


@pytest.mark.parametrize(
    "address", ["row/x/{}/image.png", "normal/x/{}.png", "api/normal/x/{}", "bank/x/{}.png", "api/dataset/x/{}"]
)
def test_an_endless_number_of_a_row_is_in_no_address(studio, address):
    for index in ("1" * 5000, "1" * 13, "-1"):
        assert studio.get(f"/{address.format(index)}").status_code == 404


def test_a_row_that_cannot_be_drawn_says_why_and_the_others_come(studio):
    told = chosen(studio, "defects", **{"generator.kinds": ["chipped_edge"], "foreground": "none"})
    row = studio.post("/api/rows", json={"id": told["id"], "indices": [0, 1]}).json()["rows"]
    assert "lies on an object's outline" in row[0]["error"]


def test_what_was_measured_is_told(studio):
    told = chosen(studio, "nsa")
    resolved = studio.post("/api/rows", json={"id": told["id"], "count": 1, "resolved": True}).json()["resolved"]
    assert resolved["images"] == 12 and resolved["source"] == {"range": [0, 255]}
    assert isinstance(resolved["generator"]["height_range"], list)


# --- recipes --------------------------------------------------------------------------------------------------------


def test_the_start_says_what_there_is_and_no_path_of_the_photos(studio, photos):
    told = studio.get("/api/start").json()
    assert told["photos"] == "photos" and set(told["recipes"]) == set(bundled_recipes()) and told["saved"] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/screw/train/good", "screw/train/good"),
        ("photos", "photos"),
        ("/data/leaf", "leaf"),
        ("good", "good"),
        ("owner/name", "name"),
        ("/", "/"),
    ],
)
def test_photos_are_called_by_the_last_folder_that_says_what_they_show(path, name):
    assert name_of_folder(path) == name


@pytest.mark.parametrize(
    ("base", "about", "papers"),
    [("perlin", "the first to try", 1), ("crack", "A jagged line", 0), ("mix", "for normal images alone: several", 3)],
)
def test_a_recipe_says_what_it_is_for_and_its_papers(studio, base, about, papers):
    told = chosen(studio, base)
    assert told["about"].startswith(about) and len(told["papers"]) == papers


def test_a_wrong_value_names_its_key(studio):
    answer = studio.post("/api/recipe", json={"base": "perlin", "changes": {"generator.opacity_range": [0.9, 0.1]}})
    (problem,) = answer.json()["problems"]
    assert answer.status_code == 422 and problem["key"] == "generator.opacity_range" and "empty" in problem["text"]


@pytest.mark.parametrize("base", ["../../etc/passwd", "nothing", "perlin.yaml", "/tmp/x.yaml", ""])
def test_a_recipe_is_bundled_or_saved_here(studio, base):
    refused(studio.post("/api/recipe", json={"base": base, "changes": {}}), "is bundled, or saved")


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("perlin", {"source": {"kind": "folder", "path": "/etc"}}),
        ("defects", {"generator.weights": "/etc/hostname"}),
        ("perlin", {"generator.texture": {"kind": "folder", "path": "OUT/../../elsewhere"}}),
        ("perlin", {"foreground": {"method": "folder", "path": "/etc"}}),
        ("mix", {"generator.parts.1.texture": {"kind": "folder", "path": "/etc"}}),
    ],
)
def test_nothing_is_read_outside_the_folders_that_were_opened(studio, out, base, changes):
    changes = {key: _within(value, out) for key, value in changes.items()}
    refused(studio.post("/api/recipe", json={"base": base, "changes": changes}), "not in a folder that was opened", 422)


def _within(value, out):
    return {key: inner.replace("OUT", str(out)) for key, inner in value.items()} if isinstance(value, dict) else value


def test_a_link_out_of_an_opened_folder_leads_nowhere(studio, out, tmp_path):
    out.mkdir()
    (tmp_path / "secret").mkdir()
    (out / "link").symlink_to(tmp_path / "secret")
    changes = {"generator.texture": {"kind": "folder", "path": str(out / "link")}}
    refused(
        studio.post("/api/recipe", json={"base": "perlin", "changes": changes}), "not in a folder that was opened", 422
    )


def test_a_saved_recipe_is_the_one_that_was_set_and_can_be_gone_on_with(studio, photos, out):
    told = chosen(studio, **{"generator.opacity_range": [0.3, 0.4]})
    saved = studio.post("/api/save", json={"id": told["id"], "name": "mine"}).json()
    assert saved == {"path": str(out / "mine.yaml"), "saved": ["mine.yaml"]}
    overrides = {**SMALL, "generator.opacity_range": [0.3, 0.4], "name": "mine"}
    assert load_recipe(str(out / "mine.yaml")) == load_recipe("perlin", source=photos, overrides=overrides)
    assert chosen(studio, "mine.yaml")["name"] == "mine"
    refused(studio.post("/api/save", json={"id": told["id"], "name": "mine"}), "is there already")
    assert studio.post("/api/save", json={"id": told["id"], "name": "mine", "overwrite": True}).status_code == 200


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "<script>", "x" * 200, "a\x00b"])
def test_what_is_no_name_is_written_nowhere(studio, out, name):
    told = chosen(studio)
    mask = encode_png(np.zeros((8, 8), np.uint8))
    for answer in (
        studio.post("/api/save", json={"id": told["id"], "name": name}),
        studio.post("/api/make", json={"id": told["id"], "name": name}),
        studio.post("/api/mask", params={"name": name}, content=mask),
    ):
        refused(answer, "is no name")
    assert not out.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"base": 3, "changes": {}}', b"[" * 100_000])
def test_a_question_that_is_none_is_refused(studio, body):
    assert studio.post("/api/recipe", content=body).status_code == (422 if b"base" in body else 400)


@pytest.mark.parametrize(
    "asked",
    [{"start": 10**20, "count": -5}, {"count": True}, {"indices": [0, True]}, {"indices": [-1]}, {"indices": "01"}],
)
def test_a_row_is_a_whole_number_from_0(studio, asked):
    name = "count" if "count" in asked else "indices"
    refused(studio.post("/api/rows", json={"id": chosen(studio)["id"], **asked}), f"{name}: a ", 422)
    refused(studio.post("/api/replay", json={"name": "d", "index": -1}), "index: a whole number is wanted", 422)


# --- controls -------------------------------------------------------------------------------------------------------


def loadable():
    from anomgen.errors import RecipeError

    for name in bundled_recipes():
        try:
            yield load_recipe(name)
        except RecipeError:  # it needs a trained model
            continue


def test_every_key_of_every_recipe_has_a_control_that_shows_its_value():
    for recipe in loadable():
        values = recipe.as_dict()
        shown = {control["key"]: control for section in sections_of(recipe) for control in section["controls"]}
        assert set(values) - {"anomgen", "source", "generator", "foreground"} <= set(shown)
        for part in ("generator", "source"):
            for key in set(values[part]) - {"kind", "parts", "path"}:
                control = shown[f"{part}.{key}"]
                value = values[part][key]
                assert control["value"] == (value["kind"] if key == "texture" and value else value), key
                assert control["help"], key
        for control in shown.values():  # in words for who inspects, not for who writes YAML
            assert not re.search(r"\b(null|mapping|YAML)\b|[\[{]", control["help"]), control


def test_a_slider_holds_the_value_and_the_bounds_of_the_schema():
    for recipe in loadable():
        for control in (control for section in sections_of(recipe) for control in section["controls"]):
            if control["type"] in ("range", "number"):
                value = control["value"] if isinstance(control["value"], list) else [control["value"]]
                for number in (number for number in value if isinstance(number, int | float)):
                    assert control["low"] <= number <= control["high"], control
                assert control["step"] > 0 and control["low"] < control["high"]
    keys = {
        control["key"]: control for section in sections_of(load_recipe("perlin")) for control in section["controls"]
    }
    assert (keys["generator.opacity_range"]["low"], keys["generator.opacity_range"]["high"]) == (0, 1)
    assert keys["foreground.method"]["replaces"] == "foreground"
    photos = sections_of(load_recipe("perlin", source={"kind": "folder", "path": "photos"}))
    values = next(one for section in photos for one in section["controls"] if one["key"] == "source.range")
    assert (values["type"], values["off"], values["low"], values["high"]) == ("range", "auto", 0, 65535)
    nsa = {control["key"]: control for section in sections_of(load_recipe("nsa")) for control in section["controls"]}
    assert nsa["generator.height_range"]["off"] == "auto" and nsa["generator.height_range"]["type"] == "range"


# --- drawing --------------------------------------------------------------------------------------------------------


def test_a_painted_mask_decides_where_defects_lie(studio, out):
    painted = np.zeros((48, 48, 3), np.uint8)
    painted[:, 24:] = 255
    of_canvas = cv2.imencode(".png", np.dstack([painted, np.full((48, 48), 255, np.uint8)]))[1].tobytes()
    answer = studio.post("/api/mask", params={"name": "right"}, content=of_canvas).json()
    assert answer["path"] == str(out / "right.png")
    assert np.array_equal(cv2.imread(answer["path"], cv2.IMREAD_UNCHANGED), painted[..., 0])
    told = chosen(studio, "defects", **{"generator.weights": answer["path"], "generator.kinds": ["spot"]})
    for index in (0, 2, 4, 6):
        mask = picture(studio, f"/row/{told['id']}/{index}/mask.png")[..., 0] > 127
        assert mask.any() and np.nonzero(mask)[1].mean() > 22


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
def test_what_is_no_picture_is_no_mask(studio, out, content):
    answer = studio.post("/api/mask", params={"name": "m"}, content=content)
    assert answer.status_code == 400 and not (out / "m.png").exists()


def test_normal_images_are_shown_with_their_object(studio):
    told = chosen(studio, foreground="otsu")
    about = studio.get(f"/api/normal/{told['id']}/0").json()
    assert about["source_id"].endswith(".png") and about["height"] == 48 and about["outline"].startswith("M")
    assert picture(studio, f"/normal/{told['id']}/0.png").shape == (48, 48, 3)
    half = np.zeros((48, 48, 3), np.uint8)
    half[:, 24:] = 255
    path = studio.post("/api/mask", params={"name": "half"}, content=encode_png(half)).json()["path"]
    told = chosen(studio, **{"foreground.method": "otsu", "foreground.roi": path})
    painted = studio.get(f"/api/normal/{told['id']}/0").json()
    assert (painted["outline"], painted["area"]) == (about["outline"], about["area"])  # the object stays whole
    assert about["region"] is None and painted["region"].startswith("M")
    assert 0 < painted["allowed"] < painted["area"] and painted["allowed"] <= 0.5
    refused(studio.get(f"/api/normal/{told['id']}/12"), "there are 12")


def test_names_of_files_are_texts_and_never_markup(photos, out):
    strange = photos / "<img src=x onerror=alert(1)>.png"
    next(photos.rglob("*.png")).rename(strange)
    with opened(photos, out) as client:
        told = chosen(client)
        names = [client.get(f"/api/normal/{told['id']}/{k}").json()["source_id"] for k in range(12)]
    assert strange.name in names
    for script in (Path(__file__).parent.parent / "anomgen" / "studio" / "static").glob("*.js"):
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in script.read_text(encoding="utf-8"), script.name


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"photos": "gone"}, "there is no such folder"),
        ({"opened": ["gone"]}, "--open gone"),
        ({"host": "example.com"}, "cannot listen on example.com|example.com"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_opened_is_said_at_once(options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=text):
        serve(**options, browser=False, tell=lambda _: None)


def test_a_studio_for_the_network_tells_an_address_that_others_can_open(tmp_path, monkeypatch):
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    monkeypatch.setattr("anomgen.studio.serve.own_address", lambda _: "192.0.2.7")
    told = []
    with pytest.warns(UserWarning, match="opens this studio to the network"):
        serve(host="0.0.0.0", out=tmp_path, browser=False, tell=told.append)
    here, others = told
    assert others == "from other machines: " + here.replace("127.0.0.1", "192.0.2.7") and "127.0.0.1" in here


def test_the_page_is_light_and_needs_nothing_from_elsewhere(studio):
    files = list((Path(__file__).parent.parent / "anomgen" / "studio" / "static").iterdir())
    assert sum(file.stat().st_size for file in files) < 400_000
    for file in files:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text and "https://" not in text and " style=" not in text, file.name
        name = "/" if file.name == "index.html" else f"/static/{file.name}"
        assert studio.get(name).status_code == 200


def test_a_missing_extra_is_named_before_anything_is_imported(tmp_path):
    """In a process in which starlette cannot be found."""
    program = """
import sys
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name in ("starlette", "uvicorn") else found(name, *rest)
sys.modules["starlette"] = sys.modules["uvicorn"] = None
sys.argv = ["anomgen", "studio", "--no-browser"]
from anomgen.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and 'pip install ".[studio]"' in done.stderr and "Traceback" not in done.stderr


# --- what the material cannot carry ---------------------------------------------------------------------------------


def test_rows_too_faint_are_given_up_soon_and_what_is_reached_is_told(studio):
    """Law: what is advised is at most what the rejected draws reached, and with it rows are there."""
    told = chosen(studio, "spot", **{"generator.severity": [15, 20]})
    start = time.process_time()
    answer = studio.post("/api/rows", json={"id": told["id"], "count": 4}).json()
    assert time.process_time() - start < 15
    faint = answer["faint"]
    assert [row["index"] for row in answer["rows"] if row.get("faint")] == faint["rows"] != []
    assert faint["key"] == "generator.severity" and 0 < faint["value"][0] < 15 and faint["value"][1] == 20
    assert f"than about {faint['value'][0]:g}; 15 is asked for" in faint["text"]
    mended = chosen(studio, "spot", **{faint["key"]: faint["value"]})
    answer = studio.post("/api/rows", json={"id": mended["id"], "count": 4}).json()
    assert answer["faint"] is None and all(row["detectability"] >= 0.7 * faint["value"][0] for row in answer["rows"])


def test_the_image_of_each_row_is_named_and_another_one_is_said(studio):
    """Law: row k is of the k-th image named, unless it says that it moved."""
    told = chosen(studio, "defects", anomaly_ratio=1.0)
    names = studio.get(f"/api/images/{told['id']}").json()["names"]
    assert len(names) == len(set(names)) == 12
    rows = studio.post("/api/rows", json={"id": told["id"], "indices": list(range(12))}).json()["rows"]
    for row in rows:
        assert row["moved"] == (row["attempt"] >= 10) and (row["moved"] or row["source_id"] == names[row["index"]])
