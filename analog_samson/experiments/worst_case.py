"""Figure 1: the worst-case perturbation of one weight over its value, drawn with the product's own ascent step.

The loss rises with slope 1 along that weight and is flat along all others. Then eq. 2, 4 and 6 all come to

    eps(w) = rho T(w)      T = 1 (SAM), |w| (ASAM), |w| / ||w||_p (SAMSON)
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy import special

from analog_samson.experiments.shown import WorstCase
from analog_samson.report.drawing import Drawing, Layout
from analog_samson.report.palette import DASHES, LIGHT, series_role
from analog_samson.report.table import Table, text_table
from analog_samson.sharpness import perturbations
from analog_samson.sharpness.methods import make_perturbation


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One method at one range: eps of every weight, both in units of the weights, in ascending order of the weights."""

    method: str
    p: float | None
    rho: float
    clip: float
    weights: tuple[float, ...]
    eps: tuple[float, ...]

    @property
    def title(self) -> str:
        order = "" if self.p is None else f" p={self.p:g}"
        return f"{self.method.upper()}{order}"


def worst_case_curves(shows: WorstCase) -> list[Curve]:
    """Every method at every range."""
    return [
        _curve(method, p, shows, clip)
        for method, orders in (("sam", (None,)), ("asam", (None,)), ("samson", shows.orders))
        for p in orders
        for clip in shows.ranges
    ]


def quantile_weights(shows: WorstCase, clip: float) -> np.ndarray:
    """The quantiles of a normal distribution, cut to [-clip, clip]: (weights,), ascending; draws nothing."""
    shares = (np.arange(shows.weights) + 0.5) / shows.weights
    return np.clip(shows.std * special.ndtri(shares), -clip, clip)


def closed_form(weights: np.ndarray, method: str, rho: float, p: float | None) -> np.ndarray:
    """rho T(w) of every weight."""
    if method == "sam":
        return np.full_like(weights, rho)
    sizes = np.abs(weights)
    return rho * sizes if p is None else rho * sizes / np.linalg.norm(weights, p)


def largest_deviation(curves: list[Curve]) -> float:
    """Largest difference between the ascent step and the closed form, relative to rho."""
    return max(
        float(np.abs(np.array(c.eps) - closed_form(np.array(c.weights), c.method, c.rho, c.p)).max()) / c.rho
        for c in curves
    )


def worst_case_grid(curves: list[Curve]) -> Table:
    """The perturbation of the largest weight, for each range."""
    ranges = sorted({curve.clip for curve in curves})
    titles = dict.fromkeys(curve.title for curve in curves)
    largest = {(curve.title, curve.clip): curve.eps[-1] for curve in curves}
    rows = tuple((title, *(f"{largest[title, clip]:.4f}" for clip in ranges)) for title in titles)
    headers = ("method", *(f"c = {clip:g}" for clip in ranges))
    return text_table(
        title="Perturbation of the largest weight", headers=headers, rows=rows, align="l" + "r" * len(ranges)
    )


def worst_case_drawing(curves: list[Curve]) -> Drawing:
    """All curves on one pair of axes."""
    return Drawing(draw=partial(_draw, curves), height=1.2)


def curve_rows(curves: list[Curve]) -> list[dict[str, object]]:
    """One row for each weight of each curve."""
    return [
        {"method": c.method, "p": "" if c.p is None else c.p, "rho": c.rho, "c": c.clip, "weight": w, "eps": eps}
        for c in curves
        for w, eps in zip(c.weights, c.eps, strict=True)
    ]


def _curve(method: str, p: float | None, shows: WorstCase, clip: float) -> Curve:
    weights = torch.from_numpy(quantile_weights(shows, clip))
    rho = shows.rho[method]  # type: ignore[index]
    perturbation = make_perturbation(method, rho=rho, p=p)
    assert isinstance(perturbation, perturbations.WorstCase)
    slopes = torch.eye(len(weights), dtype=weights.dtype)
    eps = [
        float(perturbations.ascent_step([weights], [slope], perturbation)[0][place])
        for place, slope in enumerate(slopes)
    ]
    return Curve(method=method, p=p, rho=rho, clip=clip, weights=tuple(weights.tolist()), eps=tuple(eps))


def _draw(curves: list[Curve], axes: Axes, layout: Layout) -> None:
    titles = list(dict.fromkeys(curve.title for curve in curves))
    ranges = sorted({curve.clip for curve in curves})
    for curve in curves:
        axes.plot(
            curve.weights,
            curve.eps,
            color=LIGHT[series_role(titles.index(curve.title))],
            linestyle=DASHES[ranges.index(curve.clip) % len(DASHES)],
            label=f"{curve.title}, c = {curve.clip:g}",
        )
    axes.set_xlabel("weight")
    axes.set_ylabel("worst-case perturbation")
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(loc="outside upper left", ncols=1 if layout.narrow else 4, fontsize="small")
