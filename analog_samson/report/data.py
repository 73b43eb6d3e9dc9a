"""The numbers behind the tables and figures of accuracy, exact and in long form: one row a moment."""

from collections.abc import Sequence
from typing import Any

from analog_samson.analysis.comparison import Comparison
from analog_samson.analysis.equivalent_sigma import EquivalentSigma
from analog_samson.analysis.ranking import method_name
from analog_samson.analysis.summary import Result, State
from analog_samson.report.grid import Data

_STATE = (
    *("checkpoint", "preset", "calibration", "stage", "time_seconds", "mean_percent", "std", "n", "low_percent"),
    *("high_percent", "drop_points", "equivalent_sigma_c", "sigma_low", "sigma_high"),
    *("sigma_verdict", "sigma_leaves_sweep", "weight_error", "mark"),
)
_SWEEP = ("checkpoint", "preset", "calibration", "sigma_c", "mean_percent", "std", "n", "low_percent", "high_percent")
_STEP = (
    *("preset", "network", "minus", "stage", "time_seconds", "mean_points", "low_points", "high_points", "n"),
    *("significant", "mark"),
)


def state_data(results: Sequence[Result]) -> Data:
    """Every moment of every result, digital included."""
    rows = [_state_row(result, state) for result in results for state in _states(result)]
    return Data(columns=_STATE, rows=tuple(rows))


def sweep_data(results: Sequence[Result]) -> Data:
    """Every point of the Gaussian sweeps."""
    rows = [
        (r.checkpoint, r.preset, r.calibration, p.sigma_c, a.mean, a.std, a.n, a.low, a.high)
        for r in results
        for p in r.sweep
        for a in [p.value]
    ]
    return Data(columns=_SWEEP, rows=tuple(rows))


def step_data(comparisons: Sequence[Comparison]) -> Data:
    """Every paired difference over time."""
    rows = [
        (
            *(c.first.preset, method_name(c.second), method_name(c.first), s.stage, s.time_seconds),
            *(d.mean, d.low, d.high, d.n, d.significant, s.mark),
        )
        for c in comparisons
        for s in c.steps
        for d in [s.difference]
    ]
    return Data(columns=_STEP, rows=tuple(rows))


def _states(result: Result) -> tuple[State, ...]:
    return ((result.digital,) if result.digital else ()) + result.states


def _state_row(result: Result, state: State) -> tuple[Any, ...]:
    a, sigma = state.value, state.equivalent
    return (
        *(result.checkpoint, result.preset, result.calibration, state.stage, state.time_seconds),
        *(a.mean, a.std, a.n, a.low, a.high, state.drop),
        *((None,) * 5 if sigma is None else _sigma(sigma)),
        None if state.weight_error is None else state.weight_error.mean,
        state.mark,
    )


def _sigma(one: EquivalentSigma) -> tuple[Any, ...]:
    """The value with its interval and what they are: beyond the sweep a value is a bound and an end is not known."""
    return one.value, _finite(one.low), _finite(one.high), one.verdict.value, one.high == float("inf")


def _finite(end: float | None) -> float | None:
    """An end of an interval; none where it leaves the sweep."""
    return None if end is None or end == float("inf") else end
