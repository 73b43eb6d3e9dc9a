"""SAM, ASAM and SAMSON, each around any torch optimizer."""

import math
from typing import Any

import torch
from torch import nn

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
        options = {"method": "sam", "rho": rho, "p": math.inf, "eta": None, "selection": selection}
        super().__init__(params, base_optimizer, options, model, base_kwargs)


class ASAM(SharpnessAware):
    """Adaptive SAM (eq. 3-4): eps = rho T^2 g / ||T g||_2 with T = |w| + eta.

    eta as in SAMSON: 0.01, or 0 with selection="paper", unless given. Everything else as in SAMSON too.

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
        options = {"method": "asam", "rho": rho, "p": math.inf, "eta": eta, "selection": selection}
        super().__init__(params, base_optimizer, options, model, base_kwargs)


class SAMSON(SharpnessAware):
    """SAM scaled by outlier normalization (eq. 5-6): eps = rho T^2 g / ||T g||_2 with T = (|w| + eta) / ||w||_p.

    ||w||_p is the norm of each tensor; p = inf takes its largest |w|, the outlier. eta, in units of the weights, lets
    zero weights move; None is the mode's own: 0.01 in `weights_only` and `reference`, 0 in `paper` (eq. 6 has none); a
    number applies in every mode, where T is used. The modes are described in `sharpness.selection`.

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

    In two steps, to accumulate gradients (before each step) or to clip them (before the second, which is the one that
    updates):

    >>> model(x).square().mean().backward()
    >>> optimizer.first_step(zero_grad=True)
    >>> model(x).square().mean().backward()
    >>> _ = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    >>> optimizer.second_step(zero_grad=True)

    With a GradScaler. The climb does not depend on the scale of the gradient, so nothing is un-scaled before it. If
    either gradient overflows the update is skipped, and the weights come back all the same (to clip, call
    `scaler.unscale_(optimizer)` before `scaler.step`):

    >>> scaler = torch.amp.GradScaler("cpu")
    >>> scaler.scale(model(x).square().mean()).backward()
    >>> optimizer.first_step(zero_grad=True)
    >>> scaler.scale(model(x).square().mean()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()

    Under DistributedDataParallel all ranks climb alike if both gradients are averaged; to let each climb its own way
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
        options = {"method": "samson", "rho": rho, "p": p, "eta": eta, "selection": selection}
        super().__init__(params, base_optimizer, options, model, base_kwargs)
