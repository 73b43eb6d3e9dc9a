"""Mean and spread of the drift exponent between devices, against their target conductance."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from scipy import special

from analog_samson.analysis.device_fit.choices import DriftModel
from analog_samson.analysis.device_fit.likelihood import Maximum, hazard, maximize
from analog_samson.analysis.device_fit.measurements import Array
from analog_samson.errors import OptionError

Form = Literal["constant", "log_linear", "log_linear_with_floor", "table"]
# A floor is tried beside the line without one: where most targets are above the knee, the line alone gains little.
_RICHER: dict[Form, tuple[Form, ...]] = {
    "constant": ("log_linear", "log_linear_with_floor"),
    "log_linear": ("log_linear_with_floor",),
}
FEWEST_A_NODE = 10
_LEAST = 1e-6  # a spread of 0 has no likelihood
_STARTS, _KNEES = 3, 8
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve over conductance: its form, and the nodes [uS] of a table (empty for the others).

    The parameters are a constant; slope and intercept in ln(g / g_max); these and a lower bound; or values at nodes.
    """

    form: Form
    g_max: float
    nodes: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """Number of parameters."""
        return {"constant": 1, "log_linear": 2, "log_linear_with_floor": 3, "table": len(self.nodes)}[self.form]

    def at(self, values: Array, targets: Array) -> Array:
        """The curve at target conductances above 0 [uS], same shape."""
        return self.design(values, targets) @ values

    def design(self, values: Array, targets: Array) -> Array:
        """Derivatives of the curve by its parameters, shape (N, p)."""
        if self.form == "table":
            return np.stack([np.interp(targets, self.nodes, one) for one in np.eye(self.count)], 1)
        ones = np.ones(len(targets))
        if self.form == "constant":
            return ones[:, None]
        line = np.stack([np.log(targets / self.g_max), ones], 1)
        if self.form == "log_linear":
            return line
        above = line @ values[:2] > values[2]
        return np.concatenate([line * above[:, None], ~above[:, None]], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Curves of the mean and the spread of the exponent; their parameters follow each other in this order."""

    mean: Curve
    spread: Curve

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self.mean.count + self.spread.count

    @property
    def has_floor(self) -> bool:
        """Whether a curve has a knee."""
        return "log_linear_with_floor" in (self.mean.form, self.spread.form)

    def at(self, values: Array, targets: Array) -> tuple[Array, Array]:
        """Mean and spread at target conductances above 0 [uS], same shape."""
        first = self.mean.count
        return self.mean.at(values[:first], targets), np.maximum(self.spread.at(values[first:], targets), 0.0)

    def designs(self, values: Array, targets: Array) -> tuple[Array, Array]:
        """Derivatives of mean and spread by the parameters of each."""
        first = self.mean.count
        return self.mean.design(values[:first], targets), self.spread.design(values[first:], targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponents:
    """The most likely parameters, and the curves that they are of."""

    maximum: Maximum
    curves: Curves


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentData:
    """Drift exponents of N devices as their readings give them, and their targets [uS], each of shape (N,)."""

    targets: Array
    exponent: Array

    def likelihood(self, values: Array, curves: Curves, error: Array) -> tuple[Array, Array]:
        """Log-likelihood of each device, shape (N,), and its derivatives, shape (N, p).

        An exponent is |mean + spread N(0, 1)|, and its estimate has a normal error.

        Args:
            values: Parameters of the curves.
            curves: Mean and spread of the exponent, before it is folded at 0.
            error: Variance of the estimates, shape (N,). All 0 where it is not known: then estimates below 0 can be
                errors, and the exponent counts as normal.
        """
        first = curves.mean.count
        designs = curves.designs(values, self.targets)
        mean, spread = designs[0] @ values[:first], designs[1] @ values[first:]
        inside = spread > _LEAST
        parts = _folded if error.any() else _normal
        value, by_mean, by_spread = parts(self.exponent, mean, np.maximum(spread, _LEAST), error)
        scores = [by_mean[:, None] * designs[0], np.where(inside, by_spread, 0.0)[:, None] * designs[1]]
        return value, np.concatenate(scores, 1)


def _normal(exponent: Array, mean: Array, spread: Array, error: Array) -> tuple[Array, Array, Array]:
    """Logarithm of a normal density, and its derivatives by mean and spread."""
    variance, rest = spread**2 + error, exponent - mean
    value = -0.5 * (_LOG_2PI + np.log(variance) + rest**2 / variance)
    return value, rest / variance, spread * (rest**2 / variance - 1) / variance


def _folded(exponent: Array, mean: Array, spread: Array, error: Array) -> tuple[Array, Array, Array]:
    """The same of |mean + spread N(0, 1)| + sqrt(error) N(0, 1)."""
    variance = spread**2 + error
    width = spread * np.sqrt(error * variance)
    branches = []
    for sign in (1.0, -1.0):  # of the exponent before it is folded
        value, by_mean, by_spread = _normal(exponent, sign * mean, spread, error)
        # times the probability that it had this sign, given its estimate
        place = (sign * mean * error + exponent * spread**2) / width
        log_share = special.log_ndtr(place)
        pull = hazard(place)
        by_mean = by_mean + pull * error / width
        by_spread = by_spread + pull * (2 * exponent * spread / width - place * (1 / spread + spread / variance))
        branches.append((value + log_share, sign * by_mean, by_spread))
    (value, *slopes), (other, *other_slopes) = branches
    total = np.logaddexp(value, other)
    share = np.exp(value - total)
    by_mean, by_spread = (share * a + (1 - share) * b for a, b in zip(slopes, other_slopes, strict=True))
    return total, by_mean, by_spread


def fit_exponents(data: ExponentData, error: Array, g_max: float, model: DriftModel) -> Exponents:
    """Mean and spread of the exponent, as curves of the model.

    For "auto" and "log_linear_exponent" each curve becomes richer as long as Schwarz's criterion prefers it.

    Args:
        data: Exponents of devices with targets above 0.
        error: Variance of the estimates of the exponents, shape (N,).
        g_max: Largest target [uS].
        model: Of the preset's drift section.

    Raises:
        OptionError: The model needs more targets, or more devices at each.
    """
    levels, sizes = np.unique(data.targets, return_counts=True)
    if len(levels) == 1 and model in ("log_linear_exponent", "tabulated_exponent"):
        raise OptionError(f"--drift-model {model}: needs several targets; the devices that can be read have one")
    if model == "tabulated_exponent":
        if (sizes < FEWEST_A_NODE).any():
            raise OptionError(
                f"--drift-model tabulated_exponent: expected {FEWEST_A_NODE} devices at each target that can be read, "
                f"got {sizes.min()} at {levels[sizes.argmin()]:g} uS; choose log_linear_exponent"
            )
        table = Curve(form="table", g_max=g_max, nodes=tuple(levels))
        return _fitted(data, error, Curves(mean=table, spread=table))
    richest = min(len(levels), max(2, len(levels) - 1))  # a floor needs more targets than it has parameters
    curve = Curve(form="log_linear" if model == "log_linear_exponent" else "constant", g_max=g_max)
    best = _fitted(data, error, Curves(mean=curve, spread=curve))
    while model != "constant_exponent":
        rivals = [_fitted(data, error, curves) for curves in _richer(best.curves, richest)]
        better = min(rivals, key=lambda one: one.maximum.information_criterion, default=best)
        if better.maximum.information_criterion >= best.maximum.information_criterion:
            break
        best = better
    return best


def _richer(curves: Curves, most: int) -> Iterator[Curves]:
    """The same with a richer form of the mean, or of the spread, of up to `most` parameters."""
    for place in ("mean", "spread"):
        curve: Curve = getattr(curves, place)
        for form in _RICHER.get(curve.form, ()):
            richer = replace(curve, form=form)
            if richer.count <= most:
                yield replace(curves, **{place: richer})


def _fitted(data: ExponentData, error: Array, curves: Curves) -> Exponents:
    weights = 1 / (error + max(float(np.var(data.exponent)), _LEAST**2))
    starts = []
    for mean in _starts(curves.mean, data.targets, data.exponent, weights):
        # |N(0, s)| has the mean sqrt(2 / pi) s
        rest = np.abs(data.exponent - curves.mean.at(mean, data.targets)) * np.sqrt(np.pi / 2)
        rest = np.sqrt(np.maximum(rest**2 - error, 0.1 * rest**2))
        starts += [np.concatenate([mean, one]) for one in _starts(curves.spread, data.targets, rest, weights)]
    sizes = np.maximum(
        [np.abs(starts[0][: curves.mean.count]).max(), np.abs(starts[0][curves.mean.count :]).max()], 1e-3
    )
    scale = np.repeat(sizes, (curves.mean.count, curves.spread.count))

    likelihood = partial(data.likelihood, curves=curves, error=error)
    starts.sort(key=lambda start: -likelihood(start)[0].sum())
    return Exponents(maximum=maximize(likelihood, starts[:_STARTS], scale), curves=curves)


def _starts(curve: Curve, targets: Array, values: Array, weights: Array) -> list[Array]:
    """Parameters near those of the curve through values, by weighted least squares; for a floor several knees."""
    if curve.form == "constant":
        return [np.array([np.average(values, weights=weights)])]
    if curve.form == "table":
        nearest = np.abs(targets[:, None] - np.array(curve.nodes)).argmin(1)
        return [np.array([np.average(values[nearest == k], weights=weights[nearest == k]) for k in range(curve.count)])]
    log_relative, root = np.log(targets / curve.g_max), np.sqrt(weights)
    if curve.form == "log_linear":
        return [np.polynomial.polynomial.polyfit(log_relative, values, 1, w=root)[::-1]]
    starts = []
    levels = np.unique(log_relative)
    for knee in np.quantile(levels, np.linspace(0, 1, min(len(levels), _KNEES) + 2)[2:-1]):
        hinge = np.minimum(log_relative - knee, 0.0)
        floor, slope = np.polynomial.polynomial.polyfit(hinge, values, 1, w=root)
        starts.append(np.array([slope, floor - slope * knee, floor]))
    return starts
