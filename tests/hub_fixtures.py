"""What the tests of publishing share: a running Hub, the clients turned to it, and what stands there."""

import json
import shutil
import time
import types

import made_dataset
import pytest
import yaml
from hub_server import Server

from anomgen.dataset.card import write_card
from anomgen.dataset.reader import Dataset
from anomgen.dataset.statistics import statistics

TOKEN = "hf_theFakeTokenOfMe"
"""Of somebody who may write as `me` and as `team`."""


def write_dataset(folder, *args, **options):
    """Write a small dataset as `anomgen make` leaves it, with its card."""
    dataset = Dataset(made_dataset.write_dataset(folder, *args, **options))
    write_card(folder, dataset.provenance, dataset.recipe, statistics(dataset))
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub in this process that huggingface_hub talks to; nobody waits. `hub.waits` lists the library's own waits."""
    pytest.importorskip("huggingface_hub", reason='needs huggingface_hub: pip install ".[hub]"')
    waits = []
    with Server() as server:
        constants = {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }
        for name, value in constants.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        clock = types.SimpleNamespace(**{**vars(time), "sleep": waits.append})
        monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        server.waits = waits
        yield server


def front(repo):
    return yaml.safe_load(repo.files["README.md"].decode().split("---\n")[1])


def body(repo):
    return repo.files["README.md"].decode().split("---\n", 2)[2]


def other(made, folder, **values):
    """Copy a dataset and change what its provenance says of where it came from."""
    shutil.copytree(made, folder)
    record = json.loads((folder / "provenance.json").read_text())
    record["recipe_fingerprint"] = "f" * 32
    record["source"].update(values)
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder
