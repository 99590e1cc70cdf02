"""What a checkpoint and a log say of a training, written and read: anybody may have changed them since."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from anomgen.config import Config, validated
from anomgen.config.text import read_json
from anomgen.errors import AnomgenWarning
from anomgen.files import MAX_RECORD
from anomgen.places import read_within

if TYPE_CHECKING:
    import torch

STATE = "training"
"""The one entry of a checkpoint's metadata: several come in any order, and equal states have equal bytes."""
_Step = Annotated[int, Field(ge=0, le=10**9)]
_Losses = Annotated[dict[Annotated[str, Field(max_length=200)], float], Field(max_length=100)]


class State(Config):
    """How far a training is."""

    model_config = ConfigDict(extra="ignore")  # what later versions add

    step: _Step
    losses: _Losses
    """Averaged; see `training`."""
    findings: Annotated[str, Field(max_length=2000)] = ""
    """Of the sheet of this step, if there is one."""

    def metadata(self) -> dict[str, str]:
        """Return a checkpoint's metadata."""
        return {STATE: json.dumps(self.model_dump())}


def state_of(metadata: Mapping[str, str]) -> State:
    """Return what a checkpoint's metadata says. Raises ValueError, KeyError or RecipeError where it is none."""
    if STATE in metadata:
        values = read_json(metadata[STATE])
    else:  # anomgen 0.1.0
        values = {name: read_json(metadata[name]) for name in ("step", "losses")}
    if not isinstance(values, dict):
        raise ValueError("its state is no mapping")
    state: State = validated(State, values)
    return state


# --- tensors --------------------------------------------------------------------------------------------------------


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimiser's state as named tensors; `load_optimiser` sets it."""
    return {
        f"{prefix}.{index}.{key}": value
        for index, values in optimiser.state_dict()["state"].items()
        for key, value in values.items()
    }


_OF_ADAM, _OF_SGD = ("step", "exp_avg", "exp_avg_sq"), ("momentum_buffer",)
"""What Adam, and AdamW, keep of each weight, and what gradient descent with momentum keeps."""


def load_optimiser(prefix: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Set an optimiser's state from what `optimiser_tensors` returned. Raises ValueError where it does not fit."""
    keys = _OF_SGD if "momentum" in optimiser.defaults else _OF_ADAM
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    found = weights_under(prefix, tensors)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for index, weight in enumerate(weights):
        held = {key: found.pop(f"{index}.{key}") for key in keys if f"{index}.{key}" in found}
        if not held:
            continue  # it had no gradient yet
        for key in keys:
            shape = () if key == "step" else tuple(weight.shape)
            if key not in held or tuple(held[key].shape) != shape or not held[key].is_floating_point():
                raise ValueError(f"{prefix}.{index}.{key}: does not fit the weights")
            if key in ("step", "exp_avg_sq") and (held[key] < 0).any():
                raise ValueError(f"{prefix}.{index}.{key}: is below zero")
        state[index] = held
    if found:
        raise ValueError(f"{prefix}.{min(found)[:200]}: is of no weight")
    if not state and keys is _OF_ADAM:  # a checkpoint comes after a step
        raise ValueError(f"{prefix}: there is nothing of the optimiser")
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def weights_under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names start with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def require_same(stored: Mapping[str, torch.Tensor], restored: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless a checkpoint's tensors are those that a training just restored from it would write."""
    if others := sorted(stored.keys() ^ restored.keys()):
        raise ValueError(f"{others[0][:200]}: holds other tensors than this training")
    for name, tensor in stored.items():
        if tensor.shape != restored[name].shape or tensor.dtype != restored[name].dtype:
            raise ValueError(f"{name}: is of another shape or type than in this training")
        if not tensor.isfinite().all():
            raise ValueError(f"{name}: is not finite")


# --- the log --------------------------------------------------------------------------------------------------------


def logged(path: Path) -> list[dict[str, float]]:
    """Return the lines of a training's log, its ``step`` and each loss; none where there is no log.

    A line that is damaged, as a full disk cuts it off, is left out, with a warning: the log decides nothing.
    """
    if not path.is_file():
        return []
    lines, damaged = [], []
    for number, line in enumerate(read_within(path, MAX_RECORD).splitlines(), start=1):
        values = _values(line)
        lines += [values] if values is not None else []
        damaged += [number] if values is None else []
    if damaged:
        told = f"line {damaged[0]} is" if len(damaged) == 1 else f"{len(damaged)} lines, the first {damaged[0]}, are"
        warnings.warn(f"{path}: {told} damaged and left out", AnomgenWarning, stacklevel=2)
    return lines


def _values(line: bytes) -> dict[str, float] | None:
    """Return what a line of a log says, None of a damaged one."""
    try:
        values = read_json(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or any(type(value) not in (int, float) for value in values.values()):
        return None
    step = values.get("step")
    return values if type(step) is int and 0 <= step <= 10**9 else None
