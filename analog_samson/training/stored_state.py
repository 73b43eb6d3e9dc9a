"""The state in resume.pt, checked against the training that is to take it up, before anything takes it up."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from analog_samson.errors import RunError, list_faults
from analog_samson.presets.faults import kind_faults
from analog_samson.training.epoch import Training
from analog_samson.training.records import EpochRecord


class _State(BaseModel):
    """Beside the tensors, which are compared with those of the training."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any] | None
    ranges: dict[str, Any] | None = None  # of a hardware-aware training
    history: Annotated[list[dict[str, int | float]], Field(min_length=1)]
    share: dict[str, float] | None
    answers: list[float] | None = None  # a version that did not store them


def take_up(training: Training, state: Mapping[str, Any], where: str) -> list[float] | None:
    """Load model, optimizer, average and history; returns what the network answered with these weights, if stored.

    Args:
        training: The training, freshly prepared; changed in place.
        state: What `store_epoch` stored.
        where: What a message calls it.

    Raises:
        RunError: The state is of another network or other options, or it is damaged.
    """
    faults = _faults(training, state)
    if not faults:
        groups = training.step.optimizer.state_dict()["param_groups"]
        try:
            training.step.optimizer.load_state_dict(state["optimizer"])
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError) as error:  # torch's checks
            faults.append(f"optimizer: {(str(error) or type(error).__name__).splitlines()[0]}")
        else:
            faults += _differences(training.step.optimizer.state_dict()["param_groups"], groups, "optimizer")
            faults += _optimizer_faults(training.step.optimizer)
    if faults:
        told = list_faults(f"{where}: damaged, or of another training", faults[:10])
        raise RunError(f"{told}\n  delete it to train anew, or choose another output folder")
    read = _State.model_validate(dict(state))
    training.model.load_state_dict(state["model"])
    if training.average is not None:
        training.average.load_state_dict(state["average"])
    if training.step.hardware is not None:
        training.step.hardware.load_state_dict(state["ranges"])
    training.history.extend(EpochRecord.from_row(row, training.data.task.metrics) for row in read.history)
    training.step.breakdown = read.share
    return read.answers


def _faults(training: Training, state: Mapping[str, Any]) -> list[str]:
    try:
        _State.model_validate(dict(state))
    except ValidationError as error:
        return kind_faults(error)
    faults = _differences(state["model"], training.model.state_dict(), "model")
    if training.average is not None:
        faults += _differences(state["average"], training.average.state_dict(), "average")
    if training.step.hardware is not None:
        faults += _differences(state["ranges"], training.step.hardware.state_dict(), "ranges")
    if len(state["history"]) > training.options.epochs:
        faults.append(f"history: {len(state['history'])} epochs of a training of {training.options.epochs}")
    try:
        for row in state["history"]:
            EpochRecord.from_row(row, training.data.task.metrics)
    except KeyError as error:
        faults.append(f"history: {error} is missing")
    return faults


def _differences(found: Any, expected: Any, place: str) -> list[str]:
    """Where the tree of tensors and numbers is of another form than that of the training."""
    if isinstance(expected, Tensor):
        return [] if _is_like(found, expected) else [f"{place}: expected {_form(expected)}, got {_form(found)}"]
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or found.keys() != expected.keys():
            return [f"{place}: expected the entries {_names(expected)}, got {_names(found)}"]
        return [line for key, value in expected.items() for line in _differences(found[key], value, f"{place}.{key}")]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{place}: expected a list of {len(expected)}, got {_form(found)}"]
        return [line for i, value in enumerate(expected) for line in _differences(found[i], value, f"{place}.{i}")]
    same = type(found) is type(expected) or (isinstance(expected, float) and type(found) is int)
    return [] if same else [f"{place}: expected a {type(expected).__name__}, got a {type(found).__name__}"]


def _optimizer_faults(optimizer: torch.optim.Optimizer) -> list[str]:
    """Tensors that torch loads without a look at their form, and that the next step would fail on or misread."""
    faults = []
    for parameter, kept in optimizer.state.items():
        if not isinstance(parameter, Tensor) or not isinstance(kept, Mapping):
            faults.append(f"optimizer: state: expected tensors of a parameter, got {_form(kept)}")
            continue
        faults += [
            f"optimizer: {name}: expected {_form(parameter)}, got {_form(value)}"
            for name, value in kept.items()
            if not (_is_like(value, parameter) or value is None or (name == "step" and _is_count(value)))
        ]
    return faults


def _is_like(found: Any, expected: Tensor) -> bool:
    if not isinstance(found, Tensor) or found.is_meta or found.layout != torch.strided or found.is_quantized:
        return False
    return found.shape == expected.shape and found.dtype == expected.dtype


def _is_count(found: Any) -> bool:
    return isinstance(found, Tensor) and found.ndim == 0 and found.dtype == torch.float32 and not found.is_meta


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    odd = "sparse " if value.layout != torch.strided else "empty " if value.is_meta else ""
    return f"{odd}{str(value.dtype).removeprefix('torch.')} {'x'.join(map(str, value.shape)) or 'scalar'}"


def _names(tree: Any) -> str:
    if not isinstance(tree, Mapping):
        return f"of a {type(tree).__name__}"
    return ", ".join(map(str, list(tree)[:5])) + (", ..." if len(tree) > 5 else "") or "none"
