"""Training a DDPM: exact resume, one gradient whatever the parts, failures that keep the last checkpoint."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings

import numpy as np
import pytest
import small
from sdas_runs import run

torch = pytest.importorskip("torch", reason="learned generators need the extra `diffusion`")
pytest.importorskip("diffusers", reason="learned generators need the extra `diffusion`")

from accelerate import PartialState
from diffusers import DDPMPipeline
from learned import TINY, tiny_sdas
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from anomgen.errors import AnomgenError, AnomgenWarning, Interrupted
from anomgen.models.sdas.noised import Category
from anomgen.models.sdas.settings import TrainSDAS
from anomgen.models.sdas.training import train_sdas
from anomgen.models.training import Diverged
from anomgen.sources.builtin import Builtin

torch.set_num_threads(1)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


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


STATES = (
    "[]",
    '{"step": [], "losses": {}}',
    '{"step": -5, "losses": {}}',
    '{"step": true, "losses": {}}',
    '{"step": 1e400, "losses": {}}',
    '{"step": 1, "losses": {"a": "x"}}',
    '{"step": 1, "losses": [["a", 1]]}',
    '{"step": ' + "9" * 5000 + ', "losses": {}}',
    "[" * 100_000,
)
RENAMED = {
    "optimiser.0.exp_avg": ("optimiser.x.y.z", "optimiser.0", "optimiser.-1.exp_avg", "optimiser.9999.exp_avg", "mine"),
    "optimiser.0.step": ("optimiser.00.step", "optimiser.0.exp_avg.x"),
    "ema.0": ("ema.x", "ema.9999"),
}


def test_a_checkpoint_whose_state_is_none_is_refused(tmp_path):
    """Law: neither what it says of the training nor a tensor's name, shape or type is taken on trust."""
    out = tmp_path / "model"
    run(out, {"steps": 1})
    file = out / "checkpoint.safetensors"
    tensors, state = load_file(file), {"training": '{"step": 1, "losses": {}}'}
    broken = [(tensors, {"training": text}) for text in STATES] + [(tensors, {}), (tensors, {"step": "1"})]
    for old, names in RENAMED.items():
        broken += [
            ({**{name: tensors[name] for name in tensors if name != old}, new: tensors[old]}, state) for new in names
        ]
    for name in ("optimiser.0.exp_avg", "ema.0", "ema_step"):
        broken += [({**tensors, name: value}, state) for value in (torch.zeros(2, 2, 2), tensors[name].to(torch.int8))]
    for stored, metadata in broken:
        save_file(stored, file, metadata)
        with pytest.raises(AnomgenError, match="this checkpoint cannot be read") as error:
            run(out, {"steps": 2}, resume=True)
        assert len(str(error.value)) < 1000


def test_a_damaged_line_of_the_log_is_left_out(tmp_path):
    out = tmp_path / "model"
    run(out, {"steps": 1})
    first = (out / "log.jsonl").read_bytes()
    lines = [
        b'{"a": 1}',
        b"[1]",
        b"\xff",
        b'{"step": "x"}',
        b'{"step": true}',
        b'{"step": 1, "loss": []}',
        b'{"step": 1, "l',
    ]
    (out / "log.jsonl").write_bytes(b"\n".join([*lines[:3], first.strip(), *lines[3:]]))
    with pytest.warns(AnomgenWarning, match=r"log\.jsonl: 7 lines, the first 1, are damaged and left out"):
        run(out, {"steps": 2}, resume=True)
    left = (out / "log.jsonl").read_text().splitlines()
    assert json.loads(left[0]) == json.loads(first) and [json.loads(line)["step"] for line in left] == [1, 2]


def test_a_full_disk_below_a_model_is_an_error_that_keeps_the_checkpoint(tmp_path, monkeypatch):
    """Law: whichever library writes the part, the folder is named, and --resume finishes the model."""
    from safetensors import SafetensorError

    from anomgen.models.sdas.pipeline import PatchTransform

    for error in (SafetensorError("I/O error: No space left on device"), OSError(errno.ENOSPC, "No space left")):
        with monkeypatch.context() as patched, pytest.raises(AnomgenError, match=r"model.*(written|room|space)"):
            patched.setattr(PatchTransform, "save", lambda *_, error=error: (_ for _ in ()).throw(error))
            run(tmp_path / "model", {"steps": 1}, resume=(tmp_path / "model").exists())
    resumed = run(tmp_path / "model", {"steps": 1}, resume=True)
    assert resumed.made == 0 and resumed.findings.startswith("Train on: the loss of the last step is")


def test_a_training_that_is_killed_at_a_checkpoint_has_its_sheet_and_leaves_nothing_behind(tmp_path, monkeypatch):
    """Law: a sheet comes before the checkpoint from which it would not be drawn again; who goes on sweeps up."""
    from anomgen.models import training

    checkpoint = training._checkpoint

    def die(*args):
        if args[3].step == 2:
            raise RuntimeError("killed")
        checkpoint(*args)

    monkeypatch.setattr(training, "_checkpoint", die)
    every = {"sheet_every": 1, "checkpoint_every": 1}
    with pytest.raises(RuntimeError, match="killed"):
        tiny_sdas(tmp_path / "model", steps=3, **every)
    assert [file.name for file in sorted((tmp_path / "model" / "sheets").iterdir())][-1] == "step-000002.png"
    left = [tmp_path / "model" / name for name in (".training.json.7-0123abcd.tmp", "sheets/.x.png.7-0123abcd.tmp")]
    for file in left:
        file.touch()
    monkeypatch.undo()
    source = Builtin(count=8, size=32).open()
    train_sdas([Category("brick", source)], TrainSDAS(steps=3, **TINY, **every), tmp_path / "model", resume=True)
    assert not any(file.exists() for file in left)


def test_a_killed_command_is_gone_on_with_to_the_same_weights(tmp_path):
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
    environment = {**small.uncounted(), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not _steps(tmp_path / "parts"):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < _steps(tmp_path / "parts")
    small.run(*command[3:], "--resume")
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


BUILTIN = {"steps": 3, "warmup": 100}


def builtin():
    return [Category("builtin", Builtin(size=32).open())]


def is_what_one_trains(place):
    """Return whether the model `two` in a folder is the one that a single process trains."""
    run(place / "one", BUILTIN, builtin())
    one, two = (load_file(place / name / WEIGHTS) for name in ("one", "two"))
    return all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def of_two(rank, port):
    """Make this process one of two, as `accelerate launch` does."""
    from accelerate.state import AcceleratorState

    warnings.simplefilter("ignore")  # of torch's, for groups of processes
    AcceleratorState._reset_state(reset_partial_state=True)
    rank = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ.update(rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_two_processes_train_what_one_trains(tmp_path):
    children = []
    for rank in range(2):
        if not (child := os.fork()):
            try:
                of_two(rank, port=str(20000 + os.getppid() % 20000))
                run(tmp_path / "two", BUILTIN, builtin())
                os._exit(0 if PartialState().num_processes == 2 else 2)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert is_what_one_trains(tmp_path)


@pytest.mark.slow
def test_accelerate_launch_trains_what_one_process_trains(tmp_path):
    """What it does on a machine with two devices, here on the CPU."""
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
    assert is_what_one_trains(tmp_path)


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


def test_the_record_tells_the_versions_and_others_are_warned_of(tmp_path):
    record = tmp_path / "model" / "training.json"
    run(tmp_path / "model", {"steps": 1})
    values = json.loads(record.read_text())
    assert set(values["versions"]) == {"torch", "diffusers", "accelerate"}
    run(tmp_path / "model", {"steps": 2}, resume=True)
    values["versions"]["torch"] = "0.1"
    record.write_text(json.dumps(values))
    with pytest.warns(AnomgenWarning, match=r"trained with torch 0\.1"):
        run(tmp_path / "model", {"steps": 3}, resume=True)


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
