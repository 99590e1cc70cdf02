"""Publishing trained models: what is needed to use one, and nothing else."""

import json
import shutil
from functools import partial

import pytest
import yaml
from typer.testing import CliRunner

from anomgen.cli import app
from anomgen.errors import UsageError
from anomgen.hub import push as push_checked
from anomgen.hub.upload import PIPELINE

push = partial(push_checked, check=False)
"""The models of most tests here are made up."""
CARD = """---
license: cc-by-4.0
tags:
- anomaly-detection
---

# A model

![samples](sheets/last.png)

`--set generator.model=THIS_FOLDER`, or `from_pretrained("THIS_FOLDER_OR_REPOSITORY")`
"""
RECORD = {"kind": "sdas", "settings": {"steps": 2}, "data": [{"images": 8, "license": "cc-by-4.0"}], "finished": True}


@pytest.fixture
def model(tmp_path):
    """A folder as `anomgen train sdas` leaves it, with made-up weights."""
    folder = tmp_path / "model"
    texts = {
        "model_index.json": '{"_class_name": "SDASPipeline"}',
        "unet/config.json": "{}",
        "scheduler/scheduler_config.json": "{}",
        "training.json": json.dumps(RECORD),
        "README.md": CARD,
        "pipeline.py": PIPELINE.read_text(),
        "log.jsonl": "{}\n",
        ".cache/state.json": "{}",
    }
    contents = {
        **{path: text.encode() for path, text in texts.items()},
        "unet/diffusion_pytorch_model.safetensors": b"weights",
        "checkpoint.safetensors": b"state",
        "checkpoints/step-1/optimizer.pt": b"pickle",
        "sheets/last.png": b"png",
        "sheets/first.png": b"png",
    }
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def front(repo):
    return yaml.safe_load(repo.files["README.md"].decode().split("---\n")[1])


def test_what_is_needed_to_use_it_is_pushed_and_nothing_else(hub, model):
    pushed = push(model, "me/sdas", revision_tag="v1")
    repo = hub.repos["model", "me/sdas"]
    assert sorted(repo.files) == [
        ".gitattributes",
        "README.md",
        "model_index.json",
        "pipeline.py",
        "scheduler/scheduler_config.json",
        "sheets/last.png",
        "training.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ]
    assert pushed.kind == "model" and "checkpoint.safetensors" in pushed.left_out and "log.jsonl" in pushed.left_out
    assert repo.tags == {"v1": pushed.commit} and len(hub.requests("POST .*/commit/")) == 1
    assert front(repo)["license"] == "cc-by-4.0" and "anomgen" in front(repo)["tags"]
    text = repo.files["README.md"].decode()
    assert "generator.model=me/sdas" in text and 'from_pretrained("me/sdas")' in text


@pytest.mark.parametrize("kind", ["sdas", "cyclegan"])
def test_what_comes_next_is_the_recipe_that_draws_with_the_model(hub, model, kind):
    (model / "training.json").write_text(json.dumps({**RECORD, "kind": kind}))
    done = CliRunner().invoke(app, ["push", str(model), f"me/{kind}", "--no-check"])
    assert done.stdout.splitlines()[-1] == f"next: anomgen show {kind} --set generator.model=me/{kind}"


def test_what_comes_next_of_a_classifier_is_the_model_that_it_guides(hub, model):
    (model / "training.json").write_text(json.dumps({**RECORD, "kind": "classifier"}))
    done = CliRunner().invoke(app, ["push", str(model), "me/guide", "--no-check"])
    words = "anomgen show sdas --set generator.model=MODEL --set generator.classifier=me/guide"
    assert done.stdout.splitlines()[-1] == f"next: {words}"


def test_pushing_again_sends_what_changed(hub, model):
    push(model, "me/sdas")
    assert push(model, "me/sdas").files == ()
    (model / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"better!")
    assert push(model, "me/sdas").files == ("unet/diffusion_pytorch_model.safetensors",)


def test_text_on_the_hub_survives(hub, model):
    push(model, "me/sdas")
    repo = hub.repos["model", "me/sdas"]
    edited = repo.files["README.md"].replace(b"# A model", b"# Our model") + b"\nNotes.\n"
    repo.commit("main", {**repo.files, "README.md": edited})
    (model / "README.md").write_text(CARD + "\nmore\n")
    pushed = push(model, "me/sdas")
    assert b"# Our model" in repo.files["README.md"] and b"Notes." in repo.files["README.md"] and pushed.notes


def test_another_model_is_not_replaced_by_accident(hub, model):
    push(model, "me/sdas")
    (model / "training.json").write_text(json.dumps({**RECORD, "data": [{"license": "cc-by-4.0", "images": 9}]}))
    with pytest.raises(UsageError, match=r"holds something else as model .*choose another repository.*--overwrite"):
        push(model, "me/sdas")
    assert push(model, "me/sdas", overwrite=True).files == ("training.json",)


@pytest.mark.parametrize("name", ["weights.bin", "unet/model.pt", "last.ckpt", "a.pkl"])
def test_pickles_are_refused(hub, model, name):
    (model / name).write_bytes(b"pickle")
    with pytest.raises(UsageError, match=r"pickled code.*safetensors"):
        push(model, "me/sdas")
    assert not hub.log


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("README.md", "there is no README.md"),
        ("training.json", "there is no training.json"),
        ("unet/diffusion_pytorch_model.safetensors", "holds no weights"),
        ("model_index.json", "not an anomgen dataset"),
    ],
)
def test_what_is_missing_is_named(hub, model, missing, text):
    (model / missing).unlink()
    with pytest.raises(UsageError, match=text):
        push(model, "me/sdas")


def test_what_does_not_go_with_a_model_is_refused(hub, model):
    with pytest.raises(UsageError, match="no configurations"):
        push(model, "me/sdas", config="nsa")
    (model / "training.json").write_text(json.dumps({**RECORD, "finished": False}))
    with pytest.raises(UsageError, match="not finished"):
        push(model, "me/sdas")


def test_the_licence_of_the_training_images_binds_the_model(hub, model):
    (model / "training.json").write_text(json.dumps({**RECORD, "data": [{"license": "cc-by-nc-sa-4.0"}]}))
    with pytest.raises(UsageError, match="same terms"):
        push(model, "me/sdas")
    (model / "README.md").write_text(CARD.replace("cc-by-4.0", "unknown"))
    assert push(model, "me/sdas").license == "cc-by-nc-sa-4.0"
    (model / "training.json").write_text(json.dumps({**RECORD, "data": [{"license": None}]}))
    with pytest.raises(UsageError, match=r"licence is not known.*--license"):
        push(model, "me/other")


def test_a_trained_model_is_used_from_the_hub(hub, tmp_path):
    """What `anomgen train sdas` writes draws the same from the folder and from the repository."""
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    import numpy as np
    from learned import tiny_sdas

    from anomgen.models.sdas.model import load_sdas

    folder = tiny_sdas(tmp_path / "trained")
    pushed = push_checked(folder, "me/brick")
    assert pushed.license == "cc0-1.0" and not any("checkpoint" in file or "log" in file for file in pushed.files)
    there, here = load_sdas("me/brick"), load_sdas(str(folder))
    assert there.fingerprint == here.fingerprint
    drawn = [model.draw([np.random.default_rng(1)], [0.2], steps=2)[0] for model in (there, here)]
    assert np.array_equal(*drawn)


def test_a_trained_cycle_gan_is_used_from_the_hub(hub, tmp_path):
    pytest.importorskip("torch")
    from learned import disc, pictures, tiny_cyclegan

    from anomgen.models.cyclegan.model import model_fingerprint

    pictures(tmp_path / "good", 10)
    pictures(tmp_path / "bad", 10, change=disc)
    folder = tiny_cyclegan(tmp_path / "trained", tmp_path)
    push_checked(folder, "me/gan", license="cc-by-4.0")
    assert model_fingerprint("me/gan") == model_fingerprint(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a class-conditional `sdas`, its `classifier` and a `cyclegan`."""
    pytest.importorskip("diffusers")
    from learned import disc, pictures, tiny_cyclegan, tiny_guided

    folder = tmp_path_factory.mktemp("trained")
    pictures(folder / "good", 10)
    pictures(folder / "bad", 10, change=disc)
    for path, name in zip(tiny_guided(folder), ("sdas", "classifier"), strict=True):
        path.rename(folder / name)
    tiny_cyclegan(folder / "cyclegan", folder)
    return folder


UNET, TRANSFORM = "unet/diffusion_pytorch_model.safetensors", "transform/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("kind", "file", "value"),
    [
        ("sdas", UNET, float("nan")),
        ("sdas", TRANSFORM, float("nan")),
        ("sdas", "unet/config.json", None),
        ("cyclegan", "generators/normal_to_abnormal.safetensors", float("nan")),
        ("cyclegan", "generators/abnormal_to_normal.safetensors", float("inf")),
        ("classifier", "classifier.safetensors", float("inf")),
    ],
)
def test_what_no_reader_takes_is_not_published(hub, trained, tmp_path, kind, file, value):
    """Law: a model is read as what uses it reads it, before anything is said or sent; in a dry run, too."""
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    shutil.copytree(trained / kind, model)
    assert push_checked(model, "me/model", license="cc-by-4.0", dry_run=True).new
    if value is None:
        text = (model / file).read_text()
        (model / file).write_text(text.replace('"UpBlock2D"', '"~/x"'))
    else:
        save_file({name: array.fill_(value) for name, array in load_file(model / file).items()}, model / file)
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"no finite numbers|up_block_types.*'~/x'|filters do not belong together"):
            push_checked(model, "me/model", license="cc-by-4.0", dry_run=dry_run)
    assert not hub.repos


def test_only_our_own_code_is_published(hub, model):
    (model / "pipeline.py").write_text("import os; os.system('id')")
    pushed = push(model, "me/sdas")
    assert hub.repos["model", "me/sdas"].files["pipeline.py"] == PIPELINE.read_bytes()
    assert pushed.notes == ("pipeline.py differs from that of this anomgen, whose own is published instead",)


def test_code_that_the_model_does_not_need_is_not_published(hub, model):
    (model / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    pushed = push(model, "me/sdas")
    assert "pipeline.py" not in hub.repos["model", "me/sdas"].files
    assert "pipeline.py" in pushed.left_out and "pipeline.py is not published" in pushed.notes[0]


@pytest.mark.parametrize(
    "name", ["README.md", "sheets/last.png", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
)
def test_nothing_that_a_link_leads_to_is_published(hub, model, tmp_path, name):
    secret = tmp_path / "secret"
    (model / name).replace(secret)
    (model / name).symlink_to(secret)
    with pytest.raises(UsageError, match="only files of the folder itself are published"):
        push(model, "me/sdas")
    assert not hub.repos


def test_the_files_of_a_linked_folder_are_not_published(hub, model, tmp_path):
    (model / "unet").replace(tmp_path / "elsewhere")
    (model / "unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        push(model, "me/sdas")
    assert not hub.repos
