"""The first figure of the README: does training keep a network's accuracy on chips, for a year?

    python benchmarks/front_figure.py --shared ../shared --images npz:cifar10_train.npz --runs runs/front_figure
    python benchmarks/front_figure.py --draw

Left: ResNet-32 as others trained it (resnet32-d509ac18.th) and `zoo:resnet32_soup_cifar10`, which was fine-tuned for
hardware, on chips of `pcm_rasch_2023` (8-bit converters, output and read noise, IR drop), on the first test images of
CIFAR-10. AdaBS recomputes the batch-norm statistics of each chip on 1,000 training images at the time of the test.
Right: KWT-1, a keyword transformer that nobody trained for hardware, from results/networks.csv (`networks.py`).
Bands are 95 % intervals of the mean over chips. The preset's source covers one day; later times are extrapolated.

The committed values were measured on an AVX-512 CPU, with 2,000 test images and five chips of each network.

results/front_figure.csv holds the value of every chip; --draw makes docs/images/front.png from it.

--limit N    the first N test images
--chips N    how many chips
--runs DIR   where the run folders go; the same call again continues them
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.axes import Axes

from analog_samson.analysis.statistics import summarize
from analog_samson.report.drawing import Drawing, Layout, png
from analog_samson.report.palette import LIGHT, series_role
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.units import format_duration, parse_times

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "front_figure.csv"
TRANSFORMERS = FOLDER / "results" / "networks.csv"
PICTURE = FOLDER.parent / "docs" / "images" / "front.png"
PRESET, TIMES, DAY = "pcm_rasch_2023", parse_times("1s,1h,1d,1y"), 86400.0
PLAIN, TRAINED = "resnet32", "resnet32_soup_cifar10"
Case = tuple[str, dict[str, str], bool, int]  # label, columns of the results, whether mitigated, place of its colour
RESNETS: list[Case] = [
    ("as published", {"network": PLAIN, "calibration": "none"}, False, 1),
    ("as published, AdaBS", {"network": PLAIN, "calibration": "adabs"}, True, 1),
    ("trained for hardware", {"network": TRAINED, "calibration": "none"}, False, 0),
    ("trained for hardware, AdaBS", {"network": TRAINED, "calibration": "adabs"}, True, 0),
]
KWT = {"network": "kwt1"}
KWT1: list[Case] = [
    (
        "exact products",
        {**KWT, "preset": "pcm_nandakumar_2019", "scaling": "per_column", "calibration": "affine"},
        True,
        2,
    ),
    ("converters, calibrated", {**KWT, "preset": PRESET, "scaling": "per_column", "calibration": "affine"}, True, 1),
    ("converters", {**KWT, "preset": PRESET, "scaling": "per_column", "calibration": "none"}, False, 1),
]


def simulate(network: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every chip of one network, as rows of the results."""
    own = {"checkpoint": f"zoo:{network}"}
    if network == PLAIN:
        checkpoint = options.shared / "checkpoints" / "resnet32-d509ac18.th"
        own = {"checkpoint": str(checkpoint), "model": "resnet32", "normalization": "imagenet"}
    asked = SimulateOptions(
        **own,
        data=f"npz:{options.shared / 'data' / 'cifar10_test.npz'}",
        calibration_data=options.images,
        preset=PRESET,
        times=TIMES,
        sigmas=(),
        instances=options.chips,
        limit=options.limit,
        calibrate=("adabs",),
        threads=options.threads,
    )
    folder = options.runs / f"{network}-{options.limit}"
    with run_simulation(asked, folder, progress=lambda text: print(f"{network}: {text}", flush=True)) as run:
        for record in run.records():
            if record.metric == "accuracy_percent" and record.instance < options.chips:
                yield {
                    "network": network,
                    "preset": PRESET,
                    "calibration": record.calibration,
                    "stage": record.stage,
                    "time_seconds": record.time_seconds,
                    "chip": record.instance,
                    "images": options.limit,
                    "metric": record.metric,
                    "value": record.value,
                }


def over_time(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Mean and 95 % interval over chips, by time."""
    chips = frame[frame.stage == "drift"]
    for column, value in columns.items():
        chips = chips[chips[column] == value]
    found = {seconds: summarize(list(own.value)) for seconds, own in chips.groupby("time_seconds")}
    rows = [(seconds, one.mean, one.low, one.high, one.n) for seconds, one in found.items()]
    return pd.DataFrame(rows, columns=["seconds", "mean", "low", "high", "n"])


def draw(axes: Axes, frame: pd.DataFrame, cases: list[Case], title: str, label: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5)
    axes.set_ylabel(label)
    axes.set_xscale("log")
    axes.axvspan(DAY, 1.5 * max(TIMES), color=LIGHT["rule"], alpha=0.5, lw=0)
    ends = []
    for name, columns, mitigated, place in cases:
        own, colour = over_time(frame, columns), LIGHT[series_role(place)]
        axes.fill_between(own.seconds, own.low, own.high, color=colour, alpha=0.22, lw=0)
        axes.plot(own.seconds, own["mean"], color=colour, marker="o", ms=4, ls="-" if mitigated else (0, (3, 1.5)))
        ends.append((own["mean"].iloc[-1], f"{own['mean'].iloc[-1]:.1f}  {name}", colour))
    digital = frame[(frame.stage == "digital") & frame.network.isin([columns["network"] for _, columns, _, _ in cases])]
    for value in digital.groupby("network").value.first():
        axes.axhline(value, color=LIGHT["muted"], lw=0.9, ls=(0, (1, 2)))
    low, high = axes.get_ylim()
    height = low - 1
    for value, text, colour in sorted(ends):
        height = max(value, height + 0.065 * (high - low))
        axes.annotate(
            text, (max(TIMES), height), (7, 0), textcoords="offset points", va="center", color=colour, fontsize=8.5
        )
    axes.text(DAY * 1.25, low + 0.02 * (high - low), "extrapolated", fontsize=7.5, color=LIGHT["muted"])
    axes.set_xlim(0.7, 1.5 * max(TIMES))
    axes.set_xticks(TIMES, [format_duration(seconds) for seconds in TIMES])
    axes.minorticks_off()
    axes.set_xlabel("time after programming")


def picture() -> bytes:
    """docs/images/front.png, made from the results."""
    resnets, transformers = pd.read_csv(RESULTS), pd.read_csv(TRANSFORMERS)

    def both(axes: Axes, layout: Layout) -> None:
        figure, place = axes.get_figure(), axes.get_subplotspec()
        assert figure is not None
        assert place is not None
        left, right = (figure.add_subplot(part) for part in place.subgridspec(1, 2))
        axes.remove()
        draw(left, resnets, RESNETS, "ResNet-32 on PCM with 8-bit converters", "accuracy on CIFAR-10, %")
        draw(right, transformers, KWT1, "Keyword transformer KWT-1, not retrained", "accuracy on Speech Commands, %")

    return png(Drawing(draw=both), Layout(width=11.5, height=3.7, narrow=False), dots_per_inch=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with checkpoints/ and data/")
    parser.add_argument("--images", help="training images of CIFAR-10, such as npz:cifar10_train.npz")
    parser.add_argument("--runs", type=Path, default=Path("runs/front_figure"))
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--chips", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--draw", action="store_true", help="draw the figure, measure nothing")
    options = parser.parse_args()
    if not options.draw:
        if options.images is None or not (options.shared / "checkpoints").is_dir():
            sys.exit("give the training images with --images and the folder of checkpoints and data with --shared")
        torch.set_num_threads(options.threads)
        keep_freed_memory()
        rows = [row for network in (PLAIN, TRAINED) for row in simulate(network, options)]
        pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.6g", lineterminator="\n")
    PICTURE.write_bytes(picture())
    print(PICTURE)


if __name__ == "__main__":
    main()
