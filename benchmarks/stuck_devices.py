"""What does the provided ResNet-20 lose to stuck devices, and what do two mitigations give back?

    python benchmarks/stuck_devices.py --shared ../shared --runs runs/stuck_devices
    python benchmarks/stuck_devices.py --table

`shared/checkpoints/resnet20-12fca82f.th`, trained without hardware in mind, on ten chips of `pcm_nandakumar_2019` one
day after programming, without AdaBS. A fraction of the devices is stuck at g_min or at g_max, and program-and-verify
knows which. Nothing is done, or the other device of the pair makes up for it, or eight spare rows and columns of each
tile replace the worst ones. All cases share their chips: a loss is that of the same ten chips without faults.

results/stuck_devices.csv holds the accuracy of every chip; --table makes docs/stuck_devices.md.

--images N   the first N test images of CIFAR-10
--chips N    how many chips
--runs DIR   where the run folders go; the same call again continues them
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import torch
from torch import nn

from analog_samson import load_preset, simulate_drift
from analog_samson.analysis.statistics import Difference, paired_difference
from analog_samson.presets.device_faults import StuckDevices
from analog_samson.results.metric import stored_task
from analog_samson.results.store import RunFolder
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions

RESULTS = Path(__file__).parent / "results" / "stuck_devices.csv"
PAGE = Path(__file__).parent.parent / "docs" / "stuck_devices.md"
PRESET, DAY, SEED = "pcm_nandakumar_2019", 86400.0, 0
FRACTIONS = {
    "g_min": (0.0042, 0.01, 0.02, 0.04),
    "g_max": (0.0005, 0.001, 0.002, 0.005),
}
MITIGATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "pair": {"compensation": "pair"},
    "spares": {"spare_rows": 8, "spare_columns": 8},
}
NONE = StuckDevices(
    model="stuck",
    stuck_at_g_min=0.0,
    stuck_at_g_max=0.0,
    stuck_at_random=0.0,
    open_rows=0.0,
    open_columns=0.0,
    occurrence="before_verify",
    compensation="none",
    spare_rows=0,
    spare_columns=0,
)


def cases() -> Iterator[tuple[str, float, str]]:
    """Where devices are stuck, the fraction of them, and the mitigation; first without faults."""
    yield "g_min", 0.0, "none"
    for mitigation in MITIGATIONS:
        for kind, fractions in FRACTIONS.items():
            yield from ((kind, fraction, mitigation) for fraction in fractions)


def simulate(
    network: tuple[nn.Module, Any, Any], case: tuple[str, float, str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Every chip of one case, as rows of the results."""
    model, task, data = network
    kind, fraction, mitigation = case
    faults = NONE.model_copy(update={f"stuck_at_{kind}": fraction, **MITIGATIONS[mitigation]})
    given = {"kind": kind, "fraction": fraction, "mitigation": mitigation, "images": options.images}
    folder = options.runs / f"{kind}-{fraction:g}-{mitigation}-{options.images}"
    with RunFolder.create(folder, given) as run:
        run.set_meta("task", stored_task(task.name, task.metrics))
        simulate_drift(
            model,
            load_preset(PRESET).model_copy(update={"faults": faults}),
            data,
            task=task,
            times=[DAY],
            instances=options.chips,
            seed=SEED,
            store=run,
            progress=lambda text: print(f"{kind} {fraction:g}, {mitigation}: {text}", file=sys.stderr, flush=True),
        )
        return [
            {**given, "stage": record.stage, "chip": record.instance, "accuracy_percent": record.value}
            for record in run.records()
            if record.metric == "accuracy_percent" and record.instance < options.chips
        ]


def loss(frame: pd.DataFrame, kind: str, fraction: float, mitigation: str) -> Difference:
    """Points that the chips lose to faults, with a 95 % interval of the mean over chips."""
    chips = frame[frame.stage == "drift"]
    intact = chips[chips.fraction == 0].set_index("chip").accuracy_percent
    own = chips[(chips.kind == kind) & (chips.fraction == fraction) & (chips.mitigation == mitigation)]
    found = paired_difference(
        dict(own.set_index("chip").accuracy_percent), dict(intact), 100 / int(frame.images.iloc[0])
    )
    assert found is not None
    return found


def tolerance(fractions: Sequence[float], losses: Sequence[float], points: float = 1.0) -> float | None:
    """The fraction at which this many points are lost first, linear between those measured; None if at none of them.

    >>> tolerance([0.01, 0.02], [0.5, 2.5]), tolerance([0.01, 0.02], [0.2, 0.3])
    (0.0125, None)
    """
    x, y = [0.0, *fractions], [0.0, *losses]
    for place in range(1, len(x)):
        if y[place] >= points:
            return x[place - 1] + (points - y[place - 1]) / (y[place] - y[place - 1]) * (x[place] - x[place - 1])
    return None


_NAMES = {"none": "none", "pair": "other device of the pair", "spares": "8 spare rows and columns"}
_INTRODUCTION = """\
Made by `python benchmarks/stuck_devices.py --table` from `benchmarks/results/stuck_devices.csv`: the ResNet-20 of
akamaster/pytorch_resnet_cifar10, trained without hardware in mind, on chips of `pcm_nandakumar_2019` with
[stuck devices](concepts.md#devices-that-fail), one day after programming, without AdaBS. Program-and-verify knows which
devices are stuck. Losses are relative to the same chips without faults: mean over chips and its 95 % interval, which
holds for these images. Where a device is stuck at g_min, the other one of its pair cannot make up for it: it would have
to conduct less than g_min. Against g_max it can, as far as g_max reaches. Eight spares are many for layers of 16 to 64
columns: they cost up to half of a tile's area again. Tolerances are linear between the fractions measured, and below
the smallest one linear from none."""
_PEERS = """\
Rasch et al. 2023 (doi 10.1038/s41467-023-40770-4) report that their networks tolerate 0.42 % to 4 % of devices stuck at
zero, depending on the network, and that 0.05 % stuck at the largest conductance already does harm. Those are other and
mostly larger networks, trained for the hardware, on tiles with converters: the numbers set the scale, they are no
comparison. How a network trained for noise does is not measured here."""


def page() -> str:
    """docs/stuck_devices.md, made from the results."""
    frame = pd.read_csv(RESULTS)
    digital = frame[frame.stage == "digital"].accuracy_percent.iloc[0]
    intact = frame[(frame.stage == "drift") & (frame.fraction == 0)].accuracy_percent
    images, chips = int(frame.images.iloc[0]), len(intact)
    parts = [
        "# Stuck devices: what a ResNet-20 loses to them",
        _INTRODUCTION,
        f"{chips} chips, the first {images:,} test images. Digital: {digital:.2f} %. After a day without faults: "
        f"{fmean(intact):.2f} ± {stdev(intact):.2f} % (standard deviation over chips).",
    ]
    tolerances = ["| stuck at | mitigation | tolerated at one point | 95 % interval |", "| --- | --- | --: | --- |"]
    for kind, fractions in FRACTIONS.items():
        rows = ["| fraction stuck | mitigation | accuracy, % | lost, points | 95 % interval |"]
        rows += ["| --: | --- | --: | --: | --- |"]
        measured = set(zip(frame.kind, frame.fraction, frame.mitigation, strict=True))
        found = {(f, m): loss(frame, kind, f, m) for f in fractions for m in MITIGATIONS if (kind, f, m) in measured}
        for (fraction, mitigation), lost in found.items():
            own = f"{fmean(intact) - lost.mean:.2f} | {lost.mean:.2f} | {lost.low:.2f} to {lost.high:.2f}"
            rows.append(f"| {100 * fraction:g} % | {_NAMES[mitigation]} | {own} |")
        parts += [f"## Stuck at {kind}", "\n".join(rows)]
        for mitigation in MITIGATIONS:
            if any((fraction, mitigation) not in found for fraction in fractions):
                continue
            own = [found[fraction, mitigation] for fraction in fractions]
            ends = [
                tolerance(fractions, values)
                for values in ([d.mean for d in own], [d.high for d in own], [d.low for d in own])
            ]
            middle, low, high = (f"above {100 * fractions[-1]:g} %" if e is None else f"{100 * e:.2g} %" for e in ends)
            tolerances.append(f"| {kind} | {_NAMES[mitigation]} | {middle} | {low} to {high} |")
    parts += ["## What is tolerated", "\n".join(tolerances), _PEERS]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with checkpoints/ and data/")
    parser.add_argument("--runs", type=Path, default=Path("runs/stuck_devices"))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="make docs/stuck_devices.md, measure nothing")
    options = parser.parse_args()
    if options.table:
        PAGE.write_text(page())
        return
    checkpoint = options.shared / "checkpoints" / "resnet20-12fca82f.th"
    if not checkpoint.is_file():
        sys.exit(f"{checkpoint}: no such file; give the folder of checkpoints and data with --shared")
    torch.set_num_threads(options.threads)
    asked = SimulateOptions(
        checkpoint=str(checkpoint),
        model="resnet20",
        data=f"npz:{options.shared / 'data' / 'cifar10_test.npz'}",
        limit=options.images,
    )
    inputs = load_inputs(asked)
    network = (inputs.model, inputs.task, list(inputs.batches(inputs.images, asked, channels_last=True)))
    rows: list[dict[str, Any]] = []
    RESULTS.parent.mkdir(exist_ok=True)
    for case in cases():
        rows += simulate(network, case, options)
        pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    main()
