"""Collect what `analog-samson reproduce` measured into one tidy file.

    python benchmarks/study/collect.py runs/study
    python benchmarks/study/collect.py benchmarks/study/values.csv.gz runs/more --out benchmarks/study/values.csv.gz

A source is an output folder of `reproduce benchmarks/study/study.toml`, or a file that this script wrote. A network in
a later source replaces the same network of an earlier one. Networks that are not finished are left out; a folder whose
networks were trained or measured with other options than those of study.toml is refused.

One row is one measured value:

| column | meaning |
| --- | --- |
| setting, method, seed | which network; `seed` is that of its training and of its simulated chips |
| hyperparameters | what was chosen for the method, for example `rho=0.5 clip=0.2` |
| stage | `final`, `tuning` (a candidate, trained without the held-out images) or `pretraining` |
| condition | `training`, `digital`, a time such as `1y`, `sigma 0.4`, `score` or the file of a sharpness |
| adapted | whether batch-norm statistics were adapted (AdaBS); empty where it does not apply |
| chip | index of the simulated chip; empty where there is none |
| metric, value | for example `accuracy_percent` |
| preset, preset_sha256, data_fingerprint, checkpoint_sha256, environment | what a simulation was made with |
"""

import argparse
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analog_samson.errors import AnalogSamsonError, RunError
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.jobs import CLEAN_FILE, RUN_FILE, TRAINING_FILE, VALUES_FILE, CellJob, is_finished
from analog_samson.experiments.plan import PRETRAINING, Cell, Overrides, plan_candidates, plan_cells
from analog_samson.experiments.results import options_text
from analog_samson.experiments.shown import measures_of
from analog_samson.experiments.sources import Sources
from analog_samson.experiments.tune import SCORE_FILE, choose, chosen_options
from analog_samson.experiments.values import read_values
from analog_samson.results.atomic import write_atomically
from analog_samson.results.parts import load_part
from analog_samson.units import format_duration

HERE = Path(__file__).parent
VALUES = HERE / "values.csv.gz"
NETWORK = ["setting", "stage", "method", "hyperparameters", "seed"]
ORIGIN = ["preset", "preset_sha256", "data_fingerprint", "checkpoint_sha256", "environment"]
COLUMNS = [*NETWORK, "condition", "adapted", "chip", "metric", "value", *ORIGIN]
Row = dict[str, Any]


def collect(sources: list[Path]) -> pd.DataFrame:
    """Read every source; rows of a network are those of the last source that has it."""
    tables = [read_tidy(source) if source.is_file() else read_folder(source) for source in sources]
    networks = [set(table[NETWORK].itertuples(index=False, name=None)) for table in tables]
    kept = []
    for place, table in enumerate(tables):
        later: set[Any] = set().union(*networks[place + 1 :])
        kept.append(table[[row not in later for row in table[NETWORK].itertuples(index=False, name=None)]])
    return pd.concat(kept, ignore_index=True)


def read_tidy(path: Path) -> pd.DataFrame:
    """Read a file that `write_tidy` wrote, its values bit for bit."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != COLUMNS:
        raise RunError(f"{path}: expected the columns {', '.join(COLUMNS)}; write it with collect.py")
    return table.astype({"seed": int, "value": float})


def write_tidy(table: pd.DataFrame, path: Path) -> None:
    """Equal tables give equal bytes."""
    text = table.to_csv(index=False, lineterminator="\n")
    write_atomically(path, gzip.compress(text.encode(), mtime=0))


def read_folder(out: Path) -> pd.DataFrame:
    """Read all finished networks of the study below `out`."""
    experiment = load_experiment(HERE / "study.toml")
    networks = networks_of(experiment)
    scale, tuning = networks.scale("mini"), networks.own.tuning
    assert tuning is not None
    seeds = sorted({int(path.name.removeprefix("seed")) for path in out.glob("*/*/seed*")}) or [0]
    overrides = Overrides(seeds=tuple(seeds))
    candidates = plan_candidates(networks, scale, overrides)
    final = plan_cells(networks, scale, overrides, chosen_options(choose(candidates, out)))

    def job(cell: Cell) -> CellJob:
        return CellJob(
            cell=cell,
            out=out,
            sources=Sources(),
            evaluation=scale.evaluation,
            measures=measures_of(experiment.shows),
            criterion=tuning.criterion if cell.holdout else None,
            instances=cell.setting.instances,
        )

    rows = [row for cell in [*candidates, *final] if is_finished(job(cell)) for row in _network(cell, out)]
    if not rows:
        raise RunError(f"{out}: no finished network of the study; measure some with `analog-samson reproduce`")
    return pd.DataFrame([dict.fromkeys(COLUMNS, "") | row for row in rows]).astype({"value": float})


def _network(cell: Cell, out: Path) -> Iterator[Row]:
    stage = "pretraining" if cell.method == PRETRAINING else "tuning" if cell.holdout else "final"
    network = {
        "setting": cell.setting.name,
        "stage": stage,
        "method": cell.method,
        "hyperparameters": options_text(cell.chosen),
        "seed": cell.seed,
    }
    yield from (network | row for row in _measurements(out / cell.folder))


def _measurements(folder: Path) -> Iterator[Row]:
    """Every value in the folder of one network."""
    for path in sorted(folder.glob("*.json")):
        values = load_part(path)["values"]
        if path.name == RUN_FILE:
            yield from _simulation(folder, values)
            continue
        named = {TRAINING_FILE: "training", CLEAN_FILE: "digital", SCORE_FILE: "score"}
        condition = named.get(path.name, path.stem)
        for metric, value in values.items():
            if metric != "conditions":
                yield {"condition": condition, "metric": metric, "value": value}
        for name, value in values.get("conditions", {}).items():
            yield {"condition": condition, "metric": f"accuracy_percent at {name}", "value": value}


def _simulation(folder: Path, made_with: Row) -> Iterator[Row]:
    environment = "; ".join(f"{name} {version}" for name, version in made_with["environment"].items())
    origin = {name: made_with[name] for name in ORIGIN if name in made_with} | {"environment": environment}
    for record in read_values(folder / VALUES_FILE, folder.name):
        if record.time_seconds is not None:
            condition = format_duration(record.time_seconds)
        else:
            condition = "digital" if record.sigma_c is None else f"sigma {record.sigma_c:g}"
        measured = {"condition": condition, "adapted": str(int(record.adabs)), "chip": str(record.instance)}
        yield measured | {"metric": record.metric, "value": record.value, "preset": record.preset} | origin


def main() -> int:
    parser = argparse.ArgumentParser(description="Collect the measured values of the study into one tidy file.")
    parser.add_argument("sources", nargs="+", type=Path, help="output folders of `reproduce`, or tidy files")
    parser.add_argument("--out", type=Path, default=VALUES, help=f"file to write (default: {VALUES.name} beside this)")
    arguments = parser.parse_args()
    try:
        table = collect(arguments.sources)
    except AnalogSamsonError as error:
        print(error, file=sys.stderr)
        return 1
    write_tidy(table, arguments.out)
    networks = table[NETWORK].drop_duplicates()
    print(f"{arguments.out}: {len(table)} values of {len(networks)} networks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
