"""Write the page, tables and figures of the study from its raw values, whatever of them is finished.

Command: make study-page, or python docs/make_study_page.py [RAW [PAGE]] for other folders. Nothing is measured here,
and equal raw values give equal bytes. Raw values come from `analog-samson reproduce study --out docs/results/raw ...`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analog_samson.experiments.catalogue import Networks, load_experiment, networks_of
from analog_samson.experiments.conclusion import conclusions
from analog_samson.experiments.conditions import digital, noisy
from analog_samson.experiments.figures import result_figures
from analog_samson.experiments.findings import COLUMNS
from analog_samson.experiments.jobs import CellJob, is_finished
from analog_samson.experiments.plan import (
    PRETRAINING,
    Cell,
    Overrides,
    count_planned,
    pairs,
    plan_candidates,
    plan_cells,
    planned_seeds,
)
from analog_samson.experiments.results import CellResult, pool, read_results
from analog_samson.experiments.schema import Experiment, Scale
from analog_samson.experiments.shown import StudyTable, measures_of
from analog_samson.experiments.sources import Sources
from analog_samson.experiments.tables import setting_blocks, tuning_grids
from analog_samson.experiments.tune import Choice, choose, chosen_options
from analog_samson.experiments.view import View, options_text
from analog_samson.report.drawing import WIDE, svg
from analog_samson.report.grid import Block, Data, Grid, data_csv, join_data, render_markdown
from analog_samson.results.atomic import write_atomically

RESULTS = Path(__file__).parent / "results"
STEP_TIMES = Path(__file__).parents[1] / "benchmarks" / "results" / "training_step.json"
SCALE = "mini"
_CAPTIONS = {
    "sigma": "Accuracy over sigma_c{adabs}: mean and standard deviation over trainings, or over chips of a single one. "
    "Methods of more trainings are on more chips.",
    "time": "Accuracy {time} after programming{adabs}, and digital accuracy (dashes). Methods of more trainings are on "
    "more chips.",
    "price": "Accuracy {time} after programming{adabs}, over the price of a training step, on common seeds.",
    "sharpness": "Sharpness on training images against accuracy {time} after programming{adabs}; a point a training.",
}


def study_view(raw: Path) -> View:
    """What is finished of the study below `raw`; RunError where other things lie there than the study asks for."""
    experiment = load_experiment("study")
    networks = networks_of(experiment)
    scale = networks.scale(SCALE)
    candidates = plan_candidates(networks, scale, Overrides())
    for cell in candidates:
        is_finished(_job(experiment, networks, scale, cell, raw))
    choices = choose(candidates, raw)
    cells = plan_cells(networks, scale, Overrides(), chosen_options(choices))
    shown = [cell for cell in cells if cell.method != PRETRAINING]
    done = [cell for cell in shown if is_finished(_job(experiment, networks, scale, cell, raw))]
    return View(
        experiment=experiment,
        networks=networks,
        scale_name=SCALE,
        scale=scale,
        overrides=Overrides(),
        planned=count_planned(networks, scale, Overrides()),
        results=read_results(done, raw, measures_of(experiment.shows), with_noise=True),
        choices=choices,
        step_times=_step_times(),
    )


def study_files(view: View) -> dict[str, bytes]:
    """Every file of the page by name; index.md is the page itself."""
    figures = {f"{name}.svg": svg(drawing, WIDE, text=False) for name, drawing in result_figures(view).items()}
    tables = {
        "cells.csv": data_csv(_cells(view)),
        "summary.csv": data_csv(_summary(view)),
        "differences.csv": data_csv(_differences(view)),
        "tuning.csv": data_csv(_tuning(view)),
    }
    page = render_markdown(list(_page(view, list(figures), list(tables))))
    return {"index.md": page.encode(), **{name: text.encode() for name, text in tables.items()}, **figures}


def missing_lines(view: View) -> list[str]:
    """A line for every setting that is not finished: which methods, and which of their seeds."""
    done = {(r.cell.setting.name, r.cell.method, r.cell.seed) for r in view.results}
    lacking: dict[str, list[str]] = {}
    for setting, method in pairs(view.networks, view.scale):
        seeds = planned_seeds(setting, method, view.scale, view.overrides)
        gone = [str(seed) for seed in seeds if (setting.name, method.name, seed) not in done]
        if gone:
            lacking.setdefault(setting.title, []).append(f"{method.title} ({', '.join(gone)})")
    started = {setting.title for setting in view.settings}
    return [
        f"{title}: {', '.join(methods)}" if title in started else f"{title}: everything"
        for title, methods in lacking.items()
    ]


def _job(experiment: Experiment, networks: Networks, scale: Scale, cell: Cell, raw: Path) -> CellJob:
    tuning = networks.own.tuning
    return CellJob(
        cell=cell,
        out=raw,
        sources=Sources(),
        evaluation=scale.evaluation,
        measures=measures_of(experiment.shows),
        criterion=tuning.criterion if tuning is not None and cell.holdout else None,
        instances=cell.setting.instances,
    )


def _step_times() -> dict[str, dict[str, float]]:
    """What a step of the priced methods takes, as benchmarks/training_step.py measured it: by setting and method."""
    cases = json.loads(STEP_TIMES.read_text())["cases"]
    return {case["setting"]: {row["method"]: row["median_ratio"] for row in case["rows"]} for case in cases}


def _page(view: View, figures: list[str], tables: list[str]) -> Iterator[Block]:
    yield "# Results of the study"
    yield (
        f"{view.experiment.title}: {len(view.results)} of {view.planned} networks are finished. Every number, figure "
        "and sentence here is made by `make study-page` from the values in `docs/results/raw`, which "
        "`analog-samson reproduce study` measured. Intervals are 95 %. A difference is decided where its interval over "
        "trainings, together with all others of its table, leaves out 0. The interval over chips is about the trained "
        "networks themselves, whatever another training would give. Both are for these test images: other images are "
        "no part of them."
    )
    yield (
        "A chip is one simulated programming of a network, from a random stream of its own; chip i of seed s is the "
        "same for every method. ± is the standard deviation over trainings, or over the chips of a single network. "
        "sigma: every weight times N(1, sigma²). AdaBS recomputes the batch-norm statistics of each chip on the first "
        "1,000 training images (Joshi et al. 2020)."
    )
    yield f"As CSV: {', '.join(f'[{name}]({name})' for name in tables)}."
    shows = view.experiment.shows
    assert isinstance(shows, StudyTable)
    said = conclusions(view, shows)
    if said:
        yield "## In short"
        yield from (block if isinstance(block, Grid) else f"- {block}" for block in said)
    for setting in view.settings:
        yield f"## {setting.title}"
        blocks = setting_blocks(view, setting)
        yield "\n".join(f"- {block}" for block in blocks if isinstance(block, str))
        yield from _pictures(view, setting.name, figures)
        yield from (block for block in blocks if isinstance(block, Grid))
    yield "## How it was done"
    yield from view.notes()
    yield "The time of a step is a median, told over that of the first method: `python benchmarks/training_step.py`."
    yield from tuning_grids(view)
    missing = missing_lines(view)
    if missing:
        yield "## What is not finished"
        yield "Methods, with the seeds of the trainings that are missing in brackets:"
        yield "\n".join(f"- {line}" for line in missing)


def _pictures(view: View, setting: str, figures: list[str]) -> Iterator[str]:
    shows = view.experiment.shows
    assert isinstance(shows, StudyTable)
    words = {"time": shows.time, "adabs": " with AdaBS" if shows.adabs else ""}
    for kind, caption in _CAPTIONS.items():
        name = f"{setting}_{kind}.svg"
        if name in figures:
            yield f"![{caption.format(**words)}]({name})"
            yield caption.format(**words)


def _conditions(view: View) -> Iterator[Any]:
    assert view.scale.evaluation is not None
    yield digital()
    for adabs in (False, True):
        yield from noisy(view.scale.evaluation, adabs)


def _cells(view: View) -> Data:
    """One row a value: every chip of every training under every condition."""
    columns = ("setting", "method", "chosen", "seed", "condition", "adabs", "instance", "accuracy")
    rows = (
        (*_name(result), result.cell.seed, one.name, one.adabs, chip, accuracy)
        for result in view.results
        for one in _conditions(view)
        for chip, accuracy in enumerate(one.pick(result))
    )
    return Data(columns=columns, rows=tuple(rows))


def _name(result: CellResult) -> tuple[str, str, str]:
    return result.cell.setting.name, result.cell.method, options_text(result.cell.chosen)


def _summary(view: View) -> Data:
    """Mean and spread of every method: over its trainings, or over the chips of a single one."""
    columns = ("setting", "method", "chosen", "condition", "adabs", "trainings", "chips", "mean", "std")
    rows = []
    for setting in view.settings:
        for _, results in view.rows(setting):
            for one in _conditions(view):
                values = [one.pick(result) for result in results]
                found = pool(values)
                std = None if found.std is None else round(found.std, 4)
                counts = (len(values), max(map(len, values)))
                rows.append((*_name(results[0]), one.name, one.adabs, *counts, round(found.mean, 4), std))
    return Data(columns=columns, rows=tuple(rows))


def _differences(view: View) -> Data:
    blocks = [block for setting in view.settings for block in setting_blocks(view, setting)]
    found = [block.data for block in blocks if isinstance(block, Grid) and block.data is not None]
    return join_data([Data(columns=COLUMNS, rows=()), *found])


def _tuning(view: View) -> Data:
    columns = ("setting", "method", "candidate", "score", "chosen")
    rows = [
        (choice.setting, choice.method, options_text(options), round(score, 4), _same(options, choice))
        for choice in view.choices
        for options, score in choice.candidates
    ]
    return Data(columns=columns, rows=tuple(rows))


def _same(options: Mapping[str, Any], choice: Choice) -> bool:
    return dict(options) == dict(choice.chosen)


def main(raw: Path = RESULTS / "raw", out: Path = RESULTS) -> None:
    view = study_view(raw)
    files = study_files(view)
    out.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for pattern in ("*.svg", "*.csv") for path in out.glob(pattern)} - files.keys():
        (out / stale).unlink()
    for name, content in files.items():
        write_atomically(out / name, content)
    print(f"wrote {out / 'index.md'}: {len(view.results)} of {view.planned} networks are finished")
    for line in missing_lines(view):
        print(f"  missing: {line}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
