"""The output folder of `make`: nothing of the user's own is overwritten, removed or reached through a link."""

import shutil
import sys
import warnings
from hashlib import sha256

import cv2
import pytest
from real_data import texture
from small import digests, recipe

from anomgen.errors import AnomgenError, AnomgenNote, UsageError
from anomgen.making.engine import Plan
from anomgen.making.make import make
from anomgen.making.output import clear
from anomgen.making.recipe import load_recipe


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    made = tmp_path_factory.mktemp("made") / "out"
    make(recipe("nsa", 8), made)
    return made


@pytest.mark.parametrize("missing", ["preview.png", "provenance.json"])
def test_an_edited_card_stays_when_something_else_is_missing(out, missing):
    card = out / "README.md"
    whole, before = digests(out), card.read_bytes()
    (out / missing).unlink()
    try:
        card.write_bytes(before + b"\nOur parts, photographed in March.\n")
        with pytest.warns(AnomgenNote, match=r"README\.md is not as it was written, so it stays; .* remove it"):
            make(recipe("nsa", 8), out, resume=True)
        assert card.read_bytes() == before + b"\nOur parts, photographed in March.\n"
    finally:
        card.write_bytes(before)
    assert digests(out) == whole


@pytest.mark.parametrize("change", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n")])
def test_a_recipe_that_an_editor_of_windows_saved_still_makes_the_folder_ours(out, change):
    file = out / "recipe.yaml"
    whole, before = digests(out), file.read_bytes()
    (out / "provenance.json").unlink()
    try:
        file.write_bytes(change(before))
        with pytest.warns(
            AnomgenNote, match=r"recipe\.yaml is not as it was written, so it stays, for it says the same"
        ):
            make(recipe("nsa", 8), out, finish=True)
        assert file.read_bytes() == change(before)
    finally:
        file.write_bytes(before)
    assert digests(out) == whole


@pytest.mark.parametrize("missing", ["preview.png", "provenance.json", "README.md"])
def test_a_card_that_nobody_edited_is_as_before(out, missing):
    whole = digests(out)
    (out / missing).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(recipe("nsa", 8), out, resume=True)
    assert digests(out) == whole


@pytest.mark.parametrize("missing", ["preview.png", "provenance.json", "data/train-00000-of-00001.parquet"])
def test_a_card_that_nobody_edited_follows_what_is_made_now(tmp_path, missing):
    """A folder that has another name by now: the card is written anew, for it is not taken for an edited one."""
    for name in ("bolts", "nuts"):
        (tmp_path / name).mkdir()
        for k in range(4):
            cv2.imwrite(str(tmp_path / name / f"{k}.png"), texture(k))
    for name in ("bolts", "nuts"):
        make(load_recipe("nsa", source=tmp_path / name, count=8, size=64), tmp_path / f"of-{name}")
    shutil.copytree(tmp_path / "of-bolts", tmp_path / "renamed")
    (tmp_path / f"renamed/{missing}").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(load_recipe("nsa", source=tmp_path / "nuts", count=8, size=64), tmp_path / "renamed", resume=True)
    cards = {name: (tmp_path / name / "README.md").read_text() for name in ("of-bolts", "of-nuts", "renamed")}
    assert cards["renamed"] == cards["of-nuts"] != cards["of-bolts"]


@pytest.mark.parametrize("missing", ["README.md", "provenance.json"])
@pytest.mark.parametrize("how", ["resume", "finish"])
def test_a_picture_of_somebodys_own_and_his_comments_in_the_recipe_stay(out, tmp_path, missing, how):
    kept = tmp_path / "kept"
    shutil.copytree(out, kept)
    (kept / missing).unlink()
    mine = {"preview.png": b"a nicer picture", "recipe.yaml": (kept / "recipe.yaml").read_bytes() + b"# of our bolts\n"}
    for name, data in mine.items():
        (kept / name).write_bytes(data)
    with pytest.warns(AnomgenNote) as told:
        make(recipe("nsa", 8), kept, **{how: True})
    said = sorted(str(note.message).split(" is not as it was written, so it stays")[0] for note in told)
    assert said == [str(kept / name) for name in mine]
    assert digests(kept) == {**digests(out), **{name: sha256(data).hexdigest() for name, data in mine.items()}}
    shutil.rmtree(kept / "data")
    with pytest.warns(AnomgenNote):  # with shards to make, too
        make(recipe("nsa", 8), kept, resume=True)
    assert {name: (kept / name).read_bytes() for name in mine} == mine


def test_a_recipe_that_somebody_has_given_another_meaning_is_an_error(out, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(out, kept)
    (kept / "provenance.json").unlink()
    text = (kept / "recipe.yaml").read_text().replace("license: null", "license: cc-by-4.0")
    (kept / "recipe.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"another recipe \(different: license\)"):
        make(recipe("nsa", 8), kept, resume=True)
    assert (kept / "recipe.yaml").read_text() == text


@pytest.mark.parametrize("missing", ["", "provenance.json"])
def test_a_shard_that_a_link_leads_to_elsewhere_is_not_gone_on_with(out, tmp_path, missing):
    kept, shard = tmp_path / "kept", "data/train-00000-of-00001.parquet"
    shutil.copytree(out, kept)
    (kept / shard).rename(tmp_path / "mine.parquet")
    (kept / shard).symlink_to(tmp_path / "mine.parquet")
    before = digests(tmp_path)
    if missing:
        (kept / missing).unlink()
    with pytest.raises(UsageError, match=r"parquet: a link leads out of the folder"):
        make(recipe("nsa", 8), kept, resume=True)
    assert {**before, **digests(tmp_path)} == before


@pytest.mark.parametrize("how", ["overwrite", "resume"])
def test_data_that_is_a_link_is_refused_and_what_it_leads_to_stays(out, tmp_path, how):
    victim = tmp_path / "victim"
    (out / "data").rename(victim)
    (victim / ".mine.png.1-0123abcd.tmp").write_bytes(b"mine")
    before = digests(victim)
    (out / "data").symlink_to(victim)
    try:
        with pytest.raises(UsageError, match="data is a link, and files are replaced and removed in it"):
            make(recipe("nsa", 8), out, **{how: True})
        with pytest.raises(UsageError, match="data is a link"):
            clear(out)
        assert digests(victim) == before
    finally:
        (out / "data").unlink()
        (victim / ".mine.png.1-0123abcd.tmp").unlink()
        victim.rename(out / "data")


def test_finishing_tells_a_damaged_shard_from_a_missing_one(tmp_path):
    make(recipe(), tmp_path / "copy")
    made = digests(tmp_path / "copy")
    first, second, _ = sorted((tmp_path / "copy" / "data").iterdir())
    first.write_bytes(first.read_bytes()[:-100])
    second.unlink()
    told = (
        r"copy: 1 of 3 shards are not there: train-00001\S+; 1 of 3 .* damaged, not as they were written: train-00000"
    )
    with pytest.raises(AnomgenError, match=told):
        make(recipe(), tmp_path / "copy", finish=True)
    second.write_bytes(b"")
    with pytest.raises(AnomgenError, match=r"copy: 2 of 3 shards are damaged, not as they were written: .*--resume"):
        make(recipe(), tmp_path / "copy", finish=True)
    make(recipe(), tmp_path / "copy", resume=True)
    assert digests(tmp_path / "copy") == made


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say less of why")
@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_a_folder_in_a_files_place_is_to_be_removed(tmp_path, how):
    make(recipe(), tmp_path / "copy")
    shard = tmp_path / "copy" / "data" / "train-00000-of-00003.parquet"
    shard.unlink()
    shard.mkdir()
    with pytest.raises(
        AnomgenError, match=r"00003\.parquet: is a folder where a file belongs; remove it, then run the"
    ):
        make(recipe(), tmp_path / "copy", **{how: True})


def test_settings_that_are_measured_otherwise_now_are_told_of(tmp_path, monkeypatch):
    out = tmp_path / "out"
    make(recipe("nsa", 8), out)
    (out / "provenance.json").unlink()
    monkeypatch.setattr(Plan, "resolved", {"generator": {}, "foreground": {"method": "otsu"}, "resources": {}})
    with pytest.raises(
        UsageError, match=r"measured of the images \(`auto`\).*start anew, with --overwrite or in another"
    ):
        make(recipe("nsa", 8), out, resume=True)
