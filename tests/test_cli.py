"""The command line as a user meets it: results, errors, exit codes."""

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml
from small import launch, run, uncounted


def picture(path, seed=0, shape=(64, 64, 3), dtype=np.uint8):
    import cv2

    values = np.random.default_rng(seed).normal(0.5, 0.15, shape).clip(0, 1) * np.iinfo(dtype).max
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.GaussianBlur(values.astype(dtype), (0, 0), 1))


@pytest.fixture
def good(tmp_path):
    for k in range(6):
        picture(tmp_path / "good" / f"{k}.png", k)
    return tmp_path / "good"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom anomgen.cli import main\nsys.argv = ['anomgen', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'diffusers', 'datasets', 'skimage', 'scipy', 'numpy', 'cv2', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_making_from_built_in_textures_imports_no_extra(tmp_path):
    code = (
        "import sys\nfrom anomgen.cli import main\nsys.argv = 'anomgen make -r nsa -n 2'.split()\nmain_error = None\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'diffusers', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "anomgen-out" / "nsa" / "provenance.json").exists()


def test_make_check_replay_preview_in_a_row(good, tmp_path):
    out, _ = run("make", "-r", "nsa", "-s", good, "-n", 24, "-o", "out", "--size", "48x64", "--json", cwd=tmp_path)
    assert json.loads(out)["rows"] == {"normal": 12, "anomaly": 12, "by_type": {"nsa": 12}}
    out, _ = run("check", "out", "--json", cwd=tmp_path)
    assert json.loads(out)["ok"] is True
    out, _ = run("replay", "out", 6, cwd=tmp_path)
    assert "bit-identical" in out
    run("preview", "out", "-o", "sheet.png", "--rows", 3, cwd=tmp_path)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    out, _ = run("preview", "--foreground", "-s", good, "-o", "fg.png", "--json", cwd=tmp_path)
    assert "method" in json.loads(out)["foreground"]


def test_progress_and_errors_go_to_standard_error_only(good, tmp_path):
    out, errors = launch("make", "-r", "fpi", "-s", good, "-n", 4, "-o", "out", cwd=tmp_path)
    assert out.startswith("out: 4 rows") and all(line.startswith("making: ") for line in errors.splitlines())


def test_a_dry_run_prints_the_plan_and_writes_nothing(good, tmp_path):
    out, _ = run("make", "-r", "nsa", "-s", good, "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(out)["rows"] == "1000: 500 anomalous, 500 normal"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good"]


def test_show_can_be_saved_and_used(tmp_path):
    out, _ = run("show", "nsa", "--set", "count=8")
    (tmp_path / "mine.yaml").write_text(out)
    assert yaml.safe_load(out)["generator"]["kind"] == "nsa"
    run("validate", tmp_path / "mine.yaml")
    run("make", "-r", "mine.yaml", cwd=tmp_path)
    schema, _ = run("show", "nsa", "--schema")
    assert json.loads(schema)["properties"]


def test_ls_names_everything():
    out, _ = run("ls", "--json")
    listed = json.loads(out)
    assert {"nsa", "perlin", "mix"} <= set(listed["generators"])
    assert {"folder", "mvtec", "hub"} <= set(listed["sources"])
    assert all(listed["generators"].values())
    for group, word in (
        ("recipes", "show RECIPE"),
        ("generators", "generator.kind=GENERATOR"),
        ("sources", "--source SOURCE"),
        ("exporters", "--to EXPORTER"),
    ):
        assert word in run("ls", group)[0].splitlines()[-1]


def test_ls_of_one_of_a_group_explains_its_keys():
    keys = json.loads(run("ls", "generators/nsa", "--json")[0])["generators/nsa"]
    assert (
        keys["blend"].startswith('"auto": ')
        and keys["blend"].endswith("(normal, mixed, auto)")
        and "min_object" in keys
    )
    assert ["train_share", "0.8:"] in [line.split()[:2] for line in run("ls", "exporters/yolo")[0].splitlines()]


def following(out):
    """Return the words of the command that is printed as the next one."""
    (line,) = [line for line in out.splitlines() if line.startswith("next: anomgen ")]
    return shlex.split(line.removeprefix("next: anomgen "))


def test_the_commands_that_are_printed_work_as_they_are(good, tmp_path):
    """With spaces in names, and with what was given to the command before."""
    photos = good.rename(tmp_path / "good ones")
    mine = tmp_path / "my recipe.yaml"
    mine.write_text(run("show", "nsa", "--set", "count=4")[0])
    given = ["-s", photos, "--size", "48x64", "--seed", 3, "--set", "generator.shape=ellipse", "--set", "count=6"]
    out, _ = run("preview", "-r", mine, *given, "-o", tmp_path / "a sheet.png", "--rows", 1)
    out, _ = run(*following(out), "-o", tmp_path / "my out", cwd=tmp_path)
    assert "6 rows" in out
    assert load(tmp_path / "my out", "recipe.yaml")["generator"]["shape"] == "ellipse"
    assert load(tmp_path / "my out", "recipe.yaml")["seed"] == 3
    (check,) = [line for line in out.splitlines() if line.startswith("check: anomgen ")]
    out, _ = run(*shlex.split(check)[2:])
    assert following(out) == ["preview", str(tmp_path / "my out")]
    out, _ = run("replay", tmp_path / "my out", 1)
    assert following(out) == ["check", str(tmp_path / "my out")]
    out, _ = run("validate", mine, "--set", "seed=5")
    assert '"seed": 5' not in out and "--dry-run" in following(out)
    run(*following(out), cwd=tmp_path)


def load(folder, name):
    return yaml.safe_load((folder / name).read_text())


def test_parts_beyond_the_last_shard_are_told(good, tmp_path):
    words = ["make", "-r", "fpi", "-s", good, "-n", 40, "--size", 64, "--set", "shard_size=16", "-o", tmp_path / "out"]
    out, errors = run(*words, "--shard", "5/5")
    assert "0 rows" in out
    assert "note: the dataset has 3 shards, so parts 4 to 5 are empty; a smaller shard_size gives more\n" in errors
    assert "so part 4 is empty" in run(*words, "--shard", "1/4", "--json")[1]
    assert "note: the dataset has" not in run(*words, "--shard", "3/3")[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["make"], "--recipe"),
        (["make", "-r", "nsaa"], "did you mean 'nsa'"),
        (["make", "-r", "nsa", "--set", "generator.blnd=mixed"], "generator.blnd: unknown key; did you mean 'blend'"),
        (["make", "-r", "nsa", "--set", "count=none"], "count"),
        (["make", "-r", "nsa", "--size", "big"], "--size big"),
        (["make", "-r", "nsa", "-s", "nowhere"], "nowhere"),
        (["make", "-r", "nsa", "-n", "0"], "count"),
        (
            ["make", "-r", "perlin", "--set", "generator.texture.kind=folder", "--set", "generator.texture.path=gone"],
            "gone",
        ),
        (["ls", "recipies"], "did you mean 'recipes'"),
        (["ls", "generators/nas"], "unknown generator 'nas'; did you mean 'nsa'"),
        (["ls", "recipes/nsa"], "anomgen show nsa"),
        (["check", "nowhere"], "nowhere"),
        (["export", ".", "--to", "mvtec", "-o", "x", "--set", "category="], "--set category=: the value is empty"),
        (["replay", ".", "0"], "recipe.yaml"),
        (["validate", "missing.yaml"], "missing.yaml"),
        (["preview", "--recipe", "nsa", "-o", "x.gif"], ".png"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(words, text, tmp_path):
    _, errors = run(*words, cwd=tmp_path, code=2)
    assert text in errors


def test_errors_come_as_json_too():
    out, _ = launch("validate", "nsaa", "--json", code=2)
    assert "did you mean" in json.loads(out)["error"]


def test_a_folder_without_images_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    _, errors = run("make", "-r", "nsa", "-s", tmp_path / "empty", cwd=tmp_path, code=2)
    assert "empty" in errors


def test_a_broken_image_is_named_before_anything_is_written_and_can_be_skipped(good, tmp_path):
    (good / "broken.png").write_bytes((good / "0.png").read_bytes()[:300])
    (good / "zero.jpg").write_bytes(b"")
    _, errors = run("make", "-r", "nsa", "-s", good, "-o", "out", "-n", 6, cwd=tmp_path, code=1)
    assert "broken.png" in errors and "zero.jpg" in errors and "on_bad_image=skip" in errors
    assert not (tmp_path / "out").exists()
    out, _ = run(
        "make", "-r", "nsa", "-s", good, "-o", "out", "-n", 6, "--set", "source.on_bad_image=skip", cwd=tmp_path
    )
    assert "skipped source files: 2" in out
    assert "broken.png" in (tmp_path / "out" / "README.md").read_text()


def test_masks_beside_images_and_files_that_are_not_read_are_left_out_and_named_everywhere(good, tmp_path):
    import cv2

    for k in range(3):
        cv2.imwrite(str(good / f"{k}_GT.png"), np.uint8(255 * (k == 2)) * np.eye(64, dtype=np.uint8))
    (good / "phone.heic").write_bytes(b"")
    words = ("-r", "cutpaste", "-s", good)
    notes = [
        "left out 3 files, masks: 0_GT.png, 1_GT.png, 2_GT.png",
        "left out 1 file, whose masks mark an anomaly: 2.png",
        "left out 1 file, of kinds that are not read (.heic 1): phone.heic",
    ]
    out, _ = run("make", *words, "-n", 4, "-o", "out", cwd=tmp_path)
    plan, _ = run("make", *words, "--dry-run", cwd=tmp_path)
    seen, _ = run("preview", *words, "--rows", 1, cwd=tmp_path)
    card = (tmp_path / "out" / "README.md").read_text()
    for note in notes:
        assert note in out and note in plan and note in seen and note in card
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())["source"]
    assert record["notes"][:3] == notes and record["count"] == 5


def test_one_image_is_too_few_for_a_donor(tmp_path):
    picture(tmp_path / "one" / "a.png")
    _, errors = run("make", "-r", "nsa", "-s", tmp_path / "one", cwd=tmp_path, code=1)
    assert "only one" in errors
    run("make", "-r", "cutpaste", "-s", tmp_path / "one", "-n", 4, "-o", "out", cwd=tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_says_so(good, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    _, errors = run("make", "-r", "fpi", "-s", good, "-o", tmp_path / "locked" / "out", code=1)
    assert "locked" in errors


def test_an_output_below_a_file_says_so(good, tmp_path):
    (tmp_path / "file").write_text("x")
    _, errors = run("make", "-r", "fpi", "-s", good, "-n", 4, "-o", tmp_path / "file" / "out", code=1)
    assert "file" in errors


def test_a_full_disk_says_so_and_keeps_what_is_finished(good, tmp_path):
    """The size limit of files stands in for the full disk: the third shard is larger than allowed."""
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    script = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, {resource.RLIM_INFINITY}))\n"
        "from anomgen.cli import main\nmain()"
    )
    words = ["make", "-r", "fpi", "-s", str(good), "-n", "40", "-o", "out", "--set", "shard_size=20", "--size", "64"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        env=uncounted(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "--resume" in done.stderr
    run(*words, "--resume", cwd=tmp_path)


def test_broken_plug_ins_are_named_and_touch_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "bad_plugin-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[anomgen.generators]\nbad = no_such_module:Bad\nexits = leaves:It\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("ANOMGEN_NO_PLUGINS")
    listed, _ = launch("ls", "generators")
    assert "broken: the plug-in generator 'bad'" in listed and "'exits' (leaves:It) fails to load: it exits" in listed
    assert "nsa" in listed
    schema, told = launch("show", "nsa", "--schema")
    assert "min_object" in schema
    assert told.count("warning: left out of the schema: generator") == 2


def test_a_files_name_steers_no_terminal(tmp_path):
    for k in range(3):
        picture(tmp_path / "good" / f"{k}.png", k)
    (tmp_path / "good" / "\x1b[2Jnotes.txt").touch()
    out, told = run("make", "-r", "perlin", "-s", tmp_path / "good", "-n", 4, "-o", tmp_path / "out")
    assert "\\x1b[2Jnotes.txt" in out and "\x1b" not in out + told


def test_a_preview_says_in_words_which_pixels_count_and_what_was_noted(good, tmp_path):
    out, _ = run("preview", "--recipes", "nsa,fpi", "-s", good, "--size", "32", "--rows", 1, cwd=tmp_path)
    noted = "  6 of 6 images scaled, from 64×64 to 32×32 pixels (height × width)"
    assert out.splitlines()[:3] == ["anomgen-preview.png", "  foreground: none", noted]
    assert out.splitlines()[3].startswith("next: ")
