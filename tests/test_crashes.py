"""A crash at every change to the disk, or before every request: going on gives what an undisturbed run gives."""

import itertools
import os
import shutil
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path

import cv2
import pytest
from crashing import at_change, dies, run
from hub_fixtures import write_dataset
from made_dataset import made_rows
from real_data import defect
from small import digests
from small import recipe as small_recipe

from anomgen.banks.make import bank
from anomgen.errors import AnomgenError, AnomgenWarning
from anomgen.exporters.export import export
from anomgen.making.make import make

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")]
BLOCKS = ("block_size=4", "shard_size=8")


def crashed_everywhere(begin, place, go_on, folder):
    """Yield, for each change that `begin(place(k))` makes to `folder(k)`, the place after a crash and going on."""
    for number in itertools.count():
        here = place(number)
        if not dies(partial(begin, here), at_change(number, folder(here))):
            assert number > 3
            return
        run(partial(go_on, here))
        yield here


def test_make(tmp_path):
    wanted = small_recipe(count=24, overrides=BLOCKS)
    run(lambda: make(wanted, tmp_path / "whole"))
    whole = digests(tmp_path / "whole")
    for out in crashed_everywhere(
        lambda out: make(wanted, out),
        lambda number: tmp_path / str(number),
        lambda out: make(wanted, out, resume=out.exists()),
        lambda out: out,
    ):
        assert digests(out) == whole
        shutil.rmtree(out)


def test_make_over_another_dataset(tmp_path):
    """Law: what the crash leaves is the old dataset, an unfinished one, or the new one; --overwrite ends in the new."""
    wanted, other = small_recipe(count=24, overrides=BLOCKS), small_recipe("cutpaste", count=12, overrides=BLOCKS)
    run(lambda: make(wanted, tmp_path / "whole"))
    run(lambda: make(other, tmp_path / "old"))
    whole = digests(tmp_path / "whole")
    for out in crashed_everywhere(
        lambda out: make(wanted, out, overwrite=True),
        lambda number: Path(shutil.copytree(tmp_path / "old", tmp_path / str(number))),
        lambda out: make(wanted, out, overwrite=True),
        lambda out: out,
    ):
        assert digests(out) == whole
        shutil.rmtree(out)


def test_finish_of_parts(tmp_path):
    wanted = small_recipe(count=24, overrides=BLOCKS)
    run(lambda: make(wanted, tmp_path / "whole"))
    for part in ("1/2", "2/2"):
        run(lambda part=part: make(wanted, tmp_path / "parts", shard=part))
    whole = digests(tmp_path / "whole")
    for out in crashed_everywhere(
        lambda out: make(wanted, out, finish=True),
        lambda number: Path(shutil.copytree(tmp_path / "parts", tmp_path / str(number))),
        lambda out: make(wanted, out, finish=True),
        lambda out: out,
    ):
        assert digests(out) == whole
        shutil.rmtree(out)


@pytest.mark.parametrize("format", ["coco", "mvtec"])
def test_export_over_an_earlier_one(tmp_path, format):
    """Law: at the name of the export there is, at any moment, the earlier one, the new one, or nothing half done."""
    write_dataset(tmp_path / "set", made_rows(4), shards=1)
    run(lambda: export(tmp_path / "set", format, tmp_path / "whole"))
    run(lambda: export(tmp_path / "set", "visa", tmp_path / "old"))
    whole, old = digests(tmp_path / "whole"), digests(tmp_path / "old")

    def place(number):
        around = tmp_path / str(number)
        shutil.copytree(tmp_path / "old", around / "out")
        return around

    def again(around):
        out = around / "out"
        assert not out.exists() or digests(out) in (whole, old)
        export(tmp_path / "set", format, out, overwrite=True)

    for around in crashed_everywhere(
        lambda around: export(tmp_path / "set", format, around / "out", overwrite=True), place, again, lambda p: p
    ):
        assert digests(around / "out") == whole and [path.name for path in around.iterdir()] == ["out"]
        shutil.rmtree(around)


@pytest.mark.parametrize("over", ["nothing", "another"])
def test_bank(tmp_path, over):
    for k in range(3):
        for folder, picture in zip(("defects", "masks"), defect(200 + k, 48), strict=True):
            (tmp_path / folder / "spot").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / "spot" / f"{k}.png"), picture)

    def work(around, count=None):
        bank(tmp_path / "defects", around / "bank", masks=tmp_path / "masks", count=count, overwrite=True)

    def place(number):
        around = tmp_path / str(number)
        if over == "another":
            shutil.copytree(tmp_path / "old", around)
        return around

    run(lambda: work(tmp_path / "whole"))
    run(lambda: work(tmp_path / "old", count=2))
    whole = digests(tmp_path / "whole")
    for around in crashed_everywhere(work, place, work, lambda around: around):
        assert digests(around) == whole
        shutil.rmtree(around)


def test_push_before_every_request(hub, tmp_path):
    """Law: after any number of requests, the same command ends in the same repository, of one commit with all files."""
    from anomgen.hub import push

    write_dataset(tmp_path / "set")

    def at_request(number):
        def arrange(die):
            from huggingface_hub.utils import get_session

            client = type(get_session())
            sent, send = itertools.count(), client.send

            def counting(self, *args, **options):
                if next(sent) == number:
                    die()
                return send(self, *args, **options)

            client.send = counting

        return arrange

    run(lambda: push(tmp_path / "set", "me/whole", revision_tag="v1"))
    whole = hub.repos["dataset", "me/whole"]
    for number in itertools.count():
        name = f"me/part{number}"
        if not dies(lambda name=name: push(tmp_path / "set", name, revision_tag="v1"), at_request(number)):
            assert number > 3
            break
        between = hub.repos.get(("dataset", name))
        assert between is None or not set(between.files) - {".gitattributes"} or set(between.files) == set(whole.files)
        run(lambda name=name: push(tmp_path / "set", name, revision_tag="v1"))
        repo = hub.repos["dataset", name]
        others = {path: data for path, data in repo.files.items() if path != "README.md"}
        assert others == {path: data for path, data in whole.files.items() if path != "README.md"}
        assert set(repo.files) == set(whole.files) and set(repo.tags) == {"v1"}


def all_but_the_log(out):
    """Return the hashes of what a training left; its log also tells of seconds."""
    return {name: digest for name, digest in digests(out).items() if name != "log.jsonl"}


@pytest.mark.parametrize("kind", ["sdas", "cyclegan"])
def test_training(tmp_path, discs, kind):
    """Law: weights, checkpoint, record, sheets and card are those of an undisturbed training, and no more is left."""
    pytest.importorskip("diffusers", reason="training models is an extra")
    from anomgen.models.start import train

    for module in (f"models.{kind}.training", f"generators.{kind}", f"models.{kind}.card"):
        import_module(f"anomgen.{module}")  # once here, not in each child
    settings = {
        "sdas": {"channels": [32, 32], "attention": [False, True], "batch_size": 4, "warmup": 0},
        "cyclegan": {"width": 4, "blocks": 1, "discriminator_width": 4, "resolution": 32, "abnormal": discs / "bad"},
    }[kind]
    abnormal = {"abnormal": settings.pop("abnormal")} if kind == "cyclegan" else {}

    def begin(out, **options):
        overrides = {**settings, "checkpoint_every": 1, "sheet_every": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnomgenWarning)  # twelve abnormal images are few
            train(kind, discs / "good", out, size=32, steps=2, overrides=overrides, **abnormal, **options)

    run(lambda: begin(tmp_path / "whole"))
    whole = all_but_the_log(tmp_path / "whole")
    assert sum(name.startswith("sheets") for name in whole) == 2
    for out in crashed_everywhere(
        begin, lambda number: tmp_path / str(number), lambda out: begin(out, resume=True), lambda out: out
    ):
        assert all_but_the_log(out) == whole
        shutil.rmtree(out)


def test_a_child_that_fails_is_no_crash(tmp_path):
    def fail():
        raise AnomgenError("wrong")

    with pytest.raises(AssertionError):
        run(fail)
