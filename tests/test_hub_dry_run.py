"""A dry run of a push where the Hub cannot be asked."""

import pytest
from hub_fixtures import TOKEN, write_dataset
from small import run

from anomgen.errors import UsageError
from anomgen.hub import push
from anomgen.hub.client import Repository


@pytest.fixture
def made(tmp_path):
    return write_dataset(tmp_path / "made")


@pytest.mark.parametrize("how", ["no network", "HF_HUB_OFFLINE", "cut after the first answer"])
def test_a_dry_run_needs_no_network(hub, made, monkeypatch, how):
    """Law: it shows what it shows of a new repository, but for whether it is one, and waits for nothing."""
    waits = []

    def planned():
        return push(made, "me/bottle", dry_run=True, check=False, wait=waits.append)

    known = planned()
    hub.log.clear()
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    elif how == "no network":
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setattr(Repository, "validate", lambda self, card: self._patiently("checking", disconnected))
    plan = planned()
    assert not waits and not hub.waits and (how.startswith("cut") or not hub.log)
    assert plan.new is None and known.new is True
    assert (plan.files, plan.sizes, plan.card, plan.megabytes) == (
        known.files,
        known.sizes,
        known.card,
        known.megabytes,
    )
    (note,) = (note for note in plan.notes if note.startswith("the Hub was not asked ("))
    assert note.endswith("whether me/bottle is there, and what is in it, is not known")
    assert how != "HF_HUB_OFFLINE" or "HF_HUB_OFFLINE is set" in note
    out, told = run("push", made, "me/bottle", "--dry-run", "--no-check")
    assert "README.md, " in out and "license: cc-by-4.0" in out and "(new)" not in out and "to push: 5 files" in out
    assert "the Hub was not asked" in out + told and "nothing was sent" in out + told


def disconnected():
    raise ConnectionError("no route to the host")


def test_a_dry_run_without_a_network_tells_what_is_wrong_here(hub, made, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (made / "recipe.yaml").write_text((made / "recipe.yaml").read_text() + f"\n# {TOKEN}\n")
    with pytest.raises(UsageError, match=r"recipe\.yaml: holds a token"):
        push(made, "me/bottle", dry_run=True, check=False)
    with pytest.raises(UsageError, match="3 problems"):
        push(made, "bottle", license="unknown", config="my set", dry_run=True)
