"""Real-valued targets: mean errors in the unit of the target, and the share of variance explained."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import Metric
from analog_samson.tasks.batch_check import check_inputs
from analog_samson.tasks.task import Task


@dataclass(slots=True)
class _State:
    count: int
    sums: Tensor  # |error|, error^2, and the number, mean and sum of squared deviations of the targets


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Batches (x, y) with real targets y of the shape of the network's output; (N,) fits an output (N, 1).

    Metrics: root mean squared error, mean absolute error, and R2, the share of the targets' variance that the network
    explains.

    Attributes:
        unit: The unit of the targets, for tables and axes.
    """

    name: ClassVar[str] = "regression"
    unit: str = ""
    metrics: tuple[Metric, ...] = field(init=False)

    def __post_init__(self) -> None:
        errors = {"unit": self.unit, "lower": 0.0, "higher_is_better": False, "decimals": 2}
        metrics = (
            Metric(name="rmse", title="RMSE", **errors),  # type: ignore[arg-type]
            Metric(name="mae", title="mean absolute error", **errors),  # type: ignore[arg-type]
            Metric(name="r2", title="R2", upper=1.0, decimals=3),
        )
        object.__setattr__(self, "metrics", metrics)

    def prepare(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The batch; NaN among inputs or targets is refused."""
        if not isinstance(batch, tuple | list) or len(batch) != 2 or not all(isinstance(t, Tensor) for t in batch):
            raise DataError(f"regression: expected batches (x, targets) of two tensors, got a {type(batch).__name__}")
        x, target = batch
        check_inputs(x)
        if bool(target.isnan().any()):
            raise DataError("regression: NaN among the targets; remove those samples")
        return x, target

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless outputs and targets are real numbers of one shape."""
        target = batch[1]
        if not isinstance(output, Tensor):
            raise DataError(f"regression: the network returns a {type(output).__name__}; expected a tensor")
        if target.is_complex() or not _fits(output, target):
            raise DataError(
                f"regression: the network returns shape {tuple(output.shape)} and the targets have shape "
                f"{tuple(target.shape)}; expected one shape, or targets (samples,) for outputs (samples, 1)"
            )

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(output.reshape(batch[1].shape), batch[1].to(output.dtype))

    def start(self, device: torch.device) -> _State:
        """Sums of zero, in double precision."""
        return _State(0, torch.zeros(5, dtype=torch.float64, device=device))

    def update(self, state: _State, output: Any, batch: Any) -> _State:
        """Add one batch; the moments of the targets are joined by Chan's rule."""
        target = batch[1].double().flatten()
        error = output.double().flatten() - target
        absolute, squared, count, mean, deviations = state.sums.unbind()
        new = torch.full_like(count, target.numel())
        total = count + new
        shift = target.mean() - mean
        joined = deviations + (target - target.mean()).square().sum() + shift.square() * count * new / total
        sums = [absolute + error.abs().sum(), squared + error.square().sum(), total, mean + shift * new / total, joined]
        return _State(state.count + len(batch[1]), torch.stack(sums))

    def compute(self, state: _State) -> dict[str, float]:
        """Errors in the unit of the targets; R2 is NaN where all targets are equal."""
        absolute, squared, count, _, deviations = state.sums.tolist()
        return {
            "rmse": (squared / count) ** 0.5,
            "mae": absolute / count,
            "r2": 1 - squared / deviations if deviations > 0 else float("nan"),
        }


def _fits(output: Tensor, target: Tensor) -> bool:
    return output.shape == target.shape or (output.ndim == target.ndim + 1 and output.shape == (*target.shape, 1))
