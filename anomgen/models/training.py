"""What all training shares: the folder, the loop, checkpoints, exact resume, sample sheets.

A training folder holds ``training.json`` (what is trained on what, and how far it is), ``checkpoint.safetensors``
(weights and optimiser after that many steps), ``log.jsonl``, ``sheets/``, and, once finished, the model itself. All
randomness follows from (seed, number of the drawn image), so a resumed training draws what an uninterrupted one would.
"""

from __future__ import annotations

import json
import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from anomgen.errors import AnomgenError, Interrupted, Progress, RecipeError, UsageError, silent
from anomgen.files import appending, locked, replacing, sweep, writing
from anomgen.models.checkpoint import State, logged, require_same, state_of
from anomgen.models.device import accelerator_for
from anomgen.models.folder import CHECKPOINT, LOG, SHEETS, check_folder, prepare, write_record
from anomgen.models.settings import TrainingSettings
from anomgen.models.sheet import Sheet, drawn

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


LOG_EVERY = 10
"""Steps between two lines of the log."""


class Diverged(AnomgenError):
    """A loss is not a number."""


@dataclass(frozen=True)
class Trained:
    """What `train` did."""

    path: Path
    steps: int
    made: int
    """Steps of this run; the others were done by the one that it resumed."""
    losses: dict[str, float]
    seconds: float
    findings: str = ""
    """Whether to train on, in words."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """Name → path of each category that a class-conditional model was asked for; empty where that means nothing."""
    size: tuple[int, int] | None = None
    """Height and width of the images of the model that a classifier guides."""


class Task(ABC):
    """One model being trained. `train` calls these in turn; between two steps the state is complete."""

    kind: ClassVar[str]

    def __init__(self, settings: TrainingSettings, accelerator: Accelerator):
        self.settings = settings
        self.accelerator = accelerator

    @abstractmethod
    def step(self, number: int) -> dict[str, float]:
        """Do optimiser step `number` and return the losses. Raises Diverged before it does harm to the weights."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """Return everything that a checkpoint must hold."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set what `tensors` returned."""

    @abstractmethod
    def sheet(self) -> Sheet:
        """Return pictures that show how good the model is, and findings."""

    @abstractmethod
    def save(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the finished model; the file by which it is recognised comes last."""


# --- the loop -------------------------------------------------------------------------------------------------------


def train(
    build: Callable[[Accelerator], Task],
    settings: TrainingSettings,
    out: Path,
    record: Mapping[str, Any],
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train what `build` returns from the last checkpoint, or from the start, to its end; write the model to `out`.

    record: what the training is, plain JSON, see `prepare`. Nothing is written before the task is built. Raises
    UsageError for a folder or a device that does not fit; Interrupted after Ctrl-C or SIGTERM, with a checkpoint of the
    last step; Diverged, with the last good one; AnomgenError when memory runs out.
    """
    accelerator = accelerator_for(settings, device)
    if accelerator.is_main_process:
        check_folder(out, record, resume=resume, overwrite=overwrite)
    task = build(accelerator)
    if accelerator.is_main_process:
        prepare(out, record, resume=resume, overwrite=overwrite)
    accelerator.wait_for_everyone()
    return _run(task, out, record, resume, progress)


def _run(task: Task, out: Path, record: Mapping[str, Any], resume: bool, progress: Progress) -> Trained:
    main, steps = task.accelerator.is_main_process, task.settings.steps
    started, first, losses, findings = time.perf_counter(), 0, _Smoothed(), ""
    if resume and (out / CHECKPOINT).is_file():
        state = _restore(task, out / CHECKPOINT)
        first, losses.values, findings = state.step, dict(state.losses), state.findings
    if first > steps:
        raise UsageError(f"{out}: the checkpoint has {first} steps already; ask for at least as many with --steps")
    log = _Log(out / LOG, first) if main else None
    with locked_for(task, out), _stop_requests() as stop, _memory_advice(task.settings), _divergence_advice(out):
        for number in range(first, steps):
            last = losses.add(task.step(number))
            done = number + 1
            if log and (done % LOG_EVERY == 0 or done == steps):
                log.write(done, last, time.perf_counter() - started)
            progress(done, steps, losses.text())
            stopping = _any_stops(task, stop) and done < steps
            is_shown = done % task.settings.sheet_every == 0 or done == steps
            findings = (
                _sheet(task, out, done) if is_shown else ""
            )  # before the checkpoint, which a killed run goes on from
            if done % task.settings.checkpoint_every == 0 or done == steps or stopping:
                _checkpoint(task, out, record, State(step=done, losses=losses.values, findings=findings))
            if stopping:
                raise Interrupted(
                    f"interrupted after step {done} of {steps}; the checkpoint is kept: run the same command with "
                    "--resume"
                )
        findings = findings or (task.sheet().findings if main else "")  # of a stopped run that has no step left to do
        final = {**record, "steps": steps, "losses": losses.values, "findings": findings}
        if main:
            with _saving(out):
                task.save(out, final)
            write_record(out, {**final, "finished": True})
        task.accelerator.wait_for_everyone()
    return Trained(out, steps, steps - first, losses.values, time.perf_counter() - started, findings)


@contextmanager
def locked_for(task: Task, out: Path) -> Iterator[None]:
    """Hold the folder, in the main process only."""
    if not task.accelerator.is_main_process:
        yield
        return
    with locked(out):
        sweep(out, *(folder for folder in out.iterdir() if folder.is_dir() and not folder.is_symlink()))
        yield


@contextmanager
def _saving(out: Path) -> Iterator[None]:
    """Name the folder of a model that cannot be written: other libraries write parts of it."""
    from safetensors import SafetensorError

    try:
        with writing(out):
            yield
    except SafetensorError as error:
        raise AnomgenError(
            f"{out}: the model cannot be written ({error}); the checkpoint is kept: run again with --resume"
        ) from error


def _checkpoint(task: Task, out: Path, record: Mapping[str, Any], state: State) -> None:
    if task.accelerator.is_main_process:
        from safetensors.torch import save

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in task.tensors().items()}
        with replacing(out / CHECKPOINT) as file:
            file.write(save(tensors, state.metadata()))
        write_record(out, {**record, "steps": state.step, "losses": state.losses})
    task.accelerator.wait_for_everyone()


def _restore(task: Task, path: Path) -> State:
    """Set the task as it was; return how far it was."""
    from safetensors import SafetensorError, safe_open

    unfit = (SafetensorError, RecipeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)
    try:
        with safe_open(path, "pt") as file:
            state = state_of(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        task.restore(tensors)
        require_same(tensors, task.tensors())
    except unfit as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:500]
        raise AnomgenError(f"{path}: this checkpoint cannot be read ({told}); start anew with --overwrite") from error
    return state


def _sheet(task: Task, out: Path, done: int) -> str:
    """Write a sheet; return its findings."""
    from anomgen.dataset.preview import write_sheet

    findings = ""
    if task.accelerator.is_main_process:
        sheet = task.sheet()
        findings = sheet.findings
        picture = drawn(sheet, f"{task.kind} · step {done} of {task.settings.steps}", out / LOG)
        (out / SHEETS).mkdir(exist_ok=True)
        write_sheet(picture, out / SHEETS / f"step-{done:06d}.png")
    task.accelerator.wait_for_everyone()
    return findings


class _Smoothed:
    """The losses, averaged over about the last fifty steps."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, losses: dict[str, float]) -> dict[str, float]:
        for name, loss in losses.items():
            before = self.values.get(name, loss)
            self.values[name] = before + (loss - before) / 50
        return losses

    def text(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())


class _Log:
    """One JSON line every few steps; what lies behind the step at which we go on is cut off."""

    def __init__(self, path: Path, first: int):
        lines = [line for line in logged(path) if line["step"] <= first] if first else []
        with replacing(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._path = path

    def write(self, step: int, losses: dict[str, float], seconds: float) -> None:
        values = {name: round(value, 6) for name, value in losses.items()}
        with appending(self._path) as add:
            add((json.dumps({"step": step, **values, "seconds": round(seconds, 1)}) + "\n").encode())


class _Stop:
    requested = False


@contextmanager
def _stop_requests() -> Iterator[_Stop]:
    """Turn Ctrl-C and SIGTERM into a request that is served after the running step; a second one stops at once."""
    stop = _Stop()

    def request(number: int, frame: Any) -> None:  # noqa: ARG001
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    try:
        before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: nobody sends us signals
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _any_stops(task: Task, stop: _Stop) -> bool:
    """Return whether any process was asked to stop: they must agree, or they would wait for each other for ever."""
    if task.accelerator.num_processes == 1:
        return stop.requested
    import torch

    asked = torch.tensor(float(stop.requested), device=task.accelerator.device)
    return bool(task.accelerator.reduce(asked, "sum").item() > 0)


@contextmanager
def _memory_advice(settings: TrainingSettings) -> Iterator[None]:
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        text = str(error).lower()
        if (
            isinstance(error, RuntimeError)
            and not isinstance(error, torch.OutOfMemoryError)
            and ("memory" not in text or "alloc" not in text)
        ):
            raise
        parts = 2 * settings.accumulation
        raise AnomgenError(
            f"out of memory: work the batch of {settings.batch_size} off in parts with --set accumulation={parts} "
            "(the result stays the same), or lower batch_size, --size, or the preset"
        ) from error


@contextmanager
def _divergence_advice(out: Path) -> Iterator[None]:
    try:
        yield
    except Diverged as error:
        if (out / CHECKPOINT).is_file():
            advice = (
                "the checkpoint before is kept: go on from it with --resume and a lower --set learning_rate=…, or "
                "start anew with --overwrite"
            )
        else:
            advice = "there is no checkpoint yet: start anew with --overwrite and a lower --set learning_rate=…"
        raise Diverged(f"{error}; {advice}") from None


# --- what the tasks share ---------------------------------------------------------------------------------------------


def parts_of_batch(task: Task, number: int) -> list[range]:
    """Return the numbers of the images, counted from the start of training, that this process draws in one step."""
    settings, processes = task.settings, task.accelerator.num_processes
    size = settings.batch_size // (settings.accumulation * processes)
    start = number * settings.batch_size + task.accelerator.process_index * size
    return [
        range(start + part * size * processes, start + part * size * processes + size)
        for part in range(settings.accumulation)
    ]


def require_finite(number: int, losses: Mapping[str, float]) -> None:
    """Raise Diverged when a loss is not a number."""
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise Diverged(f"step {number + 1}: {name if name == 'loss' else f'the loss {name}'} is {loss}")
