"""What a training of SDAS is asked for: its settings, its images, what it starts from, and what is refused."""

import json

import numpy as np
import pytest
from sdas_runs import brick, run

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from learned import pictures, tiny_sdas
from safetensors.torch import load_file
from typer.testing import CliRunner

from anomgen.cli.main import app
from anomgen.errors import RecipeError, SourceError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.models.sdas.model import load_sdas
from anomgen.models.sdas.network import build_unet
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.settings import TrainSDAS

torch.set_num_threads(1)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def train_for_a_step(folder, *more):
    """Train a tiny model on the images in `data`, by the command; return what it printed."""
    words = ["train", "sdas", "-s", str(folder / "data"), "--size", "32", "--steps", "1", "-o", str(folder / "model")]
    tiny = ["--set", "channels=[32,32]", "--set", "attention=[false,true]"]
    result = CliRunner().invoke(app, [*words, *tiny, *more])
    assert result.exit_code == 0, result.output
    return result


def test_several_categories_make_one_conditional_model(tmp_path):
    categories = [Category(name, brick(name=name)) for name in ("brick", "grass", "gravel")]
    run(tmp_path / "model", {"steps": 2}, categories)
    model = load_sdas(str(tmp_path / "model"))
    assert model.categories == ("brick", "grass", "gravel")
    assert model.category("grass") == 1
    drawn = [model.draw([np.random.default_rng(0)], [0.0], steps=2, labels=[label])[0] for label in (0, 1)]
    assert not np.array_equal(*drawn)
    with pytest.raises(UsageError, match=r"category.*brick, grass"):
        model.category(None)
    with pytest.raises(UsageError, match="'wood'"):
        model.category("wood")
    whole = {"kind": "sdas", "model": str(tmp_path / "model"), "extent": "whole", "steps": 1}
    pool = TestPool((32, 32, 1))
    with pytest.raises(UsageError, match=r"generator\.category"):
        build_generator(whole).prepared(pool)
    check_generator(build_generator({**whole, "category": "grass"}), pool, count=2)
    mixed = build_generator({**whole, "category": "all"})
    results = mixed.sample_batch([np.random.default_rng(k) for k in range(12)], [pool[0]] * 12, pool)
    assert len({result.params["category"] for result in results}) == 3


def test_the_folder_of_all_categories_stands_for_each_of_them(tmp_path):
    import cv2

    for name in ("bottle", "screw"):
        folder = tmp_path / "data" / name / "train" / "good"
        folder.mkdir(parents=True)
        for k in range(8):
            cv2.imwrite(str(folder / f"{k:03d}.png"), brick()[k])
    train_for_a_step(tmp_path)
    assert load_sdas(str(tmp_path / "model")).categories == ("bottle", "screw")


def test_skipped_images_are_told(tmp_path):
    pictures(tmp_path / "data", 8, grey=True)
    (tmp_path / "data" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "data" / "notes.txt").write_text("")
    result = train_for_a_step(tmp_path, "--set", "source.on_bad_image=skip")
    assert "skipped source files: 1, the first is broken.png" in result.stderr
    assert "note: left out 1 file, of kinds that are not read (.txt 1): notes.txt" in result.stderr


def test_a_start_from_another_model_takes_its_weights(tmp_path):
    first = tiny_sdas(tmp_path / "first", steps=2)
    categories = [Category("brick", brick(size=64)), Category("grass", brick(size=64, name="grass"))]
    run(tmp_path / "second", {"steps": 1, "learning_rate": 1e-9, "ema": 0.0}, categories, init=str(first))
    before, after = (load_file(tmp_path / name / WEIGHTS) for name in ("first", "second"))
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in before)
    assert set(after) - set(before) == {"class_embedding.weight"}
    assert load_sdas(str(tmp_path / "second")).shape == (64, 64, 1)
    record = json.loads((tmp_path / "second" / "training.json").read_text())
    assert record["init"]["name"] == "first" and record["licenses"] == ["cc0-1.0"]
    with pytest.raises(UsageError, match="channels"):
        run(tmp_path / "third", {"steps": 1}, [Category("x", brick(name="immunohistochemistry"))], init=str(first))
    with pytest.raises(UsageError, match="prediction: the model to start from has v_prediction"):
        run(tmp_path / "third", {"steps": 1, "prediction": "epsilon", "channels": (64, 128, 256)}, init=str(first))


def test_any_diffusers_ddpm_can_be_started_from_and_drawn_from(tmp_path):
    plain = UNet2DModel(
        sample_size=32,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    DDPMPipeline(plain, DDPMScheduler()).save_pretrained(tmp_path / "plain")
    generator = build_generator({"kind": "sdas", "model": str(tmp_path / "plain"), "steps": 2})
    check_generator(generator, TestPool((32, 32, 1)), count=2)
    run(tmp_path / "model", {"steps": 1}, init=str(tmp_path / "plain"))
    settings = json.loads((tmp_path / "model" / "training.json").read_text())["settings"]
    assert (settings["prediction"], settings["patch"], settings["layers"]) == ("epsilon", 1, 2)
    assert type(DDPMPipeline.from_pretrained(tmp_path / "model")) is DDPMPipeline


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attention": (True,)}, "one for each level"),
        ({"channels": (32, 32, 32, 32), "attention": (False,) * 4}, "--size 64x64"),
        ({"variance": "learned_range"}, "patch=1"),
        ({"channels": (32, 40)}, "multiples of 32"),
        ({"batch_size": 3, "accumulation": 2}, "multiple of 2"),
    ],
)
def test_settings_that_do_not_fit_write_nothing(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "model", {"steps": 1, **settings})
    assert not (tmp_path / "model").exists()


def test_wrong_requests_are_refused(tmp_path):
    with pytest.raises(SourceError, match="at least 8 images"):
        run(tmp_path / "model", {"steps": 1}, [Category("few", brick(count=3))])
    with pytest.raises(UsageError, match="one size; give it with --size"):
        run(tmp_path / "model", {"steps": 1}, [Category("a", brick()), Category("b", brick(size=64))])
    with pytest.raises(UsageError, match="no such model folder"):
        run(tmp_path / "model", {"steps": 1}, init=str(tmp_path / "nothing"))
    with pytest.raises(RecipeError, match="did you mean 'learning_rate'"):
        _validated({"learning_rat": 1})
    run(tmp_path / "model", {"steps": 1})
    with pytest.raises(UsageError, match="--resume"):
        run(tmp_path / "model", {"steps": 1})
    with pytest.raises(UsageError, match=r"ema \(0.999, now 0.5\)"):
        run(tmp_path / "model", {"steps": 1, "ema": 0.5}, resume=True)
    with pytest.raises(UsageError, match=r"data \(the images: .*--size\).*training.json has them\)$"):
        run(tmp_path / "model", {"steps": 1}, [Category("brick", brick(count=9))], resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        run(tmp_path / "other", {"steps": 1}, overwrite=True)
    assert (tmp_path / "other" / "mine.txt").read_text() == "x"


def _validated(values):
    from anomgen.config import validated

    return validated(TrainSDAS, values)


def test_the_paper_preset_is_the_paper_network():
    settings = TrainSDAS(preset="paper")
    with torch.device("meta"):
        unet = build_unet(settings, (256, 256, 3), categories=15)
    config = unet.config
    assert config.block_out_channels == (256, 256, 512, 512, 1024, 1024)
    assert (config.in_channels, config.out_channels, config.num_class_embeds) == (3, 6, 15)
    assert config.down_block_types[3:] == ("AttnDownBlock2D",) * 3 and config.attention_head_dim == 64
    assert (settings.batch_size, settings.accumulation, settings.learning_rate, settings.ema) == (60, 3, 1e-4, 0.9999)
