"""Devices that were left out of a fit, in words, as a table and as a figure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from analog_samson.analysis.device_fit.held_out import CENTRAL, FEWEST_DEVICES, HeldOut
from analog_samson.report.artists import legend, look
from analog_samson.report.drawing import Layout
from analog_samson.report.palette import LIGHT
from analog_samson.report.preset_text import aligned
from analog_samson.units import format_duration

UNLIKELY = 0.01


def held_out_text(found: Sequence[HeldOut]) -> str:
    """How well a fit without them reproduces the devices that were left out."""
    if not found:
        return f"No held-out check: it needs {FEWEST_DEVICES} devices."
    lines = [
        "Held-out check: devices that a fit to the others has not seen, among devices that this fit simulates.",
        "KS: distance of their ranks from a uniform distribution, and its p-value.",
        "",
        aligned(_table(found)),
    ]
    # Times share their devices, so their p-values are not independent; Bonferroni's bound holds anyway.
    if min(one.p_value for one in found) < UNLIKELY / len(found):
        lines += ["", "The fit does not reproduce them: look at the picture before you use the preset."]
    return "\n".join(lines)


def _table(found: Sequence[HeldOut]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("TIME", "DEVICES", f"IN CENTRAL {CENTRAL:.0%}", "95 % INTERVAL", "KS", "P-VALUE")]
    for one in found:
        count = len(one.ranks)
        cells = (f"{one.inside / count:.1%}", f"{one.low:.1%} to {one.high:.1%}", f"{one.distance:.3f}")
        rows.append((format_duration(one.time_seconds), str(count), *cells, f"{one.p_value:.2g}"))
    return rows


def draw_held_out(found: Sequence[HeldOut], axes: Axes, layout: Layout) -> None:
    """Share of held-out devices below each quantile of their simulated devices, less that quantile."""
    looks = [replace(look(place, format_duration(one.time_seconds)), marker="") for place, one in enumerate(found)]
    for one, style in zip(found, looks, strict=True):
        ranks = np.sort(one.ranks)
        axes.plot(ranks, (np.arange(len(ranks)) + 0.5) / len(ranks) - ranks, color=style.colour, linestyle=style.dashes)
    axes.axhline(0.0, color=LIGHT["muted"], linewidth=1)
    axes.set_xlabel("quantile of simulated devices")
    axes.set_ylabel("held-out share - quantile")
    legend(axes, looks, layout, dashed=True)
