"""The page of samples in a real browser: a click enlarges, the slider uncovers the normal image."""

import sys
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tried in a browser")
from anomgen.making.preview import preview

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from studio_pictures import browser_path

BROWSER = browser_path()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="NO BROWSER TEST: install chromium, the page is not tried")


@pytest.fixture
def page(photos, tmp_path):
    out = preview(recipe="perlin", source=photos, size=64, rows=3, out=tmp_path / "gallery.html").path
    faults = []
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 390, "height": 800})
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda message: message.type == "error" and faults.append(message.text))
        opened.goto(out.as_uri())
        yield opened
        browser.close()
    assert faults == []


def violations(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [found["id"] for found in axe.run(page).response["violations"]]


def test_a_sample_is_enlarged_compared_zoomed_and_closed(page):
    assert violations(page) == [] and page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".picture").nth(1).click()
    caption = page.locator("figcaption").nth(1).inner_text()
    assert page.locator("dialog p").inner_text() == caption and violations(page) == []
    page.locator("dialog input").fill("45")
    assert "55%" in page.evaluate("getComputedStyle(document.querySelector('.stage .normal')).clipPath")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.picture')[1]")
    page.locator(".picture").nth(2).click()
    page.locator("[name=next]").click()
    assert page.locator("dialog p").inner_text() == page.locator("figcaption").nth(0).inner_text()
    page.locator("[name=closer]").click()
    assert "scale(1.5)" in page.locator(".stage").get_attribute("style")
