"""Training a DDPM: exact resume, one gradient whatever the parts, several categories, a start from another model."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from learned import TINY, pictures, tiny_sdas
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anomgen.cli.main import app
from anomgen.errors import AnomgenError, Interrupted, RecipeError, SourceError, UsageError
from anomgen.generators.base import build_generator
from anomgen.generators.conformance import TestPool, check_generator
from anomgen.models.sdas.bound import variational_bound
from anomgen.models.sdas.model import load_sdas
from anomgen.models.sdas.network import build_unet
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import Category, train_sdas
from anomgen.models.training import Diverged
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def brick(count=8, size=32, name="brick"):
    return Builtin(count=count, size=size, name=name).open()


def run(out, settings, categories=None, **options):
    chosen = categories or [Category("brick", brick())]
    return train_sdas(chosen, TrainSDAS(**{**TINY, **settings}), out, **options)


class Stop(Exception):
    pass


def stop_after(step):
    def progress(done, total, note):
        if done == step:
            raise Stop

    return progress


def test_a_training_that_was_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    settings = {"steps": 6, "checkpoint_every": 2, "sheet_every": 6}
    run(tmp_path / "whole", settings)
    with pytest.raises(Stop):
        run(tmp_path / "parts", settings, progress=stop_after(5))
    assert json.loads((tmp_path / "parts" / "training.json").read_text())["steps"] == 4
    assert not (tmp_path / "parts" / "model_index.json").exists()
    result = run(tmp_path / "parts", settings, resume=True)
    assert (result.steps, result.made) == (6, 2)
    for name in (WEIGHTS, "transform/diffusion_pytorch_model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_a_checkpoint_says_all_in_one_entry_because_several_come_in_any_order(tmp_path):
    """Law: equal states have equal bytes, in every process."""
    run(tmp_path / "model", {"steps": 1})
    with safe_open(tmp_path / "model" / "checkpoint.safetensors", "pt") as file:
        assert list(file.metadata()) == ["training"]


def test_a_checkpoint_of_0_1_0_is_gone_on_with(tmp_path):
    run(tmp_path / "whole", {"steps": 3})
    with pytest.raises(Stop):
        run(tmp_path / "parts", {"steps": 3, "checkpoint_every": 2}, progress=stop_after(3))
    file = tmp_path / "parts" / "checkpoint.safetensors"
    with safe_open(file, "pt") as opened:
        losses = json.loads(opened.metadata()["training"])["losses"]
    save_file(load_file(file), file, {"step": "2", "losses": json.dumps(losses)})
    assert run(tmp_path / "parts", {"steps": 3, "checkpoint_every": 2}, resume=True).made == 1
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "parts" / WEIGHTS).read_bytes()


def test_a_checkpoint_whose_state_is_none_is_refused(tmp_path):
    run(tmp_path / "model", {"steps": 1})
    file = tmp_path / "model" / "checkpoint.safetensors"
    for state in ("[]", "{}", '{"step": [], "losses": {}}', '{"step": 1, "losses": 3}', "[" * 100_000):
        save_file(load_file(file), file, {"training": state})
        with pytest.raises(AnomgenError, match="this checkpoint cannot be read"):
            run(tmp_path / "model", {"steps": 2}, resume=True)


def test_a_full_disk_below_a_model_is_an_error_that_keeps_the_checkpoint(tmp_path, monkeypatch):
    """Law: whichever library writes the part, the folder is named, and --resume finishes the model."""
    from safetensors import SafetensorError

    from anomgen.models.sdas.pipeline import PatchTransform

    for error in (SafetensorError("I/O error: No space left on device"), OSError(errno.ENOSPC, "No space left")):
        with monkeypatch.context() as patched, pytest.raises(AnomgenError, match=r"model.*(written|room|space)"):
            patched.setattr(PatchTransform, "save", lambda *_, error=error: (_ for _ in ()).throw(error))
            run(tmp_path / "model", {"steps": 1}, resume=(tmp_path / "model").exists())
    assert run(tmp_path / "model", {"steps": 1}, resume=True).made == 0


def test_a_training_that_is_killed_at_a_checkpoint_has_its_sheet_and_leaves_nothing_behind(tmp_path, monkeypatch):
    """Law: a sheet comes before the checkpoint from which it would not be drawn again; who goes on sweeps up."""
    from anomgen.models import training

    checkpoint = training._checkpoint

    def die(*args):
        if args[3] == 2:
            raise RuntimeError("killed")
        checkpoint(*args)

    monkeypatch.setattr(training, "_checkpoint", die)
    every = {"sheet_every": 1, "checkpoint_every": 1}
    with pytest.raises(RuntimeError, match="killed"):
        tiny_sdas(tmp_path / "model", steps=3, **every)
    assert [file.name for file in sorted((tmp_path / "model" / "sheets").iterdir())][-1] == "step-000002.png"
    left = [
        tmp_path / "model" / ".training.json.7-0123abcd.tmp",
        tmp_path / "model" / "sheets" / ".x.png.7-0123abcd.tmp",
    ]
    for file in left:
        file.touch()
    monkeypatch.undo()
    source = Builtin(count=8, size=32).open()
    train_sdas([Category("brick", source)], TrainSDAS(steps=3, **TINY, **every), tmp_path / "model", resume=True)
    assert not any(file.exists() for file in left)


def test_a_killed_command_resumes_to_the_same_weights(tmp_path):
    settings = {"channels": "[32,32]", "attention": "[false,true]", "batch_size": "2", "checkpoint_every": "5"}
    command = [
        sys.executable,
        "-m",
        "anomgen",
        "train",
        "sdas",
        "--source",
        "builtin",
        "--size",
        "32",
        "--steps",
        "40",
        "-o",
        str(tmp_path / "parts"),
    ]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not _steps(tmp_path / "parts"):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < _steps(tmp_path / "parts")
    last = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    whole = {"steps": 40, "batch_size": 2, "warmup": 100}
    run(tmp_path / "whole", whole, [Category("builtin", Builtin(size=32).open())])
    for name in (WEIGHTS, "transform/diffusion_pytorch_model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_ctrl_c_ends_the_running_step_and_keeps_a_checkpoint(tmp_path):
    def progress(done, total, note):
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"step 3 of 6.*--resume"):
        run(tmp_path / "model", {"steps": 6, "checkpoint_every": 100}, progress=progress)
    assert _steps(tmp_path / "model") == 3
    assert run(tmp_path / "model", {"steps": 6, "checkpoint_every": 100}, resume=True).made == 3


def _steps(folder):
    try:
        return json.loads((folder / "training.json").read_text())["steps"]
    except OSError:
        return 0


def test_a_batch_in_parts_gives_the_same_weights(tmp_path):
    run(tmp_path / "whole", {"steps": 2, "batch_size": 4, "gradient_clip": 0.1})
    run(tmp_path / "parts", {"steps": 2, "batch_size": 4, "gradient_clip": 0.1, "accumulation": 2})
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.allclose(whole[name], parts[name], atol=1e-4) for name in whole)


def test_training_lowers_the_loss_and_the_sheet_shows_it(tmp_path):
    run(tmp_path / "model", {"steps": 60, "learning_rate": 2e-3, "sheet_every": 60})
    lines = [json.loads(line) for line in (tmp_path / "model" / "log.jsonl").read_text().splitlines()]
    assert np.mean([line["loss"] for line in lines[-2:]]) < 0.9 * lines[0]["loss"]
    assert (tmp_path / "model" / "sheets" / "step-000060.png").is_file()
    assert "60 steps" in (tmp_path / "model" / "README.md").read_text()


def test_a_learned_variance_trains_and_loads_as_a_stock_pipeline(tmp_path):
    settings = {
        "patch": 1,
        "variance": "learned_range",
        "prediction": "epsilon",
        "resample": "resnet",
        "scale_shift": True,
        "steps": 2,
    }
    result = run(tmp_path / "model", settings)
    assert set(result.losses) == {"loss", "bound"}
    plain = DDPMPipeline.from_pretrained(tmp_path / "model")
    plain.set_progress_bar_config(disable=True)
    drawn = plain(generator=torch.Generator().manual_seed(0), num_inference_steps=3, output_type="np").images
    assert drawn.shape == (1, 32, 32, 1) and np.isfinite(drawn).all()


def test_the_bound_is_the_divergence_of_two_normal_laws():
    scheduler = DDPMScheduler(variance_type="learned_range", prediction_type="epsilon")
    x, e, out = (torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(3))
    x = x.clamp(-1, 1)
    t = torch.tensor([1, 400, 999])
    level = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    noisy = level.sqrt() * x + (1 - level).sqrt() * e
    share = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(9)) * 2 - 1
    found = variational_bound(scheduler, x, noisy, t, out, share)
    for k, step in enumerate(t.tolist()):
        alpha = scheduler.alphas_cumprod[step].double()
        before = scheduler.alphas_cumprod[step - 1].double()
        beta = 1 - alpha / before
        least = (1 - before) / (1 - alpha) * beta
        weight = (share[k].double() + 1) / 2
        variance = torch.exp(weight * beta.log() + (1 - weight) * least.log())

        guess = (noisy[k] - (1 - alpha).sqrt() * out[k]) / alpha.sqrt()
        shared = (1 - beta).sqrt() * (1 - before) * noisy[k]
        true_mean, mean = ((before.sqrt() * beta * start + shared) / (1 - alpha) for start in (x[k].double(), guess))
        law = torch.distributions.Normal
        expected = torch.distributions.kl_divergence(law(true_mean, least.sqrt()), law(mean, variance.sqrt()))
        assert torch.allclose(found[k].double(), expected.mean() / np.log(2), rtol=1e-3)


def test_the_bound_at_the_first_step_is_a_probability_over_levels():
    scheduler = DDPMScheduler(variance_type="learned_range", prediction_type="sample")
    levels = (torch.arange(256) / 127.5 - 1).view(256, 1, 1, 1)
    noisy, guess = torch.zeros(256, 1, 1, 1), torch.full((256, 1, 1, 1), 0.1)
    bits = variational_bound(scheduler, levels, noisy, torch.zeros(256, dtype=torch.long), guess, guess * 0)
    assert abs(float((0.5 ** bits.double()).sum()) - 1) < 1e-3


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
    arguments = [
        "train",
        "sdas",
        "-s",
        str(tmp_path / "data"),
        "--size",
        "32",
        "--steps",
        "1",
        "-o",
        str(tmp_path / "model"),
        "--set",
        "channels=[32,32]",
        "--set",
        "attention=[false,true]",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert load_sdas(str(tmp_path / "model")).categories == ("bottle", "screw")


def test_skipped_images_are_told(tmp_path):
    pictures(tmp_path / "data", 8, grey=True)
    (tmp_path / "data" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "data" / "notes.txt").write_text("")
    arguments = [
        "train",
        "sdas",
        "-s",
        str(tmp_path / "data"),
        "--size",
        "32",
        "--steps",
        "1",
        "-o",
        str(tmp_path / "model"),
        "--set",
        "channels=[32,32]",
        "--set",
        "attention=[false,true]",
        "--set",
        "source.on_bad_image=skip",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
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
    assert json.loads((tmp_path / "second" / "training.json").read_text())["init"]["name"] == "first"
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


def test_two_processes_train_what_one_trains(tmp_path):
    """What `accelerate launch` does on a machine with two devices, here on the CPU."""
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "-m",
        "anomgen",
        "train",
        "sdas",
        "--source",
        "builtin",
        "--size",
        "32",
        "--steps",
        "3",
        "-o",
        str(tmp_path / "two"),
    ]
    for setting in ("channels=[32,32]", "attention=[false,true]", "batch_size=4"):
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    run(tmp_path / "one", {"steps": 3, "warmup": 100}, [Category("builtin", Builtin(size=32).open())])
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    from anomgen.models.sdas.training import SDASTask

    losses = SDASTask._losses

    def sometimes(task, part):
        terms = losses(task, part)
        return {name: term * float("nan") for name, term in terms.items()} if part.start >= 12 else terms

    monkeypatch.setattr(SDASTask, "_losses", sometimes)
    with pytest.raises(Diverged, match=r"step 4: loss is nan; .* kept.*--resume.*learning_rate"):
        run(tmp_path / "model", {"steps": 6, "checkpoint_every": 2})
    assert json.loads((tmp_path / "model" / "training.json").read_text())["steps"] == 2
    monkeypatch.setattr(SDASTask, "_losses", losses)
    assert run(tmp_path / "model", {"steps": 6, "checkpoint_every": 2, "learning_rate": 1e-4}, resume=True).made == 4


def test_a_loss_that_is_not_a_number_before_the_first_checkpoint_says_to_start_anew(tmp_path, monkeypatch):
    from anomgen.models.sdas.training import SDASTask

    monkeypatch.setattr(SDASTask, "_losses", lambda task, part: {"bound": torch.tensor(float("nan"))})
    with pytest.raises(Diverged, match=r"step 1: the loss bound is nan; there is no checkpoint yet.*--overwrite"):
        run(tmp_path / "model", {"steps": 2, "checkpoint_every": 2})


def test_the_record_tells_the_versions_and_others_are_warned_of(tmp_path, capsys):
    record = tmp_path / "model" / "training.json"
    run(tmp_path / "model", {"steps": 1})
    values = json.loads(record.read_text())
    assert set(values["versions"]) == {"torch", "diffusers", "accelerate"}
    run(tmp_path / "model", {"steps": 2}, resume=True)
    assert "warning" not in capsys.readouterr().err
    values["versions"]["torch"] = "0.1"
    record.write_text(json.dumps(values))
    run(tmp_path / "model", {"steps": 3}, resume=True)
    assert "trained with torch 0.1" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_files_of_a_model_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        run(tmp_path / "model", {"steps": 1})
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


def test_running_out_of_memory_says_what_to_lower(tmp_path, monkeypatch):
    from anomgen.models.sdas.training import SDASTask

    def full(task, number):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(SDASTask, "step", full)
    with pytest.raises(AnomgenError, match=r"accumulation=2.*batch_size"):
        run(tmp_path / "model", {"steps": 1})


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
    with pytest.raises(UsageError, match="one size and channel count"):
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
