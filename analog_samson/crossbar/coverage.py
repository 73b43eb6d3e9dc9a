"""How much of a network's weight matrices a method covers, and the warning where it is little.

A simulation shows the hardware's effect only on what lies on tiles, and a sharpness-aware step flattens only what it
perturbs. A network whose matrices are mostly left out looks robust without being so.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_PERCENT = 90.0  # of all matrix weights; below it every output warns
KEPT_DIGITAL = "kept digital by the user"  # the reason that a plan gives for a layer of `keep_digital`
_KEPT = (KEPT_DIGITAL, "excluded by the user")  # the latter in runs of 0.1
_NAMED = 3  # of the matrices left out, the largest


class CoverageWarning(UserWarning):
    """Less than 90 % of a network's matrix weights are on tiles, or are perturbed by a sharpness-aware optimizer.

    To silence it where the share is known and intended:

    >>> import warnings
    >>> warnings.filterwarnings("ignore", category=CoverageWarning)
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A layer whose `weights` matrix weights are left out; `by_choice`: because the user asked for it."""

    path: str
    layer_type: str
    weights: int
    by_choice: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """`covered` of `total` matrix weights, and the layers that hold the others."""

    covered: int
    left_out: tuple[LeftOut, ...]

    @property
    def total(self) -> int:
        return self.covered + sum(layer.weights for layer in self.left_out)

    @property
    def percent(self) -> float:
        """The covered share of all matrix weights; 100 where there are none."""
        return 100.0 * self.covered / self.total if self.total else 100.0

    @property
    def is_low(self) -> bool:
        return self.percent < LEAST_PERCENT

    @property
    def percent_text(self) -> str:
        """The share with one decimal, rounded down, so that a low share never reads as the limit itself."""
        return f"{math.floor(10 * self.percent) / 10:.1f} %"


def plan_coverage(rows: Iterable[Mapping[str, Any]]) -> Coverage | None:
    """The coverage that the records of a plan show; None for records of older versions, which do not tell.

    >>> rows = [{"path": "head", "layer_type": "Linear", "action": "analog", "reason": "", "matrix_weights": 10},
    ...         {"path": "lstm", "layer_type": "LSTM", "action": "digital", "reason": "no rule", "matrix_weights": 90}]
    >>> found = plan_coverage(rows)
    >>> found.percent_text, found.left_out[0].path
    ('10.0 %', 'lstm')
    """
    rows = [row for row in rows if not row.get("shared_with")]
    if not rows or any("matrix_weights" not in row for row in rows):
        return None
    left_out = [
        LeftOut(
            path=row["path"],
            layer_type=row["layer_type"],
            weights=row["matrix_weights"],
            by_choice=row["reason"] in _KEPT,
        )
        for row in rows
        if row["action"] != "analog" and row["matrix_weights"]
    ]
    covered = sum(row["matrix_weights"] for row in rows if row["action"] == "analog")
    return Coverage(covered, tuple(left_out))


def tiles_warning(coverage: Coverage | None) -> str:
    """What to say where too few matrix weights are on tiles; empty where enough are."""
    if coverage is None or not coverage.is_low:
        return ""
    return (
        f"only {coverage.percent_text} of the matrix weights are on analog tiles. The others are computed digitally, "
        f"without noise, drift or converters. {largest_left_out(coverage.left_out)} {_tiles_remedy(coverage.left_out)}"
    )


def largest_left_out(left_out: Sequence[LeftOut]) -> str:
    """A sentence that names the largest layers left out."""
    ordered = sorted(left_out, key=lambda layer: -layer.weights)
    named = [_name(layer) for layer in ordered[:_NAMED]]
    more = len(ordered) - _NAMED
    return f"Largest left out: {', '.join(named)}{f', and {more} more' if more > 0 else ''}."


def _name(layer: LeftOut) -> str:
    why = ", kept digital by you" if layer.by_choice else ""
    return f"{layer.path} ({layer.layer_type}, {layer.weights:,} weights{why})"


def _tiles_remedy(left_out: Sequence[LeftOut]) -> str:
    """What puts these layers on tiles: for those without a rule and for those kept digital."""
    types = sorted({layer.layer_type for layer in left_out if not layer.by_choice})
    ways = (
        [f"plan with an example of the inputs, which shows how {' and '.join(types)} use them, or register a rule"]
        if types
        else []
    )
    if any(layer.by_choice for layer in left_out):
        ways.append("keep fewer layers digital where the conversion allows it")
    return f"To put them on tiles, {'; and '.join(ways)}."
