"""Networks that a user's function scores as a whole: lm-evaluation-harness, `evaluate`, or a loop."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from analog_samson.errors import DataError, OptionError
from analog_samson.results.metric import Metric
from analog_samson.tasks.batch import feed
from analog_samson.tasks.task import Task


class WholeModelTask(Task):
    """A task that scores a network by one call, without batches; `from_callable` makes it."""

    name: ClassVar[str] = "callable"

    def __init__(self, evaluate: Callable[[nn.Module], Mapping[str, float]], metrics: tuple[Metric, ...]) -> None:
        self.metrics = metrics
        self._evaluate = evaluate

    def measure(self, model: nn.Module) -> dict[str, float]:
        """The value of each metric.

        Raises:
            DataError: The function returns no mapping, or leaves a metric out.
        """
        values = self._evaluate(model)
        if not isinstance(values, Mapping):
            raise DataError(f"from_callable: the function returns a {type(values).__name__}; expected {{name: value}}")
        if missing := [metric.name for metric in self.metrics if metric.name not in values]:
            raise DataError(
                f"from_callable: the function returns {', '.join(map(str, values)) or 'nothing'}; "
                f"missing {', '.join(missing)}"
            )
        return {metric.name: float(values[metric.name]) for metric in self.metrics}

    def run(self, model: nn.Module, batch: Any) -> Any:
        """The network's output for a batch of calibration data, with or without targets."""
        return feed(model, batch)

    def check(self, output: Any, batch: Any) -> None:
        """Nothing to check: the function judges its own outputs."""

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Raises OptionError: a function that scores a network has no loss."""
        raise OptionError("from_callable: this task scores networks and has no loss; train with a task that has one")

    def start(self, device: torch.device) -> Any:
        """Nothing accumulates."""
        raise OptionError("from_callable: this task takes no batches")

    def update(self, state: Any, output: Any, batch: Any) -> Any:
        """Nothing accumulates."""
        raise OptionError("from_callable: this task takes no batches")

    def compute(self, state: Any) -> dict[str, float]:
        """Nothing accumulates."""
        raise OptionError("from_callable: this task takes no batches")


def from_callable(
    evaluate: Callable[[nn.Module], Mapping[str, float]], *metrics: Metric | str, higher_is_better: bool = True
) -> WholeModelTask:
    """A task from a function that scores a network.

    Args:
        evaluate: Takes the network, in eval mode and without gradients, and returns ``{name: value}``. It is called
            once for every chip and condition. What it draws at random comes from the stream of that condition.
        metrics: What it returns: a `Metric`, or a name for one without unit and bounds. The first is the headline.
        higher_is_better: The direction of metrics that are given by name.

    Raises:
        OptionError: No metric was given.

    >>> from_callable(lambda model: {"bleu": 31.0}, "bleu").measure(nn.Identity())
    {'bleu': 31.0}
    """
    if not metrics:
        raise OptionError('from_callable: name what the function returns, such as from_callable(evaluate, "bleu")')
    made = [
        Metric(name=one, title=one, higher_is_better=higher_is_better, decimals=3) if isinstance(one, str) else one
        for one in metrics
    ]
    return WholeModelTask(evaluate, tuple(made))
