"""Score a network on batches by a task."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.errors import DataError
from analog_samson.runtime.devices import full_precision
from analog_samson.tasks.task import Task


@dataclass(frozen=True)
class Scores:
    """What one pass over the data gave.

    Attributes:
        values: Each metric of the task by its name.
        count: Samples.
        outcomes: (samples,) bool on the CPU, which samples were right; None where the task has no such thing.
    """

    values: dict[str, float]
    count: int
    outcomes: Tensor | None


def evaluate(model: nn.Module, batches: Iterable[Any], task: Task, *, bf16: bool = False) -> Scores:
    """Measure a network in eval mode; the mode of every submodule is restored.

    Args:
        model: The network. Its parameters and buffers say on which device scores accumulate.
        batches: What the task takes, on the model's device.
        task: How to feed and score a batch.
        bf16: Run the network under bfloat16 autocast. Without it a GPU computes in float32, never in TF32.

    Raises:
        DataError: There are no batches, or they do not fit network or task.
    """
    device = device_of(model)
    state, count, outcomes = task.start(device), 0, []
    with eval_mode(model), full_precision(), torch.no_grad():
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                output = task.forward(model, batch)
            output = _as_float32(output)
            task.check(output, batch)
            size = task.count(batch)
            if size == 0:
                continue
            state, count = task.update(state, output, batch), count + size
            outcomes.append(task.outcomes(output, batch))
    if count == 0:
        raise DataError("nothing to evaluate: the data has no samples")
    right = [one for one in outcomes if one is not None]
    return Scores(task.compute(state), count, torch.cat(right).cpu() if right else None)


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's first parameter or buffer; the CPU for a model without any."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode for the whole model; afterwards every submodule has the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _as_float32(output: Any) -> Any:
    return output.float() if isinstance(output, Tensor) and output.is_floating_point() else output
