"""The file of a fitted preset: its values with their intervals beside them, and notes on what was measured."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analog_samson.analysis.device_fit.likelihood import Estimate
from analog_samson.analysis.device_fit.measurements import Measurements
from analog_samson.analysis.device_fit.model import (
    FEWEST_TIMES_FOR_NOISE,
    LARGEST_NOISE,
    SMALLEST_SHARE,
    DeviceModel,
    tells_read_noise,
)
from analog_samson.presets.fields import show_number
from analog_samson.units import format_duration

_WIDTH = 118
_FAR = 5.0  # a normal error is larger once in two million devices
_INTERVALS = "Intervals of 95 % are in comments, of a list in the order of its entries."


def fit_notes(model: DeviceModel, data: Measurements, *, t0_given: bool, pulse_given: bool) -> list[str]:
    """Sentences on what was measured, what was assumed, and what was not measured.

    Args:
        model: What was fitted.
        data: What it was fitted to.
        t0_given: Whether the user gave t0; else times count from the first reading.
        pulse_given: Whether the user gave the width of the read pulse.
    """
    assumed = _assumed(model, data, t0_given=t0_given, pulse_given=pulse_given)
    return [*_measured(model, data), *assumed, *_not_measured(model, data)]


def _measured(model: DeviceModel, data: Measurements) -> Iterator[str]:
    levels = len({float(target) for target in model.targets})
    first, last = (format_duration(float(data.times[place])) for place in (0, -1))
    times = f"at {len(data.times)} times from {first} to {last}" if len(data.times) > 1 else f"at {first}"
    most = int(data.counts.max())
    yield (
        f"{data.counts.sum():,} readings of {len(data.targets):,} devices with {levels} targets from "
        f"{data.targets.min():g} to {data.targets.max():g} uS, {times}, "
        f"{'one reading' if most == 1 else f'up to {most} readings'} of each at a time."
    )
    if model.left_out:
        yield f"Devices that were read at fewer than two times were left out: {model.left_out}."
    if unread := int((~model.readable).sum()):
        yield (
            f"Drift and read noise come from {int(model.readable.sum())} of {len(model.targets)} devices. "
            f"Left out here: {unread} with a target of 0, with a target that has read noise above {LARGEST_NOISE:.0%}, "
            f"or that ended below {SMALLEST_SHARE:.0%} of it."
        )
    yield "g_max is the largest target."
    if not model.programming.values.size:
        yield "No programming error is discernible beside the read noise, so it is none."
    elif far := int((np.abs(model.programming_errors) > _FAR).sum()):
        yield f"{far} devices ended more than {_FAR:g} standard deviations from their targets; are they stuck?"
    if model.exponents is not None and {model.exponents.curves.mean.form, model.exponents.curves.spread.form} != {
        "constant"
    }:
        readable = model.targets[model.readable]
        yield (
            "Below and above the targets that the drift was fitted to "
            f"({readable.min():g} to {readable.max():g} uS) its exponent is held."
        )
    if model.read is not None and not model.read.is_proportional:
        smallest = model.laws.conductance[model.readable].min()
        yield f"Below {smallest:.3g} uS, the smallest conductance that the read noise was fitted to, q is held."


def _assumed(model: DeviceModel, data: Measurements, *, t0_given: bool, pulse_given: bool) -> Iterator[str]:
    if model.exponents is not None:
        start = float(data.times[0])
        yield (
            f"t0 = {format_duration(model.clock.t0_seconds)} was given, not fitted."
            if t0_given
            else f"Times count from the first reading, {format_duration(start)} after programming, which is t0."
        )
    if model.read is not None:
        yield (
            f"The width of the read pulse was {'given' if pulse_given else 'assumed'}; it hardly matters between "
            "the times measured. Readings count as independent of each other."
        )


def _not_measured(model: DeviceModel, data: Measurements) -> Iterator[str]:
    if model.exponents is None:
        yield "Drift was not measured (one time), so it is none."
    if model.read is None:
        if tells_read_noise(data, model.clock):
            yield "Readings do not differ from each other, so read noise is none."
        else:
            yield (
                f"Read noise was not measured (no repeated reads, and fewer than {FEWEST_TIMES_FOR_NOISE} times of a "
                "device after 0 s), so it is none; the spreads of programming and drift contain it."
            )
    yield "Tile size, converters and other periphery were not measured, so tiles have no limit and products are exact."
    if model.exponents is not None:
        yield "The compensation, one factor a tile, is a choice of the digital side."


def misfit_warnings(model: DeviceModel, *, t0_given: bool) -> list[str]:
    """A sentence or two where the drift law does not hold, otherwise nothing.

    Args:
        model: What was fitted.
        t0_given: Whether the user gave t0; else times count from the first reading.
    """
    if not model.laws_fail:
        return []
    remedy = (
        "If the times count from programming, leave --t0 out."
        if t0_given
        else "If the times count from the first reading, give --t0, the time from programming to that reading."
    )
    return [
        f"The drift law does not hold with these times: the variance of readings around it is {model.misfit:.2f} times "
        f"what read noise explains, so the drift exponents can be wrong beyond their intervals. {remedy}"
    ]


def preset_file(values: Mapping[str, Any], estimates: Sequence[Estimate], notes: Sequence[str]) -> str:
    """The TOML text of a fitted preset.

    Args:
        values: The preset; its notes are replaced.
        estimates: Intervals, written as comments beside their values.
        notes: Sentences for `source.notes`.
    """
    lines = [f"# Fitted to measurements by `analog-samson presets fit`. {_INTERVALS}"]
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines += [f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        for key, value in table.items():
            path = f"{name}.{key}"
            text = _long_text(notes) if path == "source.notes" else _toml(value)
            lines.append(f"{key} = {text}{_comment(path, estimates)}")
    return "\n".join(lines) + "\n"


def _comment(path: str, estimates: Sequence[Estimate]) -> str:
    found = [one for one in estimates if one.key == path or one.key.startswith(f"{path}[")]
    return f"  # {', '.join(interval_text(one) for one in found)}" if found else ""


def interval_text(estimate: Estimate) -> str:
    """The interval of an estimate, such as 0.24 to 0.28."""
    return f"{estimate.low:.4g} to {estimate.high:.4g}"


def _long_text(sentences: Sequence[str]) -> str:
    text = " ".join(sentences).replace("\\", "\\\\").replace('"', '\\"')
    return '"""\\\n' + " \\\n".join(textwrap.wrap(text, _WIDTH)) + '"""'


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def fit_table(values: Mapping[str, Any], estimates: Sequence[Estimate]) -> list[tuple[str, ...]]:
    """Rows of text, the head first: the model of each section, and each fitted number with its interval."""
    rows: list[tuple[str, ...]] = [("KEY", "VALUE", "95 % INTERVAL")]
    for section in ("programming", "drift", "read"):
        rows.append((f"{section}.model", values[section]["model"], ""))
        mine = [one for one in estimates if one.key.startswith(f"{section}.")]
        rows += [(one.key, show_number(float(f"{one.value:.4g}")), interval_text(one)) for one in mine]
    return rows
