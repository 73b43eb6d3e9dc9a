"""Batches of any form: what goes into the network, what its output is compared with, and how the network is called."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from analog_samson.errors import DataError
from analog_samson.runtime.call import call

Run = Callable[[nn.Module, Any], Any]  # a network and a batch as the data gives it -> the output
TARGET_KEYS = ("labels", "label", "targets", "target")
_FORMS = "expected (x, targets), (x1, x2, ..., targets), or a mapping or named tuple with one of the keys " + ", ".join(
    TARGET_KEYS
)


def split_batch(batch: Any) -> tuple[Any, Any]:
    """A batch as (inputs, targets).

    Args:
        batch: A pair (x, targets); a longer tuple, whose last part are the targets; a mapping, such as a
            ``BatchEncoding``, or a named tuple with one of TARGET_KEYS.

    Raises:
        DataError: The batch has none of these forms.

    >>> split_batch({"input_ids": 1, "attention_mask": 2, "labels": 3})
    ({'input_ids': 1, 'attention_mask': 2}, 3)
    """
    if hasattr(batch, "_fields"):
        named = dict(zip(batch._fields, batch, strict=True))
        batch = named if set(named) & set(TARGET_KEYS) else tuple(batch)
    if isinstance(batch, Mapping):
        keys = [key for key in TARGET_KEYS if key in batch]
        if len(keys) != 1:
            raise DataError(f"data: got a mapping with the keys {_listed(batch)} as a batch; {_FORMS}")
        return {key: value for key, value in batch.items() if key != keys[0]}, batch[keys[0]]
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        *inputs, targets = batch
        return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets
    raise DataError(f"data: got a {type(batch).__name__} as a batch; {_FORMS}")


def feed(model: nn.Module, batch: Any) -> Any:
    """The network's output for a batch with or without targets: inputs alone are a tensor or a mapping."""
    alone = isinstance(batch, Tensor) or (isinstance(batch, Mapping) and not any(key in batch for key in TARGET_KEYS))
    return call(model, batch if alone else split_batch(batch)[0])


def main_output(output: Any, name: str = "logits") -> Tensor:
    """The tensor that a network's output is judged by.

    Args:
        output: A tensor; an object or mapping with `name` or "out" (torchvision's segmentation networks); or a tuple
            whose first part is the tensor.
        name: The attribute or key.

    Raises:
        DataError: There is no such tensor.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get(name, output.get("out"))
    elif hasattr(output, name):
        found = getattr(output, name)
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        held = f" with {_listed(output)}" if isinstance(output, Mapping) else ""
        raise DataError(
            f"the network returns a {type(output).__name__}{held}; expected a tensor, or an output with a tensor "
            f"{name!r}; wrap the network in a module that returns it"
        )
    return found


def first_tensor(inputs: Any) -> Tensor | None:
    """The first tensor among the inputs of a batch; None where there is none."""
    if isinstance(inputs, Tensor):
        return inputs
    parts = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def few_inputs(data: Iterable[Any], count: int) -> Tensor | None:
    """The first inputs of the data, where they are one tensor; None for networks that take something else."""
    batch = next(iter(data), None)
    if batch is None or isinstance(batch, Tensor | Mapping):
        return None
    inputs, _ = split_batch(batch)
    return inputs[:count] if isinstance(inputs, Tensor) else None


def described(inputs: Any) -> str:
    """Inputs by their names and shapes, for messages.

    >>> import torch
    >>> described({"ids": torch.zeros(2, 3), "n": 1})
    'ids (2, 3), n int'
    """
    if isinstance(inputs, Tensor):
        return str(tuple(inputs.shape))
    if isinstance(inputs, Mapping):
        return ", ".join(f"{key} {described(value)}" for key, value in inputs.items())
    if isinstance(inputs, tuple | list) and any(isinstance(part, Tensor) for part in inputs):
        return ", ".join(map(described, inputs))
    return type(inputs).__name__


def tensors_of(batch: Any) -> list[Tensor]:
    """Every tensor of a batch, however deep."""
    if isinstance(batch, Tensor):
        return [batch]
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


def samples(targets: Any, inputs: Any) -> int:
    """How many samples a batch has: the length of its targets, or else of its first tensor."""
    if isinstance(targets, Tensor | list | tuple) and not (isinstance(targets, Tensor) and targets.ndim == 0):
        return len(targets)
    first = first_tensor(inputs)
    if first is None or first.ndim == 0:
        raise DataError("data: a batch with neither a list of targets nor a tensor of inputs")
    return len(first)


def _listed(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, list(mapping)[:8])) or "none"
