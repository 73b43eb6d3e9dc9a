"""A sharpness-aware step for less: one ascent serves several steps, and its radius may grow during training.

What is reused is the step itself, eps = rho T^2 g / ||T g||_2 as it was at the last ascent; between ascents it is
neither computed again nor rescaled, except for a radius that grows (the same direction, the present radius). Weights
and T move little in a few steps, so ||eps / T||_2 stays rho to a few percent.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.sharpness.fast_ascent import ascent_steps
from analog_samson.sharpness.perturb import Ascent, AscentResult, tensor_groups
from analog_samson.sharpness.shift import shifted

_logger = logging.getLogger(__name__)


def scaled(ascent: Ascent, factor: float) -> Ascent:
    """The same ascent with every radius times `factor`; the very same object for a factor of 1.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> half = scaled(plan_ascent(torch.nn.Linear(2, 1), rho=0.5), 0.5)
    >>> half.groups[0].perturbation.rho
    0.25
    """
    if factor == 1:
        return ascent
    groups = [replace(group, perturbation=group.perturbation.resized(factor)) for group in ascent.groups]
    return replace(ascent, groups=groups)


class ReusedAscent:
    """An ascent step that serves several times: `update_direction` takes it from the gradients, `applied` uses it.

    Keeps eps in float32 or wider, one number for each weight that moves, until the next update.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> model = torch.nn.Linear(2, 1)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> ascent = ReusedAscent(plan_ascent(model, method="sam", rho=0.1))
    >>> result, clean = ascent.update_direction(), model.weight.detach().clone()
    >>> with ascent.applied():
    ...     round((model.weight - clean).norm().item(), 5)
    0.1
    >>> torch.equal(model.weight, clean)
    True
    """

    def __init__(self, ascent: Ascent) -> None:
        self.ascent = ascent
        self._weights: list[Tensor] = []
        self._steps: list[Tensor] = []

    @torch.no_grad()
    def update_direction(self) -> AscentResult:
        """Compute eps from the gradients that the parameters hold now; the weights do not move yet.

        The old eps is gone even where the gradient is zero or not finite and there is no new one.
        """
        groups = [group for _, group in tensor_groups(self.ascent)]
        found = ascent_steps(groups)
        self._weights = [weight.detach() for group in groups for weight in group.weights] if found.eps else []
        self._steps = [step for steps in found.eps for step in steps]
        result = AscentResult(found.norm, bool(self._steps))
        if not result.finite:
            _logger.warning("the gradient is not finite: the weights are not perturbed until the next ascent")
        return result

    @contextmanager
    def applied(self, factor: float = 1.0) -> Iterator[None]:
        """The weights plus factor * eps inside the block, restored exactly after it; batch-norm statistics stay."""
        model = self.ascent.model
        moving = bool(self._steps) and factor != 0
        with (
            shifted(self._weights, self._steps, factor, self.ascent.buffers) if moving else nullcontext(),
            nullcontext() if model is None else frozen_statistics(model),
        ):
            yield
