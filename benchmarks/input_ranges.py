"""What do input ranges of converters cost, by the way that they are chosen?

    python benchmarks/input_ranges.py --shared ../shared --images npz:cifar10_train.npz --runs runs/input_ranges

Networks on `pcm_rasch_2023` (8-bit converters, output and read noise, IR drop), after one day and one year. Its source
covers one day: a year is extrapolated. Ranges come from the calibration data: the smallest output error (output_error,
the default, also with rescaled inputs), the largest input (max), the 99.9th percentile of the absolute inputs, and the
preset's multiple of the standard deviation (std).

- resnet32_soup_cifar10 of the zoo and resnet20 (resnet20-12fca82f.th of others) on CIFAR-10's test images, with AdaBS;
  1,000 training images (--images) calibrate.
- the networks of benchmarks/networks.py in their own metrics and on the data that it names; KWT-1 with all layers on
  tiles, and with its first layer digital.

results/input_ranges.csv holds the value of every chip; `python benchmarks/input_ranges.py --table` makes
docs/input_ranges.md from it.

--networks NAME ...   which networks; all without it
--methods METHOD ...  which methods; all without it
--chips N             how many chips
--limit N             how many test images of CIFAR-10; all without it
--parts N             of each batch of CIFAR-10, chip k tests the images i with (i + k) mod N = 0: with 4, ten chips
                      together test every image two or three times
--runs DIR            where the run folders go; the same call again continues them
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from networks import STUDIES, TITLES, Study, mean_and_spread

from analog_samson import load_preset, plan_conversion
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.results.condition import ADABS, DIGITAL, DRIFT, UNCALIBRATED, Condition
from analog_samson.results.metric import stored_metrics, stored_task
from analog_samson.results.store import RunFolder
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.simulation.cells import Cells
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.drift import FEW, first_example
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions
from analog_samson.tasks.batch import few_inputs
from analog_samson.units import format_duration, parse_times

RESULTS = Path(__file__).parent / "results" / "input_ranges.csv"
PAGE = Path(__file__).parent.parent / "docs" / "input_ranges.md"
PRESET, TIMES, SEED = "pcm_rasch_2023", parse_times("1d,1y"), 0
METHODS = ("output_error", "output_error smooth", "max", "percentile:99.9", "std")  # of ranges, and of scaling
CIFAR = {
    "resnet32_soup_cifar10": ("ResNet-32 of the zoo, CIFAR-10, AdaBS", "accuracy, %", 2),
    "resnet20": ("ResNet-20 of others, CIFAR-10, AdaBS", "accuracy, %", 2),
}
NAMES = {**CIFAR, **TITLES}


def cifar(name: str, options: argparse.Namespace) -> Study:
    """A ResNet with CIFAR-10's test images, and training images cropped and flipped as in training."""
    own = {"checkpoint": f"zoo:{name}"}
    if name == "resnet20":
        own = {"checkpoint": str(options.shared / "checkpoints" / "resnet20-12fca82f.th"), "model": "resnet20"}
        own["normalization"] = "imagenet"
    simulate = SimulateOptions(
        **own,
        data=f"npz:{options.shared / 'data' / 'cifar10_test.npz'}",
        preset=PRESET,
        calibrate=("adabs",),
        limit=options.limit,
        calibration_data=options.images,
    )
    inputs = load_inputs(simulate)
    assert inputs.calibration is not None
    test, calibration = (
        list(inputs.batches(images, simulate, channels_last=True)) for images in (inputs.images, inputs.calibration)
    )
    return Study(inputs.model, inputs.task, test, calibration)


def measure(
    name: str, study: Study, method: str, options: argparse.Namespace, keep_digital: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Every chip of one network with ranges chosen in one way, as rows of the results."""
    ranges, _, scaling = method.partition(" ")
    samples = options.limit if name in CIFAR else None
    kept = ",".join(keep_digital) or "none"
    parts = options.parts if name in CIFAR else 1
    given = {"network": name, "ranges": method, "digital_layers": kept, "limit": samples, "parts": parts, "seed": SEED}
    folder = options.runs / "-".join([name, method.replace(" ", "-").replace(":", ""), kept, str(samples), str(parts)])
    calibration = ADABS if name in CIFAR else UNCALIBRATED
    conditions = [Condition(stage=DRIFT, time_seconds=time, calibration=calibration) for time in TIMES]
    with RunFolder.create(folder, given) as run:
        run.set_meta("task", stored_task(study.task.name, study.task.metrics))
        cells = Cells(store=run, data=study.test, task=study.task, checkpoint=name, preset=PRESET)
        cells.keep(*(cells.measure(study.model, 0, one) for one in cells.missing(0, [Condition(stage=DIGITAL)])))
        device = None
        for instance in range(options.chips):
            if missing := cells.missing(instance, conditions):
                device = device or hardware(study, ranges, scaling or "none", keep_digital)
                chip = device.program(SEED, instance)
                cells.data = study.test if parts == 1 else [share(batch, instance, parts) for batch in study.test]
            for condition in missing:
                with chip.at(condition) as network:
                    cells.keep(cells.measure(network, instance, condition))
                print(f"{name}, {method}, {kept} digital: chip {instance}, {condition.time_seconds} s", flush=True)
        headline = stored_metrics(run.meta("task"))[0].name
        for record in run.records():
            if record.metric == headline and record.instance < options.chips:
                yield {
                    "network": name,
                    "digital_layers": kept,
                    "ranges": method,
                    "samples": f"{samples or 'all'}" + (f" / {parts}" if parts > 1 else ""),
                    "calibration": record.calibration,
                    "stage": record.stage,
                    "time_seconds": record.time_seconds,
                    "chip": record.instance,
                    "metric": record.metric,
                    "value": record.value,
                }


def share(batch: Any, chip: int, parts: int) -> Any:
    """The images of a batch that a chip is tested on."""
    first = -chip % parts
    return tuple(part[first::parts] for part in batch)


def hardware(study: Study, method: str, scaling: str, keep_digital: tuple[str, ...]) -> SimulatedDevice:
    """The network on tiles, with input ranges chosen in this way."""
    model, preset, run = study.model, load_preset(PRESET), study.task.run
    plan = plan_conversion(
        model, preset, keep_digital=keep_digital, example=first_example(model, study.test, study.task)
    )
    chosen = choose_input_ranges(
        model, preset, study.calibration, seed=SEED, method=method, scaling=scaling, plan=plan, run=run
    )
    sample = few_inputs(study.test, FEW)
    return SimulatedDevice(model, plan, calibration=study.calibration, input_ranges=chosen, sample=sample, run=run)


def merge(rows: list[dict[str, Any]]) -> None:
    """Put rows into the results; those of the same network, layers and ranges are replaced."""
    new = pd.DataFrame(rows)
    if RESULTS.exists():
        old = pd.read_csv(RESULTS, keep_default_na=False, na_values=[""])
        keys = ["network", "digital_layers", "ranges"]
        replaced = old[keys].apply(tuple, axis=1).isin(set(new[keys].apply(tuple, axis=1)))
        new = pd.concat([old[~replaced], new])
    RESULTS.parent.mkdir(exist_ok=True)
    new.to_csv(RESULTS, index=False, float_format="%.6g", lineterminator="\n")


_INTRODUCTION = """\
Made by `python benchmarks/input_ranges.py --table` from `benchmarks/results/input_ranges.csv`. Each entry is the mean
and the standard deviation over chips of `pcm_rasch_2023`. Its source covers one day: values after one year (†) are
extrapolated. `output_error` is the default of `--input-range`; `smooth` adds `--input-scaling smooth`. With `all / 4`,
each chip reads a quarter of the test images, and ten chips together read each image two or three times. "Digital
layers" are those of `--keep-digital`. The benchmark names networks and data."""


def page() -> str:
    """docs/input_ranges.md, made from the results."""
    frame = pd.read_csv(RESULTS, keep_default_na=False, na_values=[""])
    parts = ["# Input ranges of converters", _INTRODUCTION]
    for name, (title, unit, decimals) in NAMES.items():
        own = frame[frame.network == name]
        if own.empty:
            continue
        digital = own[own.stage == "digital"].value.iloc[0]
        chips = own[(own.stage == "drift") & (own.calibration == ("adabs" if name in CIFAR else "none"))]
        times = [f"{format_duration(time)}{' †' if time > TIMES[0] else ''}" for time in TIMES]
        rows = ["| digital layers | ranges | chips | samples | " + " | ".join(times) + " |"]
        rows.append("| --- | --- | --: | --: |" + " --: |" * len(times))
        for (kept, ranges), group in chips.groupby(["digital_layers", "ranges"], sort=False):
            cells = [mean_and_spread(values, decimals) for _, values in group.groupby("time_seconds").value]
            row = (kept, f"`{ranges}`", str(group.chip.nunique()), str(group.samples.iloc[0]), *cells)
            rows.append("| " + " | ".join(row) + " |")
        parts += [f"## {title}", f"Digital: {digital:.{decimals}f}. {unit[0].upper()}{unit[1:]}.", "\n".join(rows)]
    if absent := [NAMES[name][0] for name in NAMES if name not in set(frame.network)]:
        parts += ["## Not measured yet", "\n".join(f"- {line}" for line in absent)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="with checkpoints/, data/, networks/")
    parser.add_argument("--images", default="npz:cifar10_train.npz", help="training images of CIFAR-10")
    parser.add_argument("--networks", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--chips", type=int, default=10)
    parser.add_argument("--limit", type=int, help="test images of CIFAR-10")
    parser.add_argument("--parts", type=int, default=1, help="of the test images, of which a chip reads one")
    parser.add_argument("--runs", type=Path, default=Path("runs/input_ranges"))
    parser.add_argument("--table", action="store_true", help="make docs/input_ranges.md, measure nothing")
    options = parser.parse_args()
    if options.table:
        PAGE.write_text(page())
        return
    if not options.shared.is_dir():
        sys.exit(f"{options.shared}: no such folder; give the one with checkpoints/, data/ and networks/ as --shared")
    torch.set_num_threads(1)
    keep_freed_memory()
    folder = (options.shared / "networks").resolve()
    sys.path.insert(0, str(folder))
    for name in options.networks:
        if name in CIFAR:
            study = cifar(name, options)
        else:
            import nets

            study = STUDIES[name](folder, nets, 400)
        for kept in ((), ("first",)) if name == "kwt1" else ((),):
            for method in options.methods:
                merge(list(measure(name, study, method, options, kept)))


if __name__ == "__main__":
    main()
