"""Draw docs/images/studio*.png: the studio's page in a browser, on pills and steel drawn by formulas.

python tools/studio_pictures.py
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

EASEL = "#draw .mode:not([hidden]) .easel"
"""The picture that is painted on."""


def browser_path() -> str | None:
    """Return the program of a browser of the Chromium kind, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def serving(photos: Path, out: Path) -> Iterator[str]:
    """Serve a studio, as the command does, and give its address."""
    words = [sys.executable, "-m", "anomgen", "studio", str(photos), "-o", str(out), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = (re.search(r"http\S+token=\S+", line) for line in process.stdout)
            yield next(match[0] for match in found if match)
        finally:
            process.terminate()


def shown(page) -> None:
    """Wait until samples are there and none of them is on its way."""
    page.locator(".tile:not([aria-busy]) img[src]").nth(3).wait_for()
    page.locator("#look .grid[aria-busy]").wait_for(state="detached")
    page.locator(".tile[aria-busy] img[src]").first.wait_for(state="detached")


def main() -> None:
    """Draw them."""
    import materials
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tools:
        photos = Path(folder) / "pills"
        materials.write(materials.specimens("pill", 24, 256), photos)
        browser = tools.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        with serving(photos, Path(folder) / "anomgen-out") as address:
            for scheme, size in (("light", (1280, 800)), ("dark", (1280, 800)), ("phone", (390, 780))):
                _draw(browser, address, scheme, size)
        browser.close()


def _draw(browser, address: str, scheme: str, size: tuple[int, int]) -> None:
    colours = "dark" if scheme == "dark" else "light"
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=colours)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    shown(page)
    if scheme == "phone":
        page.get_by_role("button", name="Settings").click()
    page.locator("details[data-title=Object] summary").click()
    with page.expect_response("**/api/rows"):
        page.get_by_role("radio", name="background color").click()
    page.wait_for_timeout(1500)
    shown(page)
    page.locator("details[data-title=Object] summary").click()
    if scheme == "phone":
        page.get_by_role("button", name="Done").click()
    page.evaluate("scrollTo(0, 0); document.querySelector('.panel').scrollTop = 0")
    if scheme != "dark":
        _write(page, "studio" if scheme == "light" else "studio-phone")
    else:
        page.locator(".picture").nth(1).click()
        page.locator("#viewer[open] .split").fill("380")
        page.wait_for_timeout(400)
        _write(page, "studio-sample")
        page.keyboard.press("Escape")
    if scheme == "light":
        page.get_by_role("tab", name="Draw").click()
        page.locator(f"{EASEL} img[src]").wait_for()
        page.wait_for_timeout(500)
        box = page.locator(EASEL).bounding_box()
        for height in (0.42, 0.5, 0.58):
            page.mouse.move(box["x"] + 0.32 * box["width"], box["y"] + height * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + height * box["height"], steps=6)
            page.mouse.up()
        _write(page, "studio-draw")
        _mark(page)
    context.close()


def _mark(page) -> None:
    """Mark a stain on a pill of its own."""
    import cv2
    import materials

    picture = list(materials.specimens("pill", 25, 256))[24].copy()
    middle = tuple(int(end) for end in (0.46 * picture.shape[1], 0.5 * picture.shape[0]))
    cv2.ellipse(picture, middle, (17, 9), 30, 0, 360, (96, 70, 40), -1, cv2.LINE_AA)
    file = {
        "name": "stained.png",
        "mimeType": "image/png",
        "buffer": cv2.imencode(".png", picture[..., ::-1])[1].tobytes(),
    }
    page.get_by_role("button", name="Real defects").click()
    page.locator("#draw input[type=file]").set_input_files(file)
    easel = page.locator(EASEL)
    easel.locator("img[src]").wait_for()
    page.get_by_label("What it is").fill("stain")
    for put in (True, False):
        page.wait_for_timeout(500)
        box = easel.bounding_box()
        page.mouse.click(box["x"] + 0.46 * box["width"], box["y"] + 0.5 * box["height"])
        page.wait_for_timeout(600)
        if put:
            page.get_by_role("button", name="Put into the bank").click()
            page.get_by_text("bank · 1 defect").wait_for()
    page.locator("#said.shown").wait_for(state="detached", timeout=9000)
    _write(page, "studio-mark")


def _write(page, name: str) -> None:
    """Write what is seen, in few colours."""
    from PIL import Image

    file = IMAGES / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(192, method=Image.Quantize.MEDIANCUT).save(file, optimize=True)


if __name__ == "__main__":
    main()
