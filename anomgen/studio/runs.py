"""Datasets, detectors and reports in the making: each in a process of its own, to be watched and stopped."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from anomgen.dataset.origin import is_ours
from anomgen.errors import AnomgenError, Progress, UsageError, listening
from anomgen.files import json_object, refuse_taken, replacing
from anomgen.making.engine import Recipe
from anomgen.making.make import make
from anomgen.making.output import check_output
from anomgen.making.runners.workers import Workers, died

Phase = Literal["running", "stopping", "stopped", "finished", "failed", "unfinished"]
BEAT = 0.25
"""Seconds between two looks at the progress."""
NOTE = 200
"""Bytes of what a run says that it does."""


@dataclass(frozen=True)
class Status:
    """One run as the page sees it. note: what it does now, where that is not its own steps; error: why it failed."""

    name: str
    kind: str
    state: Phase
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    note: str = ""
    error: str = ""


class Command(Protocol):
    """What is done in a process of its own. kind: what it makes; total: steps, as far as they are known before."""

    kind: ClassVar[str]

    @property
    def out(self) -> Path:
        """Return the folder."""

    @property
    def total(self) -> int:
        """Return how many steps there are, 0 where that is not known yet."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the files and folders that it reads and that nobody has looked at yet."""

    def check(self) -> None:
        """Raise UsageError for what cannot be begun."""

    def again(self) -> Command:
        """Return what goes on with it after it was stopped, from what there is or anew."""

    def run(self, progress: Progress) -> None:
        """Do it; `progress` is told how far it is, and raises to stop it."""


@dataclass(frozen=True)
class Make:
    """A dataset."""

    kind: ClassVar[str] = "dataset"
    recipe: Recipe
    out: Path
    resume: bool = False
    workers: int = 1

    @property
    def total(self) -> int:
        """Return the rows."""
        return self.recipe.count

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Command.reads`; those of the recipe were looked at when it was chosen."""
        return ()

    def check(self) -> None:
        """See `Command.check`."""
        check_output(self.recipe, self.out, resume=self.resume and is_ours(self.out), overwrite=False)

    def again(self) -> Make:
        """See `Command.again`."""
        return replace(self, resume=True)

    def run(self, progress: Progress) -> None:
        """See `Command.run`."""
        resume = self.resume and is_ours(self.out)  # one that was stopped before its first row begins anew
        make(self.recipe, self.out, workers=self.workers, resume=resume, progress=progress)


@dataclass(frozen=True)
class Fit:
    """A detector that learns from the photos and a recipe's anomalies on them."""

    kind: ClassVar[str] = "detector"
    photos: str
    recipe: Path
    out: Path
    total: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Command.reads`."""
        return self.photos, str(self.recipe)

    def check(self) -> None:
        """See `Command.check`."""
        refuse_taken(self.out, "take another name")

    def again(self) -> Fit:
        """See `Command.again`: it begins anew, nothing of a training is kept."""
        return self

    def run(self, progress: Progress) -> None:
        """See `Command.run`."""
        from anomgen.score.inspector.fit import fit

        fit(self.photos, str(self.recipe), self.out, progress=progress)


@dataclass(frozen=True)
class Score:
    """A report that says which recipe helps to find the real anomalies of a data set."""

    kind: ClassVar[str] = "report"
    data: str
    recipes: tuple[str, ...]
    seeds: int
    out: Path
    steps: int | None = None
    total: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Command.reads`."""
        return self.data, *(word for word in self.recipes if "/" in word)

    def check(self) -> None:
        """See `Command.check`."""

    def again(self) -> Score:
        """See `Command.again`: what is trained already is in the folder, and not trained again."""
        return self

    def run(self, progress: Progress) -> None:
        """See `Command.run`."""
        from anomgen.score.run import score

        score(
            self.data,
            list(self.recipes),
            seeds=self.seeds,
            steps=self.steps,
            out=self.out,
            workers=1,
            progress=progress,
        )


class Begun:
    """Notes in the output folder of the detectors and reports that are not finished, for the next studio to go on with.

    A dataset needs none: its folder says what it was begun with.
    """

    def __init__(self, out: Path):
        self._out, self._folder = out, out / ".studio" / "runs"

    def add(self, command: Command) -> None:
        """Note a command."""
        if isinstance(command, Fit | Score):
            self._folder.mkdir(parents=True, exist_ok=True)
            told = {**asdict(command), "out": None, "kind": command.kind}
            with replacing(self._folder / f"{command.out.name}.json") as opened:
                opened.write(json.dumps(told, default=str).encode())

    def remove(self, name: str) -> None:
        """Forget the command of a name, if there is one."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def all(self) -> list[Command]:
        """Return the commands; what is no note of ours is none."""
        found: list[Command] = []
        for file in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                told = {**json_object(file), "out": self._out / file.stem}
                kind = told.pop("kind")
                if kind == Fit.kind:
                    found.append(Fit(**{**told, "recipe": Path(told["recipe"])}))
                elif kind == Score.kind:
                    found.append(Score(**{**told, "recipes": tuple(told["recipes"])}))
        return found


class Runs:
    """Starts and stops runs; they go on whether or not a page looks."""

    def __init__(self, begun: Begun) -> None:
        self._begun = begun
        self._commands: dict[str, Command] = {command.out.name: command for command in begun.all()}
        self._runs = {name: Status(name, one.kind, "unfinished") for name, one in self._commands.items()}
        self._stops: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, command: Command) -> Status:
        """Begin a command, or go on with it; it is called as its folder. Raises UsageError where it cannot be begun."""
        name = command.out.name
        with self._lock:
            if name in self._runs and self._runs[name].state in ("running", "stopping"):
                raise UsageError(f"{name} is being made already")
            command.check()
            self._runs.pop(name, None)
            self._commands[name] = command
            self._begun.add(command)
            self._runs[name] = Status(name, command.kind, "running", 0, command.total)
            context = multiprocessing.get_context("spawn")
            shared = context.Array("q", [0, command.total]), context.Array("c", NOTE), context.Event()
            self._stops[name] = shared[2]
            thread = threading.Thread(target=self._follow, args=(name, command, shared), name=f"make {name}")
            self._threads.append(thread)
            thread.start()
            return self._runs[name]

    def stop(self, name: str) -> None:
        """Ask a run to stop; what is finished of it stays. Raises UsageError for one that does not run."""
        with self._lock:
            if name not in self._runs or self._runs[name].state != "running":
                raise UsageError(f"{name} is not being made")
            self._runs[name] = replace(self._runs[name], state="stopping")
            self._stops[name].set()

    def command(self, name: str) -> Command | None:
        """Return what a run of this session does, None for none of this name."""
        return self._commands.get(name)

    def forget(self, name: str) -> None:
        """Take a run from the list. Raises UsageError for one that goes on."""
        with self._lock:
            if name in self._runs and self._runs[name].state in ("running", "stopping"):
                raise UsageError(f"{name} is being made; stop it first")
            self._runs.pop(name, None)
            self._commands.pop(name, None)
            self._begun.remove(name)

    def all(self) -> list[dict[str, Any]]:
        """Return the runs of this session, the latest first."""
        with self._lock:
            return [asdict(run) for run in reversed(self._runs.values())]

    def close(self) -> None:
        """Stop all runs and wait until they have."""
        for stop in list(self._stops.values()):
            stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, name: str, command: Command, shared: tuple[Any, Any, Any]) -> None:
        counter, note, stop = shared
        started = time.perf_counter()
        outcome: tuple[Phase, str] = "failed", "its process could not be started"

        def beat() -> None:
            with self._lock:
                seconds = round(time.perf_counter() - started, 1)
                told = note.value.decode(errors="ignore")
                counts = {"done": counter[0], "total": counter[1]}
                self._runs[name] = replace(self._runs[name], **counts, seconds=seconds, note=told)

        def ended(_: Command, future: Future[bool]) -> None:
            nonlocal outcome
            beat()
            outcome = _outcome(future, asked=stop.is_set())

        try:
            with Workers(1, _start, shared, stop=stop.set) as worker:
                worker.do([command], _work, ended, beat=beat, every=BEAT)
        finally:  # only now may another run of this name begin
            with self._lock:
                if outcome[0] == "finished":
                    self._begun.remove(name)
                self._stops.pop(name)
                self._runs[name] = replace(self._runs[name], state=outcome[0], error=outcome[1])


def _outcome(future: Future[bool], *, asked: bool) -> tuple[Phase, str]:
    """Return how a run ended, and why it failed."""
    if died(future):
        return "failed", "the process that made it was ended, for lack of memory perhaps; what is finished is kept"
    error = future.exception()
    if error is None:
        return ("finished" if future.result() else "stopped"), ""
    return ("stopped", "") if asked else ("failed", _words_of(error))


def _words_of(error: BaseException) -> str:
    return str(error) if isinstance(error, AnomgenError) else f"{type(error).__name__}: {error}"


# --- in the process of a run ----------------------------------------------------------------------------------------

_shared: list[Any] = []


class _Stopped(Exception):
    """The studio asked for it."""


def _start(counter: Any, note: Any, stop: Any) -> None:
    _shared[:] = [counter, note, stop]


def _work(command: Command) -> bool:
    """Do a command; return whether it is finished, False where it was stopped."""
    counter, note, stop = _shared

    def progress(done: int, total: int, told: str = "", /) -> None:
        counter[0], counter[1], note.value = done, total, told.encode()[: NOTE - 1]
        if stop.is_set():
            raise _Stopped

    try:
        with listening(progress):
            command.run(progress)
    except _Stopped:
        return False
    return True
