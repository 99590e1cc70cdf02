"""`make`: what is in the output folder, that runs are reproducible and resumable, and that nothing is lost."""

import json
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from small import command, count_shards, digests, recipe, run, uncounted

from anomgen import versions
from anomgen.dataset.reader import Dataset
from anomgen.errors import AnomgenError, AnomgenNote, AnomgenWarning, UsageError
from anomgen.making import make as output
from anomgen.making.make import make, plan_of
from anomgen.making.recipe import load_recipe
from anomgen.making.replay import replay


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "nsa"
    make(recipe(), out)
    return out


def test_a_dataset_holds_what_the_design_says(made):
    names = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    shards = {f"data/train-0000{k}-of-00003.parquet" for k in range(3)}
    assert names == {"README.md", "recipe.yaml", "provenance.json", "preview.png", *shards}
    dataset = Dataset(made)
    assert len(dataset) == 96
    assert dataset.provenance["rows"] == {"normal": 48, "anomaly": 48, "by_type": {"nsa": 48}}


def test_the_same_bytes_for_any_number_of_workers(made, tmp_path):
    make(recipe(), tmp_path / "two", workers=2)
    assert digests(tmp_path / "two") == digests(made)


def test_the_same_bytes_in_another_process_and_again(made, tmp_path):
    subprocess.run(command(tmp_path / "out", 96), check=True)
    assert digests(tmp_path / "out") == digests(made)


@pytest.mark.parametrize(("name", "workers"), [("nsa", 1), ("mix", 2)])
def test_a_killed_run_resumes_to_the_identical_result(tmp_path, name, workers):
    chosen = recipe(name, 320)
    make(chosen, tmp_path / "whole")
    out = tmp_path / "killed"
    words = command(out, 320, name, "-j", str(workers))
    kills = 0
    for wait in (0.02, 0.2):
        process = subprocess.Popen([*words, *(["--resume"] if kills else [])], env=uncounted())
        shards = count_shards(out)
        while process.poll() is None and count_shards(out) == shards:
            time.sleep(0.01)
        time.sleep(wait)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills
    make(chosen, out, resume=True)
    assert digests(out) == digests(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_a_resumable_state(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(out, 4000), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not count_shards(out):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "--resume" in errors and "Traceback" not in errors
    assert 0 < count_shards(out) < 125
    with pytest.raises(UsageError, match="unfinished"):
        Dataset(out)


def test_an_output_that_holds_something_is_refused(made, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="holds other files"):
            make(recipe(), tmp_path / "photos", **options)
    assert (tmp_path / "photos" / "holiday.jpg").exists()
    with pytest.raises(UsageError, match="holds a finished dataset"):
        make(recipe(), made)
    with pytest.raises(UsageError, match="exclude each other"):
        make(recipe(), made, resume=True, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        make(recipe(), tmp_path / "file")


def test_a_dataset_whose_recipe_was_written_anew_is_told_from_other_files(made, tmp_path):
    out = shutil.copytree(made, tmp_path / "out")
    (out / "recipe.yaml").write_text(recipe().to_yaml())
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match=r"holds rows of a dataset, but its recipe\.yaml is not as"):
            make(recipe(), out, **options)


def test_a_recipe_of_the_users_own_does_not_make_a_folder_ours(tmp_path):
    (tmp_path / "recipe.yaml").write_text(recipe().to_yaml())
    (tmp_path / "README.md").write_text("my project")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="holds other files"):
            make(recipe(), tmp_path, **options)
    assert (tmp_path / "README.md").read_text() == "my project"


def test_a_run_that_came_between_check_and_start_is_not_overwritten(tmp_path, monkeypatch):
    """Another run finishes while this one prepares its plan: this one must stop."""
    plan_of_recipe = output.Plan.of

    def slow(chosen):
        monkeypatch.setattr(output.Plan, "of", plan_of_recipe)
        make(recipe("fpi", 32), tmp_path / "out")
        return plan_of_recipe(chosen)

    monkeypatch.setattr(output.Plan, "of", slow)
    with pytest.raises(UsageError, match="finished dataset"):
        make(recipe("nsa", 64), tmp_path / "out")
    assert len(Dataset(tmp_path / "out")) == 32


def test_how_the_source_path_is_written_does_not_matter(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos.parent)
    sources = [{"kind": "folder", "path": path} for path in ("photos", "./photos", str(photos), "photos/")]
    make(load_recipe("fpi", source=sources[0], count=32, overrides=["shard_size=16"]), tmp_path / "out")
    (tmp_path / "out" / "data" / "train-00001-of-00002.parquet").unlink()
    for source in sources[1:]:
        chosen = load_recipe("fpi", source=source, count=32, overrides=["shard_size=16"])
        make(chosen, tmp_path / "out", resume=True)
        assert replay(Dataset(tmp_path / "out"), 31).identical


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(made):
    with pytest.raises(UsageError, match=r"another recipe \(different: generator.blend, seed\)"):
        make(recipe(seed=3, overrides=["generator.blend=normal"]), made, resume=True)


def test_resuming_a_finished_dataset_changes_nothing(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    result = make(recipe(), tmp_path / "copy", resume=True)
    assert result.made == 0
    assert digests(tmp_path / "copy") == digests(made)


def test_a_damaged_shard_is_made_again(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    shard = tmp_path / "copy" / "data" / "train-00001-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert make(recipe(), tmp_path / "copy", resume=True).made == 32
    assert digests(tmp_path / "copy") == digests(made)


def test_resuming_with_other_images_is_refused(photos, tmp_path):
    chosen = load_recipe("nsa", source={"kind": "folder", "path": str(photos)}, count=32, overrides=["shard_size=16"])
    make(chosen, tmp_path / "out")
    (tmp_path / "out" / "data" / "train-00001-of-00002.parquet").unlink()
    (photos / "a" / "001.png").unlink()
    with pytest.raises(UsageError, match="other source images"):
        make(chosen, tmp_path / "out", resume=True)


def test_resuming_with_other_textures_is_refused(photos, tmp_path):
    texture = ["generator.texture.kind=folder", f"generator.texture.path={photos}", "shard_size=16"]
    chosen = recipe("perlin", 32, texture)
    result = make(chosen, tmp_path / "out")
    assert set(result.provenance["resolved"]["resources"]) == {"texture"}
    (tmp_path / "out" / "data" / "train-00001-of-00002.parquet").unlink()
    (photos / "a" / "001.png").rename(photos / "a" / "renamed.png")
    changes = [word for change in texture for word in ("--set", change)]
    words = command("out", 32, "perlin", *changes, "--resume")[3:]
    assert "other textures" in run(*words, cwd=tmp_path, code=2)[1]


def test_a_folder_of_masks_is_cut_like_the_images(tmp_path):
    import cv2

    for k in range(3):
        picture = np.random.default_rng(k).integers(90, 160, (60, 120, 3)).astype(np.uint8)
        mask = np.zeros((60, 120), np.uint8)
        mask[10:50, 30:50] = 255
        for folder, values in (("in", picture), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{k}.png"), cv2.GaussianBlur(values, (0, 0), 0.5))
    foreground = {"method": "folder", "path": str(tmp_path / "masks")}
    source = {"kind": "folder", "path": str(tmp_path / "in"), "size": 60, "fit": "crop"}
    make(load_recipe("perlin", source=source, foreground=foreground, count=20), tmp_path / "out")
    rows = [row for row in Dataset(tmp_path / "out").rows() if row["label"]]
    assert rows and all(not row["mask"][:, 22:].any() for row in rows)
    assert any(row["mask"][:, :20].any() for row in rows)


def test_overwriting_removes_our_files_only(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    make(recipe("fpi", 32), tmp_path / "copy", overwrite=True)
    assert (tmp_path / "copy" / "notes.txt").read_text() == "mine"
    assert len(Dataset(tmp_path / "copy")) == 32


def test_a_failing_source_leaves_an_existing_dataset_alone(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    with pytest.raises(UsageError):
        make(
            load_recipe("nsa", source={"kind": "folder", "path": str(tmp_path / "gone")}),
            tmp_path / "copy",
            overwrite=True,
        )
    assert digests(tmp_path / "copy") == digests(made)


def test_the_output_may_not_lie_inside_the_source(photos):
    chosen = load_recipe("nsa", source={"kind": "folder", "path": str(photos)}, count=8)
    with pytest.raises(UsageError, match="inside the source"):
        make(chosen, photos / "out")


def test_two_runs_on_one_output_exclude_each_other(tmp_path):
    from anomgen.files import locked

    with locked(tmp_path / "out"), pytest.raises(UsageError, match="another run"), locked(tmp_path / "out"):
        pass


def test_parts_of_an_array_job_share_the_output_and_exclude_others(tmp_path):
    from anomgen.files import locked

    out = tmp_path / "out"
    with locked(out, shared=True), locked(out, shared=True):
        make(recipe(), out, shard="1/2")
        for options in ({"resume": True}, {"finish": True}):
            with pytest.raises(UsageError, match="another run"):
                make(recipe(), out, **options)
    with locked(out), pytest.raises(UsageError, match="another run"):
        make(recipe(), out, shard="2/2")


def test_an_array_job_makes_the_same_bytes(made, tmp_path):
    out = tmp_path / "out"
    words = command(out, 96, "nsa", "--json")
    with pytest.raises(UsageError, match="no dataset that was begun"):
        make(recipe(), out, finish=True)
    jobs = [subprocess.Popen([*words, "--shard", f"{k}/2"], stdout=subprocess.PIPE) for k in (1, 2)]
    results = [json.loads(job.communicate()[0]) for job in jobs]
    assert [result["rows"] for result in results] == [64, 32]
    assert not (out / "provenance.json").exists()
    make(recipe(), out, finish=True)
    assert digests(out) == digests(made)
    assert make(recipe(), out, shard="1/2").made == 0 and digests(out) == digests(made)


def test_finishing_says_which_shards_are_missing(tmp_path):
    out = tmp_path / "out"
    make(recipe(), out, shard="2/3")
    with pytest.raises(AnomgenError, match=r"2 of 3 shards are not there: train-00000-\S+, train-00002-\S+; make"):
        make(recipe(), out, finish=True)
    with pytest.raises(UsageError, match="another recipe"):
        make(recipe(seed=1), out, shard="1/3")
    with pytest.raises(UsageError, match="unfinished"):
        make(recipe(), out)


def test_parts_that_have_nothing_to_make_are_told_of(tmp_path):
    with pytest.warns(AnomgenNote, match=r"has 3 shards, so parts 4 to 5 are empty; a smaller shard_size"):
        assert make(recipe(), tmp_path / "out", shard="5/5").made == 0


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2"])
def test_a_part_is_written_as_k_of_n(tmp_path, text):
    with pytest.raises(UsageError, match=r"--shard .*K/N with K from 1 to N"):
        make(recipe(), tmp_path / "out", shard=text)


def test_options_that_exclude_each_other(tmp_path):
    for options, message in (
        ({"shard": "1/2", "finish": True}, "comes alone"),
        ({"shard": "1/2", "overwrite": True}, "would remove"),
        ({"finish": True, "overwrite": True}, "would remove"),
        ({"address": "auto"}, "goes with --engine ray"),
        ({"engine": "rya"}, "did you mean 'ray'"),
        ({"workers": 0}, "must be 1 or more"),
    ):
        with pytest.raises(UsageError, match=message):
            make(recipe(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(tmp_path):
    plan = plan_of(recipe(), tmp_path / "out")
    assert plan["rows"] == "96: 48 anomalous, 48 normal"
    assert not (tmp_path / "out").exists()


def test_too_little_space_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=1000))
    with pytest.warns(AnomgenWarning, match="out has less space than the dataset needs"):
        plan_of(recipe(), tmp_path / "out")


def test_no_path_of_the_machine_is_written(photos, tmp_path):
    make(load_recipe("mix", source={"kind": "folder", "path": str(photos)}, count=16), tmp_path / "out")
    needle = str(tmp_path).encode()
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (1, np.uint16), (3, np.uint16)])
@pytest.mark.parametrize("name", ["nsa", "perlin", "cutpaste-3way", "pii"])
def test_grey_and_16_bit_stay_so_through_to_the_output(tmp_path, name, channels, dtype):
    import cv2

    (tmp_path / "in").mkdir()
    for k in range(4):
        values = np.random.default_rng(k).normal(0.5, 0.1, (80, 70, channels)).clip(0, 1) * np.iinfo(dtype).max
        cv2.imwrite(str(tmp_path / "in" / f"{k}.png"), cv2.GaussianBlur(values.astype(dtype), (0, 0), 1.5))
    chosen = load_recipe(name, source={"kind": "folder", "path": str(tmp_path / "in"), "size": [72, 64]}, count=12)
    make(chosen, tmp_path / "out")
    for row in Dataset(tmp_path / "out").rows():
        assert row["image"].dtype == dtype and row["image"].shape == (72, 64, channels)


def test_native_size_lets_images_differ(tmp_path):
    import cv2

    (tmp_path / "in").mkdir()
    for k, (h, w) in enumerate([(64, 80), (72, 64), (90, 70)]):
        values = np.random.default_rng(k).integers(60, 200, (h, w, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{k}.png"), cv2.GaussianBlur(values, (0, 0), 2))
    for name in ("nsa", "fpi", "pii", "perlin", "cutpaste"):
        source = {"kind": "folder", "path": str(tmp_path / "in"), "size": None}
        make(load_recipe(name, source=source, count=12), tmp_path / name)
        shapes = {row["image"].shape for row in Dataset(tmp_path / name).rows()}
        assert shapes == {(64, 80, 3), (72, 64, 3), (90, 70, 3)}


def test_versions_of_torch_count_where_a_network_draws_and_only_there(made, tmp_path, monkeypatch):
    from importlib.metadata import version

    from anomgen.generators.nsa import NSA

    classic = {"python", "processor", "anomgen", "numpy", "scipy", "opencv-python", "pillow", "pyarrow"}
    assert set(Dataset(made).provenance["versions"]) == classic
    monkeypatch.setattr(NSA, "uses_network", True)
    chosen = recipe("nsa", 8)
    assert set(make(chosen, tmp_path / "out").provenance["versions"]) == classic | {"torch", "diffusers"}
    assert make(chosen, tmp_path / "out", resume=True).made == 0
    monkeypatch.setattr(versions, "version", lambda name: "0.1" if name == "torch" else version(name))
    with pytest.raises(UsageError, match=r"was made with .*torch.* this is .*torch 0\.1"):
        make(chosen, tmp_path / "out", resume=True)


def test_files_of_the_users_own_are_never_removed_or_overwritten(tmp_path):
    out = tmp_path / "out"
    make(recipe("nsa", 8), out)
    card, notes, hidden = out / "README.md", out / ".notes.tmp", out / "data" / ".x.tmp"
    card.write_text(card.read_text(encoding="utf-8") + "\nOur parts, photographed in March.\n", encoding="utf-8")
    for file in (notes, hidden):
        file.write_text("mine")
    before = card.read_bytes()
    assert make(recipe("nsa", 8), out, resume=True).made == 0
    assert make(recipe("nsa", 8), out, finish=True).provenance["shards"] == 1
    assert card.read_bytes() == before and notes.read_text() == hidden.read_text() == "mine"
    (out / "provenance.json").unlink()  # unfinished again: only what a run wrote is replaced
    with pytest.warns(AnomgenNote, match=r"README\.md is not as it was written, so it stays"):
        make(recipe("nsa", 8), out, resume=True)
    assert card.read_bytes() == before and notes.read_text() == hidden.read_text() == "mine"


def test_a_parquet_file_of_the_users_own_is_refused_not_removed(tmp_path):
    out = tmp_path / "out"
    make(recipe("nsa", 8), out)
    mine = out / "data" / "train-mine.parquet"
    mine.write_bytes(b"mine")
    for how in ("resume", "overwrite"):
        with pytest.raises(UsageError, match=r"train-mine\.parquet is no file of this dataset"):
            make(recipe("nsa", 8), out, **{how: True})
    assert mine.read_bytes() == b"mine"
