"""Score a network on batches by a task."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from analog_samson.errors import AnalogSamsonError, DataError
from analog_samson.runtime.devices import full_precision
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.runtime.state_check import check_initialised
from analog_samson.tasks.batch import described
from analog_samson.tasks.task import Task
from analog_samson.tasks.whole import WholeModelTask

Watch = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Scores:
    """What one pass over the data gave.

    Attributes:
        values: Each metric of the task by its name.
        count: Samples; 0 where the task scored the network without batches.
        outcomes: Whether each sample was right, bool (count,) on the CPU; None where the task has no right and wrong.
    """

    values: dict[str, float]
    count: int
    outcomes: Tensor | None = None


def score(
    model: nn.Module, batches: Iterable[Any], task: Task, *, bf16: bool = False, watch: Watch | None = None
) -> Scores:
    """Measure a network in eval mode; the mode of every submodule is restored. Draws nothing itself.

    Args:
        model: The network. Scores accumulate on the device of its first parameter or buffer.
        batches: What the task takes, on the model's device. A batch without samples counts nothing.
        task: How to feed and score a batch.
        bf16: Run the network under bfloat16 autocast. Without it a GPU computes in float32, never in TF32.
        watch: Called with the output and the prepared batch, batch by batch.

    Raises:
        DataError: There are no samples, or they do not fit network or task.
    """
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    if isinstance(task, WholeModelTask):
        with (
            eval_mode(model),
            full_precision(),
            torch.no_grad(),
            torch.autocast(device.type, torch.bfloat16, enabled=bf16),
        ):
            return Scores(task.measure(model), 0)
    state, count = task.start(device), 0
    outcomes: list[Tensor | None] = []
    with eval_mode(model), full_precision(), torch.no_grad():
        for given in batches:
            batch = task.prepare(given)
            size = task.count(batch)
            if size == 0:
                continue
            output = _forward(model, batch, task, device, bf16, first=count == 0)
            task.check(output, batch)
            state, count = task.update(state, output, batch), count + size
            outcomes.append(task.outcomes(output, batch))
            if watch is not None:
                watch(output, batch)
    if count == 0:
        raise DataError("nothing to evaluate: the data has no samples")
    return Scores(task.compute(state), count, _joined(outcomes))


def _joined(outcomes: Sequence[Tensor | None]) -> Tensor | None:
    known = [each for each in outcomes if each is not None]
    return torch.cat(known).cpu() if known and len(known) == len(outcomes) else None


def _forward(model: nn.Module, batch: Any, task: Task, device: torch.device, bf16: bool, *, first: bool) -> Any:
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = task.forward(model, batch)
    except (torch.OutOfMemoryError, AnalogSamsonError):
        raise
    except Exception as error:  # the forward is the user's: it may raise anything
        explain_tokens(model, batch[0], error)
        if not first:
            raise
        check_initialised(model)
        inputs = batch[0]
        explain_channels(model, inputs, error)
        if isinstance(inputs, Tensor):
            size = " x ".join(map(str, inputs.shape[1:]))
            raise DataError(f"the network cannot run on inputs of {size}: {_told(error)}") from error
        raise DataError(f"the network cannot run on the inputs {described(inputs)}: {_told(error)}") from error
    return output.float() if isinstance(output, Tensor) and output.is_floating_point() else output


def explain_channels(model: nn.Module, x: Any, error: Exception) -> None:
    """Raise DataError if a failed forward is due to a wrong number of input channels, else return."""
    first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
    if first is not None and isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] != first.in_channels:
        raise DataError(
            f"the data has images of {x.shape[1]} channels, the network takes {first.in_channels}; "
            "use other data, or a network built for these channels"
        ) from error


def explain_tokens(model: nn.Module, inputs: Any, error: Exception) -> None:
    """Raise DataError if a failed forward is due to token ids or lengths that a language network has no row for."""
    ids, embeddings = _tokens(model, inputs)
    if ids is None or embeddings is None:
        return
    rows = len(embeddings.weight)
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < rows:
        raise DataError(
            f"the data has token ids from {int(ids.min())} to {int(ids.max())}, the network takes 0 to {rows - 1}; use "
            "the tokenizer that the network was trained with"
        ) from error
    most = most_positions(model)
    if most is not None and ids.shape[-1] > most:
        raise DataError(
            f"the data has sequences of {ids.shape[-1]} tokens, the network takes {most}; cut the texts, or set "
            f'"model_max_length": {most} in tokenizer_config.json, by which they are cut'
        ) from error


def most_positions(model: nn.Module) -> int | None:
    """The most tokens of a sequence that a network of Hugging Face takes; None where its config does not say."""
    most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None


def _tokens(model: nn.Module, inputs: Any) -> tuple[Tensor | None, Any]:
    """The token ids among inputs, and the table that a network of Hugging Face looks them up in."""
    ids = inputs.get("input_ids") if isinstance(inputs, Mapping) else None
    find = getattr(model, "get_input_embeddings", None)
    return ids, find() if isinstance(ids, Tensor) and callable(find) else None


def _told(error: Exception) -> str:
    """What was raised, of which type, and where."""
    kind, last = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
    return f"{str(error) or 'no reason given'} ({kind} at {last.filename}:{last.lineno})"
