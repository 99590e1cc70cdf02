"""Nothing is written, replaced or removed through a link in an output, whichever of its files or folders is one."""

import shutil
import stat
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from learned import tiny_sdas
from made_dataset import made_rows, write_dataset
from real_data import tiny_data
from small import digests
from small import recipe as small_recipe

import anomgen
from anomgen.dataset.left_out import leave_out
from anomgen.dataset.png import encode_png
from anomgen.errors import AnomgenError, AnomgenNote, AnomgenWarning

QUICK = {"size": 32, "overrides": ["detector.probe.steps=2", "detector.probe.batch_size=2"]}


def making(tools, out, again):
    anomgen.make(small_recipe(count=8), out, overwrite=again)


def going_on(tools, out, again):
    """A dataset of which the last file is missing."""
    anomgen.make(small_recipe(count=8), out, resume=again)
    (out / "provenance.json").unlink()


def exporting(tools, out, again):
    anomgen.export(tools / "set", "mvtec", out, overwrite=again)


def throwing_out(tools, out, again):
    if not again:
        shutil.copytree(tools / "set", out)
    leave_out(out, [1, 2] if again else [1])


def collecting(tools, out, again):
    anomgen.bank(tools / "real", out, overwrite=again)


def previewing(tools, out, again):
    anomgen.preview(recipe=small_recipe(count=8), out=out / "sheet.png", rows=2)


def marking(tools, out, again):
    from anomgen.studio.pictures import Pictures

    kept = Pictures(out)
    for level in (10, 20):
        key = kept.add("a.png", encode_png(np.full((40, 40, 3), level, np.uint8)))["id"]
        kept.set_mark(key, np.full((40, 40), 255, np.uint8) * again)
        if again and level == 20:
            kept.remove(key)


def diffusing(tools, out, again):
    tiny_sdas(out, steps=3, resume=True) if again else shutil.copytree(tools / "sdas", out)


def translating(tools, out, again):
    from anomgen.models.start import train

    pictures, small = tools / "discs", {"width": 4, "blocks": 1, "discriminator_width": 4, "resolution": 32}
    steps = {"steps": 3 if again else 2, "overrides": small, "size": 32}
    train("cyclegan", pictures / "good", out, abnormal=pictures / "bad", resume=again, **steps)


def ranking(tools, out, again):
    data = tools / "real"
    anomgen.score(data, "boxes", out=out, seeds=2 if again else 1, misses=True, keep=True, workers=1, **QUICK)


def fitting(tools, out, again):
    anomgen.fit(tools / "real", "boxes", out, overwrite=again, **QUICK)


def inspecting(tools, out, again):
    if not (tools / "kept").is_dir():
        fitting(tools, tools / "kept", again=False)
    anomgen.inspect(tools / "kept", tools / "real/test", out, overwrite=again)


FAST = [making, going_on, exporting, throwing_out, collecting, previewing, marking, diffusing]
NEEDS = {marking: "starlette", diffusing: "diffusers", translating: "diffusers"} | dict.fromkeys(
    (ranking, fitting, inspecting), "timm"
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory, discs):
    """What is read: a finished dataset, a data set with real defects, and pictures with and without discs."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "discs").symlink_to(discs)
    write_dataset(folder / "set", made_rows(4), shards=1)
    tiny_data(folder / "real")
    return folder


def linked(whole, folder, names):
    """Copy an output, and let what is called so be links to what lies elsewhere; return the copy and the victims."""
    out, victims = folder / "out", folder / "victims"
    shutil.copytree(whole, out)
    victims.mkdir()
    for number, name in enumerate(names):
        victim = victims / f"{number}-{Path(name).name}"
        (out / name).rename(victim)
        victim.chmod(0o700 if victim.is_dir() else 0o600)
        (out / name).symlink_to(victim)
    return out, victims


def state(folder):
    return digests(folder), {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("write", "in_turn"),
    [
        *((write, False) for write in FAST),
        *(
            pytest.param(write, True, marks=pytest.mark.slow)
            for write in dict.fromkeys((*FAST, *NEEDS))
            if write is not going_on
        ),
    ],
)
def test_what_a_link_in_an_output_leads_to_stays_as_it_is(tools, tmp_path, request, write, in_turn):
    """Law: each file is refused or replaced, each folder is refused. in_turn: the files one by one, or all at once."""
    pytest.importorskip(NEEDS.get(write, "anomgen"))
    if write is diffusing and not (tools / "sdas").is_dir():
        (tools / "sdas").symlink_to(request.getfixturevalue("sdas_model"))
    warnings.simplefilter("ignore", AnomgenNote)
    warnings.simplefilter("ignore", AnomgenWarning)
    whole = tmp_path / "whole"
    write(tools, whole, again=False)
    found = sorted(path.relative_to(whole) for path in whole.rglob("*"))
    files = [name for name in found if (whole / name).is_file()]
    alike = {(name.parent, name.suffix) if name.parent.name else name: [name] for name in files}  # one of each kind
    folders = [[name] for name in found if (whole / name).is_dir()]
    assert files
    for number, names in enumerate([*(alike.values() if in_turn else [files]), *folders]):
        (tmp_path / str(number)).mkdir()
        out, victims = linked(whole, tmp_path / str(number), names)
        before = state(victims)
        with suppress(AnomgenError, OSError) if names not in folders else pytest.raises(AnomgenError, match="link"):
            write(tools, out, again=True)
        assert state(victims) == before, names
        shutil.rmtree(tmp_path / str(number))
