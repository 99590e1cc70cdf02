"""Which OpenCV is used is recorded under one name, whichever distribution brought it; its windows are not needed."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import cv2
import pytest

from anomgen import versions

ROOT = Path(__file__).parent.parent
WHEELS = {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"}


@pytest.mark.parametrize("found", [["opencv-python"], ["opencv-python-headless"], sorted(WHEELS), []])
def test_the_version_is_that_of_the_cv2_in_use(found, monkeypatch):
    def version(name):
        if name in WHEELS - set(found):
            raise PackageNotFoundError(name)
        return "0.0.1"  # what the metadata of a wheel say whose files another one has replaced

    monkeypatch.setattr(versions, "version", version)
    recorded = versions.versions()["opencv-python"]
    assert recorded.startswith(cv2.__version__) and recorded == versions.installed(["opencv-python"])["opencv-python"]
    assert versions.versions()["numpy"] == "0.0.1"


def test_a_build_that_tells_less_is_recorded_as_well(monkeypatch):
    monkeypatch.delattr(cv2, "version")
    assert versions.versions()["opencv-python"] == cv2.__version__


def test_what_is_not_installed_is_unknown():
    assert versions.installed(["no-such-distribution"]) == {"no-such-distribution": "unknown"}


def test_no_window_is_opened():
    """So that the headless wheel, which needs no libGL, does."""
    window = re.compile(r"cv2\.(imshow|waitKey|createTrackbar|selectROI|(named|destroy|move|resize)\w*Window)")
    for folder in ("anomgen", "benchmarks", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not window.search(path.read_text(encoding="utf-8")), path
