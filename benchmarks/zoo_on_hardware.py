"""What do the networks of the zoo keep on phase-change memory, with converters and without?

    python benchmarks/zoo_on_hardware.py --test npz:cifar10_test.npz --train npz:cifar10_train.npz --runs runs/zoo

Every network of the zoo on two presets after one day and one year, with and without AdaBS: `pcm_nandakumar_2019`,
whose products are exact, and `pcm_rasch_2023`, with converters, output noise and IR drop and with the default choice of
input ranges. The sources of both cover one day: a year is extrapolated. AdaBS recomputes the batch-norm statistics of
each chip on the first 1,000 training images. Chips are tested on the first IMAGES test images, the digital network on
all of them.

results/zoo_on_hardware.json: one CPU thread (AVX-512 and AVX2), torch 2.10.0; chips and images stand in each row. It
holds the accuracy of every chip and the command that repeats a run. A row measured or added here replaces that of the
same network and preset; the others stay, so networks can be measured one at a time.

--networks NAME ...   which networks; all without it
--presets NAME ...    which presets; both without it
--chips N, --images N how many chips, and on how many test images (0: all)
--runs DIR            where the run folders go; the same call again continues them
--add RUN ...         finished runs of zoo networks that are entered as well
--only-added          measure nothing
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from command_lines import simulation_command
from table import rendered

from analog_samson.analysis.completeness import missing
from analog_samson.analysis.runs import Run, read_runs
from analog_samson.analysis.summary import Result
from analog_samson.data import open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import Normalization
from analog_samson.errors import AnalogSamsonError, RunError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.models.zoo.search import list_cards, zoo_names
from analog_samson.presets.validity import EXTRAPOLATED
from analog_samson.results.store import open_run
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.tasks.evaluation import evaluate
from analog_samson.units import parse_times

BENCHMARK = "zoo_on_hardware"
RESULTS = Path(__file__).parent / "results"
PRESETS = ("pcm_nandakumar_2019", "pcm_rasch_2023")
TIMES = parse_times("1d,1y")


def measure(options: argparse.Namespace, name: str, preset: str) -> Path:
    """Simulate, or finish, one network on one preset; the folder of the run."""
    images = options.images or None
    folder: Path = options.runs / name / f"{preset}-{options.chips}chips-{images or 'all'}images"
    simulation = SimulateOptions(
        checkpoint=f"zoo:{name}",
        data=options.test,
        calibration_data=options.train,
        preset=preset,
        times=TIMES,
        sigmas=(),
        instances=options.chips,
        limit=images,
        calibrate=("adabs",),
        threads=options.threads,
    )
    run_simulation(
        simulation, folder, progress=lambda text: print(f"{name} on {preset}: {text}", file=sys.stderr)
    ).close()
    return folder


def digital_accuracy(name: str, test: str, known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy [%] of the digital network on all test images; a stored one of the same weights and images is kept."""
    checkpoint, images = load_checkpoint(f"zoo:{name}"), open_data(test, "test")
    contents = {"sha256": checkpoint.sha256, "fingerprint": images.fingerprint, "images": len(images)}
    for row in known:
        if row["network"] == name and contents.items() <= row["digital"].items():
            return dict(row["digital"])
    normalization = Normalization.from_metadata(checkpoint.metadata["normalization"])
    batches = Batches(images, normalization, batch_size=250, device="cpu", channels_last=True)
    return contents | {"percent": evaluate(restore_model(checkpoint).eval(), batches).accuracy_percent}


def rows_of(run: Run, digital: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a time, of a finished run with AdaBS: the accuracies of its chips without and with it."""
    name = zoo_name(run)
    found = {result.calibration: result for result in run.results}
    lacking = missing(run)
    if lacking or set(found) != {"none", "adabs"} or found["none"].digital is None:
        raise RunError(f"{run.name}: expected a finished run with AdaBS; {lacking or 'simulate it with that option'}")
    own, adapted = found["none"], found["adabs"]
    for seconds in TIMES:
        yield {
            "network": name,
            "preset": own.preset,
            "converters": run.meta["preset"]["periphery"]["model"] == "converters",
            "time_seconds": seconds,
            "extrapolated": own.validity.coverage(seconds) == EXTRAPOLATED,
            "digital": digital,
            "images": run.meta["data"]["count"],
            "digital_percent_on_these_images": own.digital.value.mean,
            "calibration_images": run.options["calibration_limit"],
            "input_range": run.options.get("input_range"),
            "accuracy_percent": {"own": chips_at(own, seconds), "adabs": chips_at(adapted, seconds)},
            "versions": {key: run.meta["environment"][key] for key in ("analog-samson", "torch", "aihwkit")},
            "command": simulation_command(name, run),
        }


def chips_at(result: Result, seconds: float) -> list[float]:
    """The accuracy [%] of every chip at a time, in the order of the chips."""
    state = next((state for state in result.times if state.time_seconds == seconds), None)
    if state is None:
        raise RunError(f"{result.checkpoint} on {result.preset}: nothing at {seconds:g} s; finish the run first")
    return [state.values[chip] for chip in sorted(state.values)]


def zoo_name(run: Run) -> str:
    """The zoo network that a run is of, by its weights."""
    sha256 = run.meta["checkpoint"]["sha256"]
    found = [card.name for card in list_cards() if card.network.sha256 == sha256]
    if not found:
        raise RunError(f"{run.name}: expected a run of a zoo network, got other weights")
    return found[0]


def collect(options: argparse.Namespace, folders: Sequence[Path]) -> dict[str, Any]:
    """The stored result with the rows of these runs in the place of older ones."""
    path: Path = options.out
    stored = json.loads(path.read_text())["rows"] if path.is_file() else []
    opened = [open_run(folder) for folder in folders]
    try:
        runs = [run for folder in opened for run in read_runs([folder])]
    finally:
        for folder in opened:
            folder.close()
    new = [row for run in runs for row in rows_of(run, digital_accuracy(zoo_name(run), options.test, stored))]
    replaced = {(row["network"], row["preset"]) for row in new}
    rows = [row for row in stored if (row["network"], row["preset"]) not in replaced] + new
    rows.sort(key=lambda row: (row["network"], row["preset"], row["time_seconds"]))
    return {"benchmark": BENCHMARK, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--networks", nargs="+", choices=zoo_names(), default=zoo_names())
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--chips", type=int, default=3)
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs") / BENCHMARK)
    parser.add_argument("--add", nargs="+", type=Path, default=[])
    parser.add_argument("--only-added", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{BENCHMARK}.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    wanted = [] if options.only_added else [(name, preset) for name in options.networks for preset in options.presets]
    try:
        folders = [measure(options, name, preset) for name, preset in wanted]
        report = collect(options, [*folders, *options.add])
    except AnalogSamsonError as error:
        print(error, file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(rendered(BENCHMARK, options.out.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
