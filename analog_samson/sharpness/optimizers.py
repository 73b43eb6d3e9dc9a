"""SAM, ASAM and SAMSON, each around any torch optimizer."""

import math
from typing import Any

import torch
from torch import nn

from analog_samson.sharpness.methods import Asam, Sam, Samson
from analog_samson.sharpness.wrapper import Base, Params, SharpnessAware


class SAM(SharpnessAware):
    """Sharpness-aware minimization (eq. 1-2): eps = rho g / ||g||_2.

    rho is in units of the weights. Everything else as in SAMSON.

    >>> model = nn.Linear(2, 1)
    >>> optimizer = SAM(model, torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9)
    >>> optimizer.param_groups[0]["rho"]
    0.05
    """

    def __init__(
        self,
        params: Params,
        base_optimizer: Base = torch.optim.SGD,
        rho: float = 0.05,
        *,
        selection: str = "weights_only",
        model: nn.Module | None = None,
        **base_kwargs: Any,
    ) -> None:
        method = Sam(rho=rho)
        super().__init__(params, base_optimizer, perturbation=method, selection=selection, model=model, **base_kwargs)


class ASAM(SharpnessAware):
    """Adaptive SAM (eq. 3-4): eps = rho T^2 g / ||T g||_2 with T = |w| + eta.

    Everything else as in SAMSON.

    >>> model = nn.Linear(2, 1)
    >>> ASAM(model, torch.optim.Adam, lr=1e-3, selection="paper").param_groups[0]["eta"]
    0.0
    """

    def __init__(
        self,
        params: Params,
        base_optimizer: Base = torch.optim.SGD,
        rho: float = 0.5,
        eta: float | None = None,
        *,
        selection: str = "weights_only",
        model: nn.Module | None = None,
        **base_kwargs: Any,
    ) -> None:
        method = Asam(rho=rho, eta=eta)
        super().__init__(params, base_optimizer, perturbation=method, selection=selection, model=model, **base_kwargs)


class SAMSON(SharpnessAware):
    """SAM scaled by outlier normalization (eq. 5-6): eps = rho T^2 g / ||T g||_2 with T = (|w| + eta) / ||w||_p.

    Args:
        params, base_optimizer, model, base_kwargs: As in `wrapper.SharpnessAware`.
        rho: The radius, dimensionless.
        p: The order of the norm of each tensor; infinity takes its largest |w|, the outlier.
        eta: In units of the weights, lets zero weights move. None is the default of the selection: 0 in `paper` (eq. 6
            has none), 0.01 in the others.
        selection: `weights_only`, `paper` or `name_contains_weight`, see `sharpness.selection`.

    Raises:
        OptionError: An option has an impossible value, or nothing would ever be perturbed.

    With a closure:

    >>> model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    >>> optimizer = SAMSON(model, torch.optim.SGD, rho=0.5, lr=0.1, momentum=0.9)
    >>> x = torch.randn(8, 2)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = model(x).square().mean()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)

    In two steps, to accumulate gradients (before each step) or to clip them (before the second, which updates):

    >>> model(x).square().mean().backward()
    >>> optimizer.first_step(zero_grad=True)
    >>> model(x).square().mean().backward()
    >>> _ = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    >>> optimizer.second_step(zero_grad=True)

    With a GradScaler. The ascent does not depend on the scale of the gradient, so nothing is un-scaled before it. If
    either gradient overflows the update is skipped, and the weights come back all the same (to clip, call
    `scaler.unscale_(optimizer)` before `scaler.step`):

    >>> scaler = torch.amp.GradScaler("cpu")
    >>> scaler.scale(model(x).square().mean()).backward()
    >>> optimizer.first_step(zero_grad=True)
    >>> scaler.scale(model(x).square().mean()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()

    Under DistributedDataParallel all ranks perturb alike if both gradients are averaged; to let each go its own way
    run the first pass, forward included, under `model.no_sync()`. A first gradient that is not finite on one rank alone
    then makes that rank alone skip the update, and ranks drift apart: watch `skipped_steps`.
    """

    def __init__(
        self,
        params: Params,
        base_optimizer: Base = torch.optim.SGD,
        rho: float = 0.5,
        p: float = math.inf,
        eta: float | None = None,
        *,
        selection: str = "weights_only",
        model: nn.Module | None = None,
        **base_kwargs: Any,
    ) -> None:
        method = Samson(rho=rho, p=p, eta=eta)
        super().__init__(params, base_optimizer, perturbation=method, selection=selection, model=model, **base_kwargs)
