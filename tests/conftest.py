import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from hub_fixtures import hub  # noqa: F401
from learned import disc, pictures, tiny_cyclegan, tiny_sdas
from small import MANY

os.environ["ANOMGEN_NO_PLUGINS"] = "1"  # whatever else is installed; before collection, which asks for names, too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in `pytest &`, and then in what tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
GOLDEN = Path(__file__).parent / "golden.json"


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write tests/golden.json anew")


def pytest_collection_modifyitems(config, items):
    if config.getoption("-m"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with `pytest -m slow`")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Keep what anomgen remembers about sources out of the user's home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def offline(tmp_path_factory, monkeypatch):
    """Keep the library `datasets` away from the internet and from the user's cache."""
    config = pytest.importorskip("datasets").config
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def one_thread():
    """Let torch compute on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def golden(request):
    """Return a function that compares a value, `pytest.approx` in it or not, with the stored one of that name."""
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}

    def compare(name, value):
        if request.config.getoption("--update-golden"):
            stored[name] = value
            text = json.dumps(stored, indent=1, sort_keys=True, default=lambda about: about.expected)
            GOLDEN.write_text(text + "\n")
        assert name in stored, f"no golden value for {name}: run `pytest --update-golden` and look at the change"
        assert stored[name] == value

    return compare


@pytest.fixture(scope="session")
def taken(tmp_path_factory):
    """The photos, which no test may change."""
    import cv2

    from anomgen.sources.builtin import Builtin

    source, root = Builtin(count=12, size=96).open(), tmp_path_factory.mktemp("taken")
    for k in range(12):
        folder = root / ("a" if k % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        tint = np.array([0.7, 0.85, 1.0]) * (0.9 + 0.01 * k)
        picture = np.clip(source[k] * tint, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{k:03d}.png"), picture)
    return root


@pytest.fixture
def photos(taken, tmp_path):
    """A folder of twelve colour pictures in two subfolders: brick, tinted differently."""
    return Path(shutil.copytree(taken, tmp_path / "photos"))


@pytest.fixture
def few_are_many(monkeypatch):
    """Let `MANY` images, of any weight, be so many that they are looked at before they are checked."""
    from anomgen.sources import glimpse

    monkeypatch.setattr(glimpse, "MANY", MANY)
    monkeypatch.setattr(glimpse, "HEAVY", 1)


@pytest.fixture
def out(tmp_path):
    """The folder that a studio writes to."""
    return tmp_path / "out"


@pytest.fixture
def studio(photos, out):
    """A studio on the photos, as the page asks it."""
    from studio_client import opened

    with opened(photos, out) as client:
        yield client


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """Twelve normal pictures of 32×32 in `good`, twelve with a dark disc in `bad`."""
    root = tmp_path_factory.mktemp("discs")
    pictures(root / "good", 12)
    pictures(root / "bad", 12, seed=50, change=disc)
    return root


@pytest.fixture(scope="session")
def cyclegan_model(discs, tmp_path_factory):
    """A Cycle-GAN trained two steps on `discs`; it changes all of every image."""
    return tiny_cyclegan(tmp_path_factory.mktemp("cyclegan") / "model", discs)


@pytest.fixture
def copied_cyclegan(cyclegan_model, tmp_path):
    """A copy of that model that a test may damage."""
    return Path(shutil.copytree(cyclegan_model, tmp_path / "copied"))


@pytest.fixture(scope="session")
def sdas_model(tmp_path_factory):
    """A DDPM on latents of 32×32 grey images, trained two steps."""
    return tiny_sdas(tmp_path_factory.mktemp("sdas") / "model")
