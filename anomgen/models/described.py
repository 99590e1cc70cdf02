"""Models in anomgen's own form: weights as safetensors and, written last, ``anomgen_model.json``, what they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from anomgen.config import Config, first_fault
from anomgen.errors import UsageError
from anomgen.files import json_object, replacing
from anomgen.models.folder import pickle_told, require_finished
from anomgen.models.use import drawing_device
from anomgen.places import holds_file, regular

DESCRIPTION = "anomgen_model.json"

Description = TypeVar("Description", bound=Config)
Network = TypeVar("Network", bound=nn.Module)


def save_described(
    folder: Path, networks: Mapping[str, nn.Module], description: Config, values: Mapping[str, Any]
) -> None:
    """Write the weights, then the description, by which a finished model is recognised.

    networks: by the names of their files. values: what else is worth knowing; plain JSON.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    for name, network in networks.items():
        with replacing(folder / name) as file:
            file.write(save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}))
    with replacing(folder / DESCRIPTION) as file:
        content = {**description.model_dump(mode="json"), **values}
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_description(folder: Path, model: type[Description]) -> Description:
    """Return the description of a model whose field `kind` has this class's default.

    Raises UsageError when it is missing, unfinished, damaged, or that of another model.
    """
    expected = model.model_fields["kind"].default
    if not holds_file(folder / DESCRIPTION):
        raise UsageError(_what_it_is_instead(folder, expected))
    require_finished(folder)
    try:
        content = json_object(folder / DESCRIPTION)
        if (kind := content.get("kind")) is None:
            raise ValueError("kind: is missing")
        if kind != expected:
            raise UsageError(f"{folder}: is a model of kind {str(kind)[:80]!r}, not one of `anomgen train {expected}`")
        return model.model_validate_json(json.dumps(content))
    except (ValueError, OSError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{folder / DESCRIPTION}: is damaged ({fault}); train the model again") from None


def kind_of(folder: Path) -> str:
    """Return which kind of model a description says it is; nothing where it cannot be read."""
    try:
        return str(json_object(folder / DESCRIPTION).get("kind"))[:80]
    except (ValueError, OSError):
        return ""


def _what_it_is_instead(folder: Path, expected: str) -> str:
    """Return an error message for a folder without a description."""
    require_finished(folder)
    if told := pickle_told(folder, "models", f"train {expected}"):
        return told
    other = "a diffusers model" if (folder / "model_index.json").is_file() else f"no model (there is no {DESCRIPTION})"
    return f"{folder}: is {other}, not one of `anomgen train {expected}`"


def require_fitting(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise ValueError for arrays that are not those of a network, by name, type and shape; it names the first.

    wanted, given: tensors of torch, or arrays of NumPy.
    """
    forms = [{name: _form(array) for name, array in arrays.items()} for arrays in (wanted, given)]
    wrong = sorted(name for name in wanted.keys() | given.keys() if forms[0].get(name) != forms[1].get(name))
    if not wrong:
        return
    should, found = (form.get(wrong[0]) for form in forms)
    told = "is missing" if found is None else f"is {found}, should be {should}"
    told = "is not expected" if should is None else told
    raise ValueError(f"{len(wrong)} arrays do not fit, the first: {wrong[0][:200]} {told}")


def _form(array: Any) -> str:
    return f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"


def require_finite_weights(weights: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError for weights of which any is NaN or infinite; it names the first."""
    if wrong := next((name for name, weight in weights.items() if not weight.isfinite().all()), None):
        raise ValueError(f"{wrong[:200]} holds values that are no finite numbers")


def load_network(path: Path, build: Callable[[], Network]) -> Network:
    """Return a network that is built as described, with the weights of a file, on the device that models draw on.

    It is built without memory first, so that no figure of a description asks for more than the file holds. Raises
    UsageError for a file that is missing, damaged, or of another network.
    """
    try:
        held = regular(path).stat().st_size
        with torch.device("meta"):
            network = build()
        needed = sum(tensor.numel() * tensor.element_size() for tensor in network.parameters())
        if needed > held:
            raise ValueError(f"the network that is described has weights of {needed} bytes, the file holds {held}")
        network = network.to_empty(device="cpu")
        weights = load_file(path)
        require_fitting(network.state_dict(), weights)
        require_finite_weights(weights)
        network.load_state_dict(weights)
    except FileNotFoundError:
        raise UsageError(f"{path}: the weights are missing; copy the model folder again, whole") from None
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"{path}: the weights are damaged or of another network ({str(error).splitlines()[0]}); copy the model "
            "folder again, whole, or train the model again"
        ) from None
    return network.eval().requires_grad_(False).to(drawing_device())
