"""Tasks whose arithmetic torchmetrics does."""

import re
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from analog_samson.errors import DataError, OptionError
from analog_samson.results.metric import Metric
from analog_samson.tasks.batch import call, main_output, samples, split_batch
from analog_samson.tasks.task import Task

if TYPE_CHECKING:
    import torchmetrics


class MeasuredTask(Task):
    """A task that hands each batch's predictions and targets to metrics of torchmetrics.

    The values that torchmetrics gives are multiplied by 100 where the unit of the metric is "%".
    """

    def prepare(self, batch: Any) -> tuple[Any, Any]:
        """The batch as (inputs, targets), see `batch.split_batch`."""
        return split_batch(batch)

    def forward(self, model: nn.Module, batch: Any) -> Any:
        """The tensor that the network returns for the inputs, see `batch.main_output`."""
        return main_output(call(model, batch[0]))

    def count(self, batch: Any) -> int:
        """How many samples a batch has."""
        return samples(batch[1], batch[0])

    @abstractmethod
    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """New metrics of torchmetrics, by the name of the metric that each computes."""

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """What the metrics are given for a batch: predictions and targets."""
        return output, batch[1]

    def start(self, device: torch.device) -> dict[str, "torchmetrics.Metric"]:
        """Metrics that have seen nothing, on the device."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*save all.*", UserWarning)  # ranks need all values; so be it
            return {name: meter.to(device) for name, meter in self.meters().items()}

    def update(self, state: Any, output: Any, batch: Any) -> Any:
        """Every metric updated by one batch."""
        predictions, targets = self.compared(output, batch)
        for meter in state.values():
            meter.update(predictions, targets)
        return state

    def compute(self, state: Any) -> dict[str, float]:
        """The value of each metric, in its unit."""
        factor = {metric.name: 100 if metric.unit == "%" else 1 for metric in self.metrics}
        return {name: factor[name] * float(meter.compute()) for name, meter in state.items()}


def whole_labels(targets: Any, task: str, form: str) -> Tensor:
    """Targets as int64; DataError with the form that is expected where they are no whole numbers."""
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.is_complex():
        got = f"{targets.dtype!s} of {tuple(targets.shape)}" if isinstance(targets, Tensor) else type(targets).__name__
        raise DataError(f"{task}: expected labels {form}, whole numbers, got {got}")
    return targets.long()


class TorchmetricsTask(MeasuredTask):
    """Any metrics of torchmetrics, as `from_torchmetrics` makes it."""

    name: ClassVar[str] = "torchmetrics"

    def __init__(
        self,
        meters: Mapping[str, "torchmetrics.Metric"],
        metrics: tuple[Metric, ...],
        loss: Callable[[Any, Any], Tensor] | None,
        compared: Callable[[Any, Any], tuple[Any, Any]] | None,
    ) -> None:
        self.metrics = metrics
        self._meters, self._loss, self._compared = dict(meters), loss, compared

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """Copies of the metrics given, reset."""
        copies = {name: deepcopy(meter) for name, meter in self._meters.items()}
        for meter in copies.values():
            meter.reset()
        return copies

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Predictions and targets, as the user's function gives them."""
        return (output, batch[1]) if self._compared is None else self._compared(output, batch[1])

    def check(self, output: Any, batch: Any) -> None:
        """torchmetrics checks what it is given."""

    def update(self, state: Any, output: Any, batch: Any) -> Any:
        """Every metric updated by one batch; what torchmetrics refuses becomes a DataError."""
        try:
            return super().update(state, output, batch)
        except (ValueError, RuntimeError, IndexError) as error:
            shapes = f"output {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise DataError(f"torchmetrics refuses the {shapes}: {error}") from error

    def loss(self, output: Any, batch: Any) -> Tensor:
        """The user's loss. Raises OptionError where none was given."""
        if self._loss is None:
            raise OptionError(
                "from_torchmetrics: training needs a loss; give loss=, such as torch.nn.functional.mse_loss"
            )
        return self._loss(output, batch[1])


def from_torchmetrics(
    metrics: "torchmetrics.Metric | torchmetrics.MetricCollection | Mapping[str, torchmetrics.Metric]",
    *,
    units: Mapping[str, str] | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    compared: Callable[[Any, Any], tuple[Any, Any]] | None = None,
) -> TorchmetricsTask:
    """A task from metrics of torchmetrics; the first is the headline.

    Direction and bounds come from each metric's ``higher_is_better``, ``plot_lower_bound`` and ``plot_upper_bound``.

    Args:
        metrics: A metric, a collection, or metrics by the names that records and tables shall use.
        units: The unit of values, by name; "%" multiplies them by 100.
        loss: The loss of an output and the targets, for training.
        compared: What the metrics are given for an output and the targets; by default both as they are.

    Raises:
        OptionError: A metric does not say whether higher is better, or gives more than one number by its definition.

    >>> from torchmetrics.regression import MeanAbsoluteError
    >>> task = from_torchmetrics(MeanAbsoluteError(), units={"mean_absolute_error": "mm"})
    >>> task.headline.name, task.headline.unit, task.headline.higher_is_better
    ('mean_absolute_error', 'mm', False)
    """
    given: Any = metrics if hasattr(metrics, "items") else {type(metrics).__name__: metrics}
    meters: dict[str, Any] = {_snake(name): meter for name, meter in given.items()}
    if not meters:
        raise OptionError("from_torchmetrics: got no metric")
    described = tuple(_described(name, meter, (units or {}).get(name, "")) for name, meter in meters.items())
    return TorchmetricsTask(meters, described, loss, compared)


def _described(name: str, meter: "torchmetrics.Metric", unit: str) -> Metric:
    if meter.higher_is_better is None:
        raise OptionError(
            f"from_torchmetrics: {type(meter).__name__} does not say whether higher is better; derive a class from it "
            "that sets higher_is_better"
        )
    factor = 100 if unit == "%" else 1
    low, high = meter.plot_lower_bound, meter.plot_upper_bound
    bounds: dict[str, Any] = {} if low is None else {"lower": factor * float(low)}
    bounds |= {} if high is None else {"upper": factor * float(high)}
    return Metric(
        name=name,
        title=name.replace("_", " "),
        unit=unit,
        difference_unit="points" if unit == "%" else "",
        higher_is_better=bool(meter.higher_is_better),
        decimals=2 if unit == "%" else 3,
        **bounds,
    )


def _snake(name: str) -> str:
    """A class name as an identifier in lower case.

    >>> _snake("MeanAbsoluteError"), _snake("wer")
    ('mean_absolute_error', 'wer')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
