"""Publishing and using what was published, by the programs a user runs: anomgen, datasets, huggingface_hub."""

import json
import os
import re
from pathlib import Path

import pytest
import small
from hub_fixtures import TOKEN
from hub_server import Server

import anomgen

pytest.importorskip("datasets", reason='needs datasets: pip install ".[hub]"')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two datasets of the built-in brick, 48×48: nsa in two shards, and cutpaste."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("nsa", "cutpaste"):
        overrides = ["shard_size=16", "source.size=48"]
        recipe = anomgen.load_recipe(name, source={"kind": "builtin", "name": "brick"}, count=32, overrides=overrides)
        anomgen.make(recipe, folder / name)
    return folder


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """A Hub, and the environment of programs that are to use it."""
    with Server() as server:
        home = tmp_path_factory.mktemp("home")
        names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        server.home, server.environment = (
            home,
            {
                **{key: value for key, value in os.environ.items() if key not in names},
                "HF_ENDPOINT": server.url,
                "HF_HOME": str(home),
                "HF_TOKEN": TOKEN,
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                "COLUMNS": "100",
                "NO_COLOR": "1",
            },
        )
        with small.elsewhere(server.environment) as server.call:
            yield server


@pytest.fixture(scope="module")
def published(made, online):
    """Push both as configurations of me/brick, and return what was printed."""
    first = run(online, "anomgen", "push", made / "nsa", "me/brick", "--revision-tag", "v1")
    second = run(online, "anomgen", "push", made / "cutpaste", "me/brick", "--config", "patches", "--json")
    return first, second


def run(online, program, *words, **options):
    """Run anomgen, or Python with a program's text, where the Hub is."""
    program = None if program == "anomgen" else program
    return online.call(small.run, *map(str, words), program=program, **options)


def test_the_command_prints_what_was_done_and_what_is_next(published, online):
    (out, errors), (json_out, _) = published
    assert all(line.startswith("pushing: ") for line in errors.splitlines())
    assert "/datasets/me/brick (new): dataset nsa, cc0-1.0" in out
    assert "pushed: 6 files" in out and 'load: datasets.load_dataset("me/brick", "nsa", revision="v1")' in out
    pushed = json.loads(json_out)
    assert pushed["name"] == "patches" and pushed["commit"] == online.repos["dataset", "me/brick"].refs["main"]
    assert "patches/preview.png" in pushed["files"] and not any(file.startswith("nsa/") for file in pushed["files"])


def test_a_second_push_and_a_dry_run_send_nothing(published, made, online):
    online.log.clear()
    out, _ = run(online, "anomgen", "push", made / "nsa", "me/brick")
    assert "pushed: 0 files" in out
    out, _ = run(online, "anomgen", "push", made / "nsa", "me/brick", "--config", "third", "--dry-run")
    assert "to push: 6 files" in out and "nothing was sent" in out
    assert not online.requests("PUT|commit/")


def test_plain_datasets_loads_both_configurations(published, made, online, tmp_path):
    """Pixels, names and counts are those of the local folders, loaded, streamed, and by tag."""
    program = """
        import sys
        from datasets import get_dataset_config_names, load_dataset
        made = sys.argv[1]
        assert get_dataset_config_names("me/brick") == ["nsa", "patches"]
        for name, folder in (("nsa", "nsa"), ("patches", "cutpaste")):
            online = load_dataset("me/brick", name, split="train")
            local = load_dataset(f"{made}/{folder}", split="train")
            assert online.features == local.features and len(online) == len(local) == 32
            for row, other in zip(online, local, strict=True):
                for column in ("image", "mask"):
                    assert row.pop(column).tobytes() == other.pop(column).tobytes()
                soft, other_soft = row.pop("soft_mask"), other.pop("soft_mask")
                assert (soft and soft.tobytes()) == (other_soft and other_soft.tobytes()) and row == other
        names = load_dataset("me/brick", split="train").features["defect_type"].names
        assert names[0] == "normal" and "nsa" in names
        streamed = list(load_dataset("me/brick", "patches", split="train", streaming=True))
        assert len(streamed) == 32 and streamed[3]["image"].size == (48, 48)
        assert len(load_dataset("me/brick", "nsa", split="train", revision="v1")) == 32
        try:
            load_dataset("me/brick", "patches", revision="v1")
        except ValueError as error:
            print(error)
    """
    out, _ = run(online, program, made)
    assert "patches" in out  # not there at v1


def test_the_example_of_the_card_works(published, online):
    card = online.repos["dataset", "me/brick"].files["README.md"].decode()
    examples = re.findall(r"```python\n(.*?)```", card, re.S)
    assert len(examples) == 2
    out, _ = run(online, "\n".join(examples))
    assert out.split("\n")[:2] == ["(48, 48) nsa", "(48, 48) cutpaste"]


def test_push_to_hub_of_datasets_goes_on_where_we_stopped(made, online):
    """The known trap: `set_default=True` in a repository whose configuration has another name."""
    run(online, "anomgen", "push", made / "nsa", "me/shared")
    program = """
        from datasets import Dataset, load_dataset
        Dataset.from_dict({"x": [1, 2]}).push_to_hub("me/shared", config_name="numbers", set_default=True)
        assert load_dataset("me/shared", split="train")["x"][:] == [1, 2]
        assert len(load_dataset("me/shared", "nsa", split="train")) == 32
    """
    run(online, program)
    out, _ = run(online, "anomgen", "push", made / "nsa", "me/shared")
    assert "pushed: 0 files" in out


def test_a_downloaded_configuration_passes_check_and_replay(published, online, tmp_path):
    program = """
        import sys
        from huggingface_hub import snapshot_download
        snapshot_download("me/brick", repo_type="dataset", allow_patterns="nsa/*", local_dir=sys.argv[1])
    """
    run(online, program, tmp_path)
    out, _ = run(online, "anomgen", "check", tmp_path / "nsa", "--json")
    assert json.loads(out)["ok"] and json.loads(out)["rows"]["all"] == 32
    out, _ = run(online, "anomgen", "replay", tmp_path / "nsa", 3)
    assert "bit-identical" in out


def test_the_tutorial_publishes_as_written(made, online, tmp_path):
    text = (Path(__file__).parent.parent / "docs/tutorials/publish.md").read_text(encoding="utf-8")
    (shell,), (example,) = (re.findall(rf"```{name}\n(.*?)```", text, re.S) for name in ("bash", "python"))
    online.owners[TOKEN].add("yourself")
    (tmp_path / "out").symlink_to(made / "nsa")
    (tmp_path / "more").symlink_to(made / "cutpaste")
    lines = [line.split("#")[0].split() for line in shell.splitlines()]
    assert [words[:2] for words in lines] == [["hf", "auth"], *[["anomgen", "push"]] * 3]
    for words in lines[1:]:
        run(online, *words, cwd=tmp_path)
    run(online, example)
    repo = online.repos["dataset", "yourself/bottles"]
    assert len(repo.commits) == 3 and "v1" in repo.tags and "cutpaste/recipe.yaml" in repo.files


def test_errors_of_the_command(made, online):
    for words, code, text in (
        (["nowhere", "me/x"], 2, "no such folder"),
        ([made / "nsa", "x"], 2, "OWNER/NAME"),
        ([made / "nsa", "somebody/x"], 1, "403"),
        ([made / "nsa", "me/x", "--license", "unknown"], 2, "names no licence"),
        (["s3://bucket/set", "me/x"], 2, "local folder"),
    ):
        out, errors = run(online, "anomgen", "push", *words, "--json", code=code)
        assert text in errors and text in json.loads(out)["error"]


def test_the_token_is_in_no_output_and_no_file(published, made, online):
    for out, errors in published:
        assert TOKEN not in out + errors
    for root in (online.home, made):
        for file in Path(root).rglob("*"):
            assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file
    for repo in online.repos.values():
        assert not any(TOKEN.encode() in data for files in repo.commits.values() for data in files.values())


@pytest.mark.slow
def test_a_pushed_latent_model_loads_from_the_hub_everywhere(online, tmp_path):
    pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")
    from learned import tiny_sdas

    tiny_sdas(tmp_path / "model")
    run(online, "anomgen", "push", tmp_path / "model", "me/tiny", "--license", "cc0-1.0")
    overrides = ["--set", "generator.model=me/tiny", "--set", "generator.steps=2", "--size", "32", "-n", "4"]
    printed, _ = small.launch(
        *("make", "--recipe", "sdas", *overrides, "-o", tmp_path / "out"),
        environment=online.environment,
        program="""
        import numpy, torch
        from diffusers import DiffusionPipeline, UNet2DModel
        from anomgen.models.pipeline import SDASPipeline

        def drawn(pipeline):
            assert pipeline.transform is not None
            return pipeline(generator=torch.Generator().manual_seed(0), strength=0.15, output_type="np").images

        custom = DiffusionPipeline.from_pretrained("me/tiny", custom_pipeline="me/tiny", trust_remote_code=True)
        ours = SDASPipeline.from_pretrained("me/tiny")
        print(numpy.array_equal(drawn(custom), drawn(ours)), type(custom).__module__.split(".")[0])
        print(UNet2DModel.from_pretrained("me/tiny", subfolder="unet").config.in_channels)
        from anomgen.cli.main import main
        main()
    """,
    )
    assert printed.split()[:3] == ["True", "diffusers_modules", "16"]
    assert (tmp_path / "out" / "provenance.json").is_file()
