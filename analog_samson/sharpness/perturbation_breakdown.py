"""Where a perturbation went: the share of ||eps||^2 that each kind of parameter receives."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from analog_samson.sharpness.fast_ascent import ascent_steps
from analog_samson.sharpness.perturb import Ascent, tensor_groups
from analog_samson.sharpness.selection import KINDS, ParamInfo


@torch.no_grad()
def breakdown_by_kind(parameters: Sequence[ParamInfo], steps: Sequence[Tensor]) -> dict[str, float]:
    """Fraction of ||eps||^2 on each kind of KINDS; the fractions add up to 1, or are all 0 if nothing moves.

    >>> from analog_samson.sharpness.selection import describe_tensors
    >>> w, b = torch.zeros(2, 2), torch.zeros(2)
    >>> breakdown_by_kind(describe_tensors([w, b], ["a.weight", "a.bias"]), [w + 1, b + 2])["bias"]
    0.6666666666666666
    """
    squares = dict.fromkeys(KINDS, 0.0)
    for info, step in zip(parameters, steps, strict=True):
        squares[info.kind] += step.square().sum().item()
    total = sum(squares.values())
    return {kind: square / total if total else 0.0 for kind, square in squares.items()}


def perturbation_breakdown(ascent: Ascent) -> dict[str, float]:
    """The fractions by kind of the step that `ascent` would take along the present gradients; moves nothing.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> layer = torch.nn.Linear(2, 1)
    >>> layer(torch.ones(1, 2)).sum().backward()
    >>> breakdown = perturbation_breakdown(plan_ascent(layer, method="sam", selection="paper"))
    >>> {kind: round(part, 3) for kind, part in breakdown.items() if part}
    {'crossbar weight': 0.667, 'bias': 0.333}
    """
    groups = list(tensor_groups(ascent))
    steps = ascent_steps([group for _, group in groups])
    if not steps.eps:
        return dict.fromkeys(KINDS, 0.0)
    return breakdown_by_kind([info for infos, _ in groups for info in infos], [e for eps in steps.eps for e in eps])


def format_breakdown(breakdown: Mapping[str, float]) -> str:
    """One line for a log.

    >>> format_breakdown({"crossbar weight": 0.082, "bias": 0.918})
    'share of ||eps||^2: crossbar weight 8.2 %, bias 91.8 %'
    """
    return "share of ||eps||^2: " + ", ".join(f"{kind} {100 * part:.1f} %" for kind, part in breakdown.items())
