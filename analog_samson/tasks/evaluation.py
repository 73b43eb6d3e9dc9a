"""Accuracy and loss of any module on labelled images."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from analog_samson import rng
from analog_samson.errors import AnalogSamsonError, DataError
from analog_samson.runtime.devices import full_precision
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.runtime.state_check import check_initialised
from analog_samson.tasks.batch_check import check_batch


@dataclass(frozen=True)
class Evaluation:
    """accuracy_percent: top-1. loss: mean cross-entropy in nats. count: images."""

    accuracy_percent: float
    loss: float
    count: int


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, bf16: bool = False) -> Evaluation:
    """Measure a classifier in eval mode; the mode of every submodule is restored.

    batches: (x, y) pairs on the model's device; those of `Batches` are also checked against the number of outputs.
    bf16: run the network under bfloat16 autocast; without it a GPU computes in float32, never in TF32. Draws nothing
    itself. Raises DataError for data that does not fit the network.
    """
    classes = getattr(batches, "num_classes", None)
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    count = 0
    with eval_mode(model), full_precision(), torch.no_grad():
        for x, y in _pairs(batches):
            if len(y) == 0:
                continue
            if classes is None:  # images of an ImageSet were checked when it was made
                check_batch(x, y)
            logits = _forward(model, x, bf16) if count else _first_forward(model, x, y, bf16, classes)
            if classes is None:
                check_fit(logits, y, classes)
            loss = loss + F.cross_entropy(logits, y, reduction="sum").double()
            # The largest of numbers that are none is no answer; argmax would call it the first class.
            correct = correct + ((logits.argmax(1) == y) & ~logits.isnan().any(1)).sum()
            count += len(y)
    if count == 0:
        raise DataError("nothing to evaluate: the data has no samples")
    return Evaluation(100 * int(correct) / count, float(loss) / count, count)


_EXPECTED_BATCHES = "expected batches (x, labels): x one tensor (N, ...), labels whole numbers (N,)"


def _pairs(batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches as pairs (x, int64 labels); DataError for what is no labelled batch of a classifier."""
    for batch in batches:
        if isinstance(batch, Mapping):
            raise DataError(f"data: got a dict with {_keys(batch)} as a batch; {_EXPECTED_BATCHES}; {_WRAP}")
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            got = type(batch).__name__
            raise DataError(f"data: expected batches (x, y), such as [(x, y)] or a DataLoader, got a {got} as a batch")
        x, y = batch
        if not isinstance(x, Tensor):
            kind = f"a dict with {_keys(x)}" if isinstance(x, Mapping) else f"a {type(x).__name__}"
            raise DataError(f"data: got {kind} as x; {_EXPECTED_BATCHES}; {_WRAP}")
        yield x, _labels(y)


_WRAP = "wrap the network in a module whose forward takes one tensor and returns logits (N, classes)"


def _keys(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, list(mapping)[:5])) or "no keys"


def _labels(y: object) -> Tensor:
    """Labels as int64 (N,), or a DataError that says what they are instead and how to turn them into labels."""
    if not isinstance(y, Tensor):
        kind = f"a dict with {_keys(y)}" if isinstance(y, Mapping) else f"a {type(y).__name__}"
        raise DataError(f"data: got {kind} as labels; {_EXPECTED_BATCHES}; give the class labels as one tensor")
    if y.ndim == 1 and not y.is_floating_point() and not y.is_complex():
        return y.long()
    got = f"labels {tuple(y.shape)} of {str(y.dtype).removeprefix('torch.')}"
    raise DataError(f"data: {got}; expected class labels (N,), whole numbers; {_label_remedy(y)}")


def _label_remedy(y: Tensor) -> str:
    """What targets of this kind are, and what to do with them."""
    if y.ndim == 2 and y.shape[1] > 1 and not y.is_complex():
        if bool(((y == 0) | (y == 1)).all()):
            if bool((y.sum(1) == 1).all()):
                return "these are one-hot: give y.argmax(1)"
            return "these name several classes of a sample (multi-label), which accuracy cannot judge"
        if not y.is_floating_point():
            return "flatten (N, T) labels of sequences together with the logits (N, T, classes)"
        return "these are class probabilities or regression targets: give y.argmax(1) if they are probabilities"
    if y.is_floating_point() and bool((y == y.round()).all()):
        return "if these are classes, give y.flatten().long()"
    if y.is_floating_point() or y.is_complex():
        return "these look like regression targets; only classifiers can be evaluated"
    return "flatten labels and logits, so that each label has one row of logits"


def data_faults(**given: Iterable[Any] | None) -> list[str]:
    """What is wrong with data, by the name of the argument, that is to be gone through for every chip."""
    return [
        f"{name}: a {type(data).__name__} can be gone through only once; give a list of batches or a DataLoader"
        for name, data in given.items()
        if isinstance(data, Iterator)
    ]


@torch.no_grad()
def first_answers(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """What the network answers in eval mode to the first batch: it tells other code under the same name.

    A network that draws while it answers does so from a stream of its own.
    """
    x, _ = next(iter(batches))
    with eval_mode(model), rng.stream(0, "first answers"):
        return [float(value) for value in model(x).flatten()]


def check_fit(logits: object, labels: Tensor, num_classes: int | None) -> None:
    """Raise DataError unless `logits` (B, classes) suit the labels (B,) and the number of classes."""
    if not isinstance(logits, Tensor):
        inside = "its .logits" if hasattr(logits, "logits") else "the logits among them"
        raise DataError(
            f"the network returns a {type(logits).__name__} for {len(labels)} samples; expected one tensor of logits "
            f"(N, classes); wrap the network in a module that returns {inside}"
        )
    if logits.ndim != 2 or len(logits) != len(labels):
        raise DataError(
            f"the network returns {tuple(logits.shape)} for {len(labels)} samples; expected logits (N, classes) and "
            "labels (N,); flatten both where each position has a label of its own"
        )
    outputs = logits.shape[1]
    if outputs < 2:
        raise DataError(
            f"the network returns {tuple(logits.shape)}, one number a sample: regression, or a binary classifier with "
            "one logit z; expected logits (N, classes) with a column for each class; wrap a binary classifier to "
            "return torch.cat([0 * z, z], 1); regression cannot be evaluated"
        )
    if num_classes is not None and outputs != num_classes:
        raise DataError(
            f"the network tells {outputs} classes apart, the data has {num_classes}; use a network with {num_classes} "
            "outputs, or state the data's number of classes if it holds only some (npz:FILE,classes=N)"
        )
    if int(labels.max()) >= outputs:
        raise DataError(
            f"label {int(labels.max())} in the data, the network has {outputs} outputs (0 to {outputs - 1})"
        )


def explain_channels(model: nn.Module, x: Tensor, error: Exception) -> None:
    """Raise DataError if a failed forward is due to a wrong number of input channels, else return."""
    first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
    if first is not None and x.ndim == 4 and x.shape[1] != first.in_channels:
        raise DataError(
            f"the data has images of {x.shape[1]} channels, the network takes {first.in_channels}; "
            "use other data, or a network built for these channels"
        ) from error


def _first_forward(model: nn.Module, x: Tensor, y: Tensor, bf16: bool, classes: int | None) -> Tensor:
    try:
        logits = _forward(model, x, bf16)
    except (torch.OutOfMemoryError, AnalogSamsonError):
        raise
    except Exception as error:  # the forward is the user's: it may raise anything
        check_initialised(model)
        explain_channels(model, x, error)
        size = " x ".join(map(str, x.shape[1:]))
        raise DataError(f"the network cannot run on inputs of {size}: {_told(error)}") from error
    check_fit(logits, y, classes)
    return logits


def _told(error: Exception) -> str:
    """What was raised, of which type, and where."""
    kind, last = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
    return f"{str(error) or 'no reason given'} ({kind} at {last.filename}:{last.lineno})"


def _forward(model: nn.Module, x: Tensor, bf16: bool) -> Tensor:
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        logits = model(x)
    return logits.float() if isinstance(logits, Tensor) else logits
