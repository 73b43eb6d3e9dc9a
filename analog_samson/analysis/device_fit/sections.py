"""A fitted model as the sections of a preset, and its numbers with intervals under the preset's keys."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from analog_samson.analysis.device_fit.exponents import Curve, Exponents
from analog_samson.analysis.device_fit.likelihood import Estimate, normal_interval, profile_interval
from analog_samson.analysis.device_fit.measurements import Array, Measurements
from analog_samson.analysis.device_fit.model import DeviceModel

_DIGITS = 6


def preset_values(model: DeviceModel, data: Measurements, *, name: str, technology: str = "generic") -> dict[str, Any]:
    """A whole preset, for `parse_preset`; what the measurements do not tell is perfect or none.

    Args:
        model: What was fitted.
        data: What it was fitted to.
        name: Of the preset.
        technology: Kind of device.
    """
    drifts = model.exponents is not None
    return {
        "schema": 1,
        "name": name,
        "summary": f"Fitted to measurements of {len(model.targets)} devices",
        "source": {"citation": "own measurements", "doi": "", "year": 2000, "kind": "fitted", "notes": ""},
        "device": {
            "technology": technology,
            "g_max_microsiemens": model.g_max,
            "g_min_microsiemens": 0.0,
            "pairs": 1,
            "sharing": "none",
            "significance": [],
        },
        "programming": _programming(model),
        "drift": _drift(model),
        "read": _read(model),
        "tile": {"max_rows": 0, "max_columns": 0, "weight_scaling": "per_layer"},
        "periphery": {"model": "perfect"},
        "compensation": {"kind": "global" if drifts else "none", "reads": 1},
        "validity": {
            # As the file gives it: without a given t0 the clock of the drift is t0 behind it.
            "max_seconds": max(float(data.times[-1]), model.clock.t_read_seconds),
            "max_g_microsiemens": max(data.largest, model.g_max),
            "published_seconds": [],
        },
    }


def _programming(model: DeviceModel) -> dict[str, Any]:
    coefficients = model.programming.values
    if not coefficients.size:
        return {"model": "none"}
    return {
        "model": "polynomial",
        "coefficients_microsiemens": _rounded(coefficients),
        "reference_g_max_microsiemens": model.g_max,
    }


def _drift(model: DeviceModel) -> dict[str, Any]:
    found = model.exponents
    if found is None:
        return {"model": "none"}
    curves, values, t0 = found.curves, found.maximum.values, {"t0_seconds": model.clock.t0_seconds}
    parts = {"mean": (curves.mean, values[: curves.mean.count]), "std": (curves.spread, values[curves.mean.count :])}
    if drift_model(found) == "constant_exponent":
        constants = {f"nu_{key}": max(_rounded(one)[0], 0.0) for key, (_, one) in parts.items()}
        return {"model": "constant_exponent", **t0, **constants}
    if drift_model(found) == "tabulated_exponent":
        table = {f"nu_{key}": _rounded(np.maximum(one, 0.0)) for key, (_, one) in parts.items()}
        return {"model": "tabulated_exponent", **t0, "g_microsiemens": list(curves.mean.nodes), **table}
    measured = model.targets[model.readable]
    ends = np.array([measured.min(), measured.max()])
    section = {"model": "log_linear_exponent", **t0}
    for key, (curve, one) in parts.items():
        slope, intercept = (0.0, one[0]) if curve.form == "constant" else one[:2]
        at_ends = np.maximum(curve.at(one, ends), 0.0)
        bounds = _rounded(np.array([at_ends.min(), at_ends.max()]))
        line = _rounded(np.array([slope, intercept]))
        names = ("slope", "intercept", "min", "max")
        section |= {f"nu_{key}_{name}": value for name, value in zip(names, line + bounds, strict=True)}
    return section


def drift_model(found: Exponents) -> str:
    """The preset's model that has these curves."""
    forms = {found.curves.mean.form, found.curves.spread.form}
    return {"constant": "constant_exponent", "table": "tabulated_exponent"}.get(
        forms.pop() if len(forms) == 1 else "", "log_linear_exponent"
    )


def _read(model: DeviceModel) -> dict[str, Any]:
    if model.read is None:
        return {"model": "none"}
    values, pulse = model.read.maximum.values, {"t_read_seconds": model.clock.t_read_seconds}
    if model.read.is_proportional:
        strength = float(np.exp(values[0])) * model.g_max
        return {"model": "proportional_flicker", **pulse, "strength_microsiemens": _rounded(np.array([strength]))[0]}
    smallest = model.laws.conductance[model.readable].min()
    numbers = [np.exp(values[0]), values[1], (smallest / model.g_max) ** values[1] / 2, *model.read.q(smallest[None])]
    names = ("q_coefficient", "q_exponent", "q_denominator_min", "q_max")
    return {"model": "flicker", **pulse, **dict(zip(names, _rounded(np.array(numbers)), strict=True))}


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]


def estimates(model: DeviceModel) -> list[Estimate]:
    """Every fitted number under its key in the preset, with its 95 % interval."""
    values = [model.read.maximum.values] if model.read else []
    values += [model.programming.values, *([model.exponents.maximum.values] if model.exponents else [])]
    every, deviations = np.concatenate(values), np.sqrt(np.diag(model.covariance))
    ends = [normal_interval(value, deviation) for value, deviation in zip(every, deviations, strict=True)]
    if model.exponents is not None and model.exponents.curves.has_floor:
        first = len(every) - model.exponents.curves.count
        for place in range(first, len(every)):
            # A device near the knee changes sides with the parameters, which a standard error does not see.
            profile = profile_interval(model.exponents.maximum, place - first, deviations[place])
            ends[place] = min(ends[place][0], profile[0]), max(ends[place][1], profile[1])
    found = [
        Estimate(key=key, value=float(value), low=low, high=high)
        for key, value, (low, high) in zip(_keys(model), every, ends, strict=True)
    ]
    if model.read is not None:
        factor = model.g_max if model.read.is_proportional else 1.0
        found[0] = found[0].changed(lambda value: factor * float(np.exp(value)))
    order = {"programming": 0, "drift": 1, "read": 2}
    return sorted(found, key=lambda one: order[one.key.split(".")[0]])


def _keys(model: DeviceModel) -> Iterator[str]:
    """The keys of all parameters in the order of the covariance."""
    if model.read is not None:
        proportional = ("read.strength_microsiemens",)
        yield from proportional if model.read.is_proportional else ("read.q_coefficient", "read.q_exponent")
    yield from (f"programming.coefficients_microsiemens[{k}]" for k in range(len(model.programming.values)))
    if model.exponents is not None:
        kind = drift_model(model.exponents)
        for key, curve in (("mean", model.exponents.curves.mean), ("std", model.exponents.curves.spread)):
            yield from (f"drift.nu_{key}{ending}" for ending in _endings(curve, kind))


def _endings(curve: Curve, kind: str) -> list[str]:
    if kind == "constant_exponent":
        return [""]
    if kind == "tabulated_exponent":
        return [f"[{k}]" for k in range(curve.count)]
    return ["_intercept"] if curve.form == "constant" else ["_slope", "_intercept", "_min"][: curve.count]
