"""Measure the studio in a browser: the first picture, a slider's answers, and the memory after many clicks.

python benchmarks/studio.py [PHOTOS] [--clicks 300] [--minutes 60] [--detector FOLDER]

PHOTOS: a folder of images; by default 200 pills of 512 × 512 drawn by formulas. minutes: go on clicking for so long.
detector: what `anomgen fit` wrote, which looks at a photo after every 100 clicks. Prints one line
each, with its limit; memory is that of the studio, and, as a second figure, the most of it and its processes together;
while it clicks, what both take after every 100 clicks.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from studio_pictures import browser_path

SLIDERS = {
    "nsa": ("height, high", 0.15, 0.3),
    "cutpaste": ("area, high", 0.1, 0.3),
    "fpi": ("core, slider", 0.3, 0.7),
    "pii": ("core, slider", 0.3, 0.7),
    "perlin": ("opacity, low", 0.1, 0.5),
    "defects": ("visibility, high", 3.0, 6.0),
}
"""Which slider of each recipe is moved, from where to where."""
ANSWERS = 12
"""Moves of a slider for each recipe."""
LIMITS = {"first picture, s": 3.0, "answer, median, ms": 150.0, "answer, 95 %, ms": 400.0, "memory, MB": 700.0}
ROUND = 100
"""Clicks after which the memory is read, and the detector asked."""


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("photos", nargs="?", type=Path)
    asked.add_argument("--clicks", type=int, default=300)
    asked.add_argument("--minutes", type=float, default=0)
    asked.add_argument("--detector", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = given.photos or _pills(Path(folder) / "photos")
        for name, value in measured(photos, Path(folder) / "out", given).items():
            limit = LIMITS.get(name.partition(": ")[2] or name)
            print(f"{name:32} {value:8.1f}" + (f"   limit {limit:g}" if limit else ""), flush=True)


def measured(photos: Path, out: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return the figures by name."""
    from playwright.sync_api import sync_playwright

    words = [sys.executable, "-m", "anomgen", "studio", str(photos), "-o", str(out), "--no-browser"]
    words += [] if given.detector is None else ["--open", str(given.detector)]
    with (
        sync_playwright() as tools,
        tools.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"]) as web,
    ):
        began = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = next(found[0] for line in server.stdout if (found := re.search(r"http\S+token=\S+", line)))
                page = web.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(120_000)
                page.goto(address)
                page.wait_for_function("() => [...document.images].some((one) => one.complete && one.naturalWidth)")
                found = {"first picture, s": time.perf_counter() - began}
                answers: list[float] = []
                for name in SLIDERS:
                    own = _answers(page, name)
                    found[f"{name}: answer, median, ms"] = statistics.median(own)
                    answers += own
                found["answer, median, ms"] = statistics.median(answers)
                found["answer, 95 %, ms"] = statistics.quantiles(answers, n=20)[-1]
                return {**found, **_clicked(page, server.pid, photos, given)}
            finally:
                server.terminate()


def _answers(page: Any, name: str) -> list[float]:
    """Return milliseconds from a move of a slider to the first picture that follows it."""
    page.select_option("#base", name)
    _settled(page)
    label, low, high = SLIDERS[name]
    slider = page.get_by_label(label, exact=True).first
    for step in range(ANSWERS):
        count = page.evaluate("performance.getEntriesByName('answer').length")
        value = low + (high - low) * step / ANSWERS
        _move(slider, value)
        page.wait_for_function("(n) => performance.getEntriesByName('answer').length > n", arg=count)
        _settled(page)
    return page.evaluate("performance.getEntriesByName('answer').map((one) => one.duration)")[-ANSWERS:]


def _move(slider: Any, value: float) -> None:
    slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value)


def _settled(page: Any) -> None:
    page.locator("#look .grid[aria-busy]").wait_for(state="detached")


def _clicked(page: Any, server: int, photos: Path, given: argparse.Namespace) -> dict[str, float]:
    """Click for so long; return what was clicked and the memory that it took."""
    image = next(file for file in sorted(photos.iterdir()) if file.is_file())
    began = time.monotonic()
    done, together, end = 0, 0.0, began + 60 * given.minutes
    while done < given.clicks or time.monotonic() < end:
        _click(page, range(done, done + ROUND))
        done += ROUND
        if given.detector is not None:
            page.keyboard.press("5")
            page.locator("#inspect input[type=file]").set_input_files(image)
            page.locator("#inspect .inspection .findings").first.wait_for()
            page.get_by_role("button", name="Clear").click()
        resident = _resident(server)
        together = max(together, resident)
        print(f"{(time.monotonic() - began) / 60:6.1f} min {done:6} clicks {resident:8.1f} MB", flush=True)
    return {"clicks": done, "memory, MB": _memory(server), "memory with its processes, MB": together}


def _click(page: Any, numbers: range) -> None:
    """Go through recipes, settings, rows, pictures and tabs."""
    for number in numbers:
        page.keyboard.press("1")
        name = list(SLIDERS)[number // 10 % len(SLIDERS)]
        if number % 10 == 0:
            page.select_option("#base", name)
            _settled(page)
        if number % 5 == 2:
            label, low, high = SLIDERS[name]
            _move(page.get_by_label(label, exact=True).first, low + (high - low) * (number * 0.618 % 1))
        page.locator("#main").focus()
        page.keyboard.press("amdn"[number % 4])
        if number % 25 == 0:
            page.keyboard.press("23"[number // 25 % 2])
            page.wait_for_timeout(300)
        _settled(page)


def _memory(process: int) -> float:
    """Return the peak of the resident memory in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def _resident(process: int) -> float:
    """Return the resident memory in MB of a process and all below it (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    own = re.search(r"VmRSS:\s+(\d+) kB", status)
    below = [
        int(child) for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
    ]
    return (0 if own is None else int(own[1]) / 1024) + sum(map(_resident, below))


def _pills(folder: Path) -> Path:
    import materials

    materials.write(materials.specimens("pill", 200, 512), folder)
    return folder


if __name__ == "__main__":
    main()
