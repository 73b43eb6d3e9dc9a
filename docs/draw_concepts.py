"""The drawings of docs/concepts.md, made by the code that simulates: `python docs/draw_concepts.py`."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from analog_samson import load_preset
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.chip.rpu import rpu_config
from analog_samson.report.drawing import WIDE, Drawing, Layout, png
from analog_samson.report.palette import LIGHT
from analog_samson.units import format_duration, parse_times

IMAGES = Path(__file__).parent / "images"
PCM = load_preset("pcm_nandakumar_2019")
WEIGHTS = torch.tensor([[1.0, -0.5, 0.25, 0.0], [0.1, 0.8, -0.4, 0.3]])  # (outputs, inputs)
TIMES = parse_times("1s,10s,1m,10m,1h,6h,1d,1w,30d,1y")


def crossbar(axes: Axes, layout: Layout) -> None:
    """Two outputs of four inputs: each weight is a pair of devices; a larger dot is a larger conductance."""
    (plus, minus), _ = rpu_config(PCM).noise_model.g_converter.convert_to_conductances(WEIGHTS)
    outputs, inputs = WEIGHTS.shape
    ink, rule = LIGHT["ink"], LIGHT["muted"]
    for row in range(inputs):
        axes.plot([-0.6, 2 * outputs - 0.4], [-row, -row], color=rule, linewidth=1.2, zorder=1)
        axes.text(-0.75, -row, f"input {row + 1} → DAC", ha="right", va="center", color=ink)
    for output in range(outputs):
        for sign, values in enumerate((plus, minus)):
            column = 2 * output + sign
            colour = LIGHT["series-1" if sign == 0 else "series-2"]
            axes.plot([column, column], [0.5, 0.3 - inputs], color=rule, linewidth=1.2, zorder=1)
            axes.text(column, 0.6, "+−"[sign], ha="center", va="bottom", color=colour, fontsize=13)
            for row in range(inputs):
                share = float(values[output, row]) / PCM.device.g_max_microsiemens
                axes.add_patch(Circle((column, -row), 0.06 + 0.2 * share**0.5, color=colour, zorder=2))
                axes.text(column + 0.26, -row + 0.22, f"{values[output, row]:.1f}", color=ink, fontsize=7.5)
        below = 2 * output + 0.5, 0.1 - inputs
        axes.text(*below, f"(+) − (−) → ADC\noutput {output + 1}", ha="center", va="top", color=ink)
    for row in range(inputs):
        pair = ", ".join(f"{value:g}" for value in WEIGHTS[:, row].numpy().round(3))
        axes.text(2 * outputs - 0.2, -row, f"weights {pair}", va="center", color=rule)
    axes.set(xlim=(-3.0, 2 * outputs + 2.6), ylim=(-inputs - 0.9, 1.1), aspect="equal")
    axes.set_axis_off()


def aging(axes: Axes, layout: Layout) -> None:
    """20 devices that were programmed to 10 uS, read over a year; and the same over their mean at each time."""
    readings = simulated_readings(PCM, np.full(20, 10.0), TIMES, seed=0)[:, :, 0]
    common = readings.mean(0)
    for values, role in ((readings, "series-2"), (readings * common[0] / common, "series-1")):
        axes.plot(TIMES, values.T, color=LIGHT[role], linewidth=0.5, alpha=0.45)
        axes.plot(TIMES, values.mean(0), color=LIGHT[role], linewidth=2.4)
    axes.annotate("as read", (TIMES[-1], common[-1]), xytext=(6, 0), textcoords="offset points", va="center")
    axes.annotate("times one factor", (TIMES[-1], common[0]), xytext=(6, 0), textcoords="offset points", va="center")
    shown = parse_times("1s,1m,1h,1d,1y")
    axes.set(xscale="log", xticks=shown, xticklabels=[format_duration(time) for time in shown], ylim=(0, None))
    axes.minorticks_off()
    axes.set(xlabel="time after programming", ylabel="conductance (µS)")


DRAWINGS = {"crossbar.png": Drawing(draw=crossbar, height=0.95), "aging.png": Drawing(draw=aging, height=0.75)}


if __name__ == "__main__":
    for name, drawing in DRAWINGS.items():
        (IMAGES / name).write_bytes(png(drawing, WIDE, dots_per_inch=110))
        print(IMAGES / name)
