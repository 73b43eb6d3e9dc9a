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
from analog_samson.sharpness.perturb import Ascent, Climb, pieces_of
from analog_samson.sharpness.scale import ascent_steps
from analog_samson.sharpness.shift import shifted

_logger = logging.getLogger(__name__)


def scaled(ascent: Ascent, factor: float) -> Ascent:
    """The same climb with every radius times `factor`; the very same object for a factor of 1.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> half = scaled(plan_ascent(torch.nn.Linear(2, 1), rho=0.5), 0.5)
    >>> half.parts[0].hood.rho
    0.25
    """
    if factor == 1:
        return ascent
    parts = [replace(part, hood=replace(part.hood, rho=part.hood.rho * factor)) for part in ascent.parts]
    return replace(ascent, parts=parts)


class ReusedAscent:
    """A climb whose direction is kept: `aim` along the present gradients, then hold the weights there again and again.

    Keeps eps in float32 or wider, one number for each weight that moves, until the next aim.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> model = torch.nn.Linear(2, 1)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> ascent = ReusedAscent(plan_ascent(model, method="sam", rho=0.1))
    >>> climb, clean = ascent.aim(), model.weight.detach().clone()
    >>> with ascent.held():
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
    def aim(self) -> Climb:
        """Take the direction from the gradients that the parameters hold now; the weights do not move yet.

        Forgets the old direction, also where the gradient is zero or not finite and there is no new one.
        """
        chosen = [piece for _, piece in pieces_of(self.ascent)]
        found = ascent_steps(chosen)
        self._weights = [weight.detach() for piece in chosen for weight in piece.weights] if found.eps else []
        self._steps = [step for steps in found.eps for step in steps]
        climb = Climb(found.norm, bool(self._steps))
        if not climb.finite:
            _logger.warning("the gradient is not finite: the weights are not perturbed until the next ascent")
        return climb

    @contextmanager
    def held(self, factor: float = 1.0) -> Iterator[None]:
        """The weights plus factor * eps inside, exactly as they were after; batch-norm statistics stand still."""
        model = self.ascent.model
        moving = bool(self._steps) and factor != 0
        with (
            shifted(self._weights, self._steps, factor, self.ascent.buffers) if moving else nullcontext(),
            nullcontext() if model is None else frozen_statistics(model),
        ):
            yield
