"""Labelled batches and logits of a classifier, checked; messages say what they are instead."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from analog_samson.errors import DataError
from analog_samson.tasks.batch import first_tensor, split_batch

_EXPECTED_BATCHES = "expected batches of tensors with labels (N,), whole numbers"


def labelled(batch: Any) -> tuple[Any, Tensor]:
    """A batch as a pair (inputs, int64 labels); DataError for what is no labelled batch of a classifier."""
    if not isinstance(batch, Mapping | tuple | list) or (isinstance(batch, tuple | list) and len(batch) < 2):
        got = type(batch).__name__
        raise DataError(f"data: expected batches (x, y), such as [(x, y)] or a DataLoader, got a {got} as a batch")
    inputs, targets = split_batch(batch)
    if first_tensor(inputs) is None:
        raise DataError(f"data: got a {type(inputs).__name__} without a tensor as inputs; {_EXPECTED_BATCHES}")
    return inputs, _labels(targets)


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
            return f"these name several classes of a sample: task=MultiLabel(classes={y.shape[1]}) scores them"
        if not y.is_floating_point():
            return "task=TokenClassification(classes=...) or LanguageModeling() scores sequences"
        return "these are class probabilities or regression targets: give y.argmax(1) if they are probabilities"
    if y.is_floating_point() and bool((y == y.round()).all()):
        return "if these are classes, give y.flatten().long(); for real-valued targets give task=Regression() in Python"
    if y.is_floating_point() or y.is_complex():
        return "for real-valued targets give task=Regression() in Python"
    if y.ndim == 3 and not y.is_complex():
        return "task=Segmentation(classes=...) scores images with a class for each pixel"
    return "flatten labels and logits, so that each label has one row of logits"


def check_fit(logits: Tensor, labels: Tensor, num_classes: int | None) -> None:
    """Raise DataError unless `logits` (B, classes) suit the labels (B,) and the number of classes."""
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
            "return torch.cat([0 * z, z], 1); for regression give task=Regression() in Python"
        )
    if num_classes is not None and outputs != num_classes:
        raise DataError(
            f"the network has {outputs} outputs but the data has {num_classes} classes; use a network with "
            f"{num_classes} outputs, or state the data's number of classes if it holds only some (npz:FILE,classes=N)"
        )
    if int(labels.max()) >= outputs:
        raise DataError(
            f"label {int(labels.max())} in the data, the network has {outputs} outputs (0 to {outputs - 1})"
        )
