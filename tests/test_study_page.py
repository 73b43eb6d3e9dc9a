"""The page of the study: made from raw values alone, equal to the committed one, true of planted differences."""

import csv
import importlib.util
import json
import math
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from analog_samson.errors import RunError
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.contrasts import contrast
from analog_samson.experiments.findings import judged
from analog_samson.experiments.jobs import (
    CLEAN_FILE,
    RUN_FILE,
    TRAINING_FILE,
    VALUES_FILE,
    CellJob,
    asked_of_run,
    asked_of_score,
    asked_of_sharpness,
    asked_of_training,
)
from analog_samson.experiments.parts import write_part
from analog_samson.experiments.plan import PRETRAINING, Cell, Overrides, plan_candidates, plan_cells
from analog_samson.experiments.sources import Sources
from analog_samson.experiments.tune import SCORE_FILE, choose, chosen_options
from analog_samson.experiments.values import write_values
from analog_samson.results.records import Record
from analog_samson.units import parse_duration

DOCS = Path(__file__).parents[1] / "docs"
RAW = DOCS / "results" / "raw"
STUDY = load_experiment("study")
NETWORKS = networks_of(STUDY)
SCALE = NETWORKS.scale("mini")
TUNED, RECIPE = "resnet20_cifar10_tuned", "resnet20_cifar10_recipe"
WORDS = ("higher", "lower")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# points above SGD, the same in every training and on every chip but for a little noise
PLANTED = {"sam": 1.0, "asam": 2.0, "samson_2": 3.0, "samson_inf": 4.0, "samson_inf_clip": 8.0}
PLANTED |= {"recipe": 9.0, "recipe_no_climb": 8.5, "recipe_no_clip": 7.0, "recipe_no_noise": 6.0}
PLANTED |= {"recipe_no_ema": 8.0, "recipe_no_teacher": 9.5}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_study_page", DOCS / "make_study_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def undrawn(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time, and these tests are about the text."""
    monkeypatch.setattr(script, "svg", lambda *args, **options: b"<svg/>")


def job(cell: Cell, raw: Path) -> CellJob:
    return CellJob(
        cell=cell,
        out=raw,
        sources=Sources(),
        evaluation=SCALE.evaluation,
        measures=STUDY.shows.measures,
        criterion=NETWORKS.own.tuning.criterion if cell.holdout else None,
        instances=cell.setting.instances,
    )


def records(cell: Cell, instances: int, spread: float) -> list[Record]:
    draw = random.Random(f"{cell.setting.name} {cell.seed}")  # every method meets the same luck
    own = random.Random(cell.folder)
    base = {"checkpoint": cell.folder, "preset": SCALE.evaluation.preset, "metric": "accuracy_percent"}
    lift = PLANTED.get(cell.method, 0.0)
    found = []
    for adabs in (False, True):
        places = [("drift", parse_duration(time), None) for time in SCALE.evaluation.times]
        places += [("gaussian", None, sigma) for sigma in SCALE.evaluation.sigmas]
        for stage, time, sigma in places:
            for chip in range(1 if sigma == 0 else instances):
                value = 70 + 5 * adabs + draw.gauss(0, 2) + lift + own.gauss(0, spread)
                at = {"stage": stage, "adabs": adabs, "instance": chip, "time_seconds": time, "sigma_c": sigma}
                found.append(Record(**base, **at, value=value))
    return found


def fill(raw: Path, wanted: Callable[[Cell], bool] = lambda cell: True, spread: float = 0.01) -> None:
    """Made-up parts of all cells that are wanted, as finished runs leave them."""
    candidates = plan_candidates(NETWORKS, SCALE, Overrides())
    for place, cell in enumerate(candidates):
        if wanted(cell):
            one = job(cell, raw)
            write_part(one.folder / TRAINING_FILE, asked_of_training(one), {"seconds": 1.0})
            values = {"score": 50 + place / 10, "conditions": {}}
            write_part(one.folder / SCORE_FILE, asked_of_score(one, one.criterion), values)
    cells = plan_cells(NETWORKS, SCALE, Overrides(), chosen_options(choose(candidates, raw)))
    for cell in cells:
        if cell.method == PRETRAINING or not wanted(cell):
            continue
        one = job(cell, raw)
        if cell.training:
            write_part(one.folder / TRAINING_FILE, asked_of_training(one), {"seconds": 1.0})
        write_part(one.folder / CLEAN_FILE, {"limit": None}, {"top1_percent": 90.0, "top5_percent": 99.0, "count": 9})
        write_values(one.folder / VALUES_FILE, records(cell, one.instances, spread))
        write_part(one.folder / RUN_FILE, asked_of_run(one, one.evaluation), {"values": 1})
        sharpness = {"value": 10.0 - PLANTED.get(cell.method, 0.0)}
        for measure in one.measures:
            write_part(one.folder / measure.file, asked_of_sharpness(one, measure), sharpness)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("raw")
    fill(raw)
    return raw


@pytest.fixture(scope="module")
def files(script: ModuleType, full: Path) -> dict[str, bytes]:
    return script.study_files(script.study_view(full))


def assert_same_numbers(made: str, committed: str, name: str) -> None:
    """Equal text, whose numbers may differ by one unit of the last printed digit: processors round differently."""
    for row, (one, other) in enumerate(zip(made.splitlines(), committed.splitlines(), strict=True), 1):
        assert NUMBER.sub("#", one) == NUMBER.sub("#", other), f"{name}:{row}"
        for got, expected in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            unit = 10.0 ** -max(len(text.partition(".")[2]) for text in (got, expected))
            assert abs(float(got) - float(expected)) <= 1.01 * unit * ("." in got + expected), f"{name}:{row}"


def test_committed_page_is_made_from_the_committed_raw_values(script, undrawn):
    made = script.study_files(script.study_view(RAW))
    committed = {path.name: path for path in (DOCS / "results").iterdir() if path.is_file()}
    assert sorted(made) == sorted(committed), "run: make study-page"
    for name in (name for name in made if not name.endswith(".svg")):
        assert_same_numbers(made[name].decode(), committed[name].read_text(), name)


@pytest.mark.parametrize(("made", "same"), [("r -0.92, n 3", True), ("r -0.91, n 3", False), ("r -0.92, n 4", False)])
def test_numbers_may_differ_in_the_last_digit_only(made, same):
    with nullcontext() if same else pytest.raises(AssertionError, match=r"index.md:1"):
        assert_same_numbers(made, "r -0.93, n 3", "index.md")


def table_rows(page: str, title: str) -> list[list[str]]:
    """The cells of the table that begins with this title, its header first."""
    lines = page.partition(f"**{title}")[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()
    return [line.strip("| ").split(" | ") for place, line in enumerate(lines) if place != 1]


def test_page_of_nothing_says_that_everything_is_missing(script, tmp_path, capsys):
    script.main(tmp_path / "none", tmp_path / "page")
    page = (tmp_path / "page" / "index.md").read_text()
    assert "0 of 152 networks are finished" in page
    assert page.count(": everything") == 5
    assert "missing: ResNet-20 fine-tuned, CIFAR-10: everything" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        *("index.md", "cells.csv", "summary.csv", "differences.csv", "tuning.csv")
    }


def test_page_is_the_same_to_the_byte_each_time(script, full, files):
    assert script.study_files(script.study_view(full)) == files


def test_files_that_the_page_names_are_there_and_figures_are_drawn(files):
    page = files["index.md"].decode()
    for name in files.keys() - {"index.md"}:
        assert f"({name})" in page
    for name, content in files.items():
        if name.endswith(".svg"):
            assert len(ET.fromstring(content).findall(".//{*}path")) > 20
    assert sum(name.endswith(".svg") for name in files) == 19
    assert "What is not finished" not in page


def test_every_value_is_in_the_table_of_cells(files):
    lines = files["cells.csv"].decode().splitlines()
    assert lines[0] == "setting,method,chosen,seed,condition,adabs,instance,accuracy"
    per_chip = len(SCALE.evaluation.times) + sum(sigma > 0 for sigma in SCALE.evaluation.sigmas)
    counts = {"digits_cnn_digits": (52, 10), TUNED: (56, 5), RECIPE: (19, 5)}
    counts |= {"resnet32_cifar10_tuned": (7, 5), "resnet20_cifar10_scratch": (18, 5)}
    for name, (cells, chips) in counts.items():
        assert sum(line.startswith(f"{name},") for line in lines) == cells * (1 + 2 * (per_chip * chips + 1))


def test_planted_order_is_found_and_told(files):
    page = files["index.md"].decode()
    order = "SAMSON p=inf >= SAMSON p=2 >= ASAM >= SAM >= SGD"
    assert f"ResNet-20 fine-tuned, CIFAR-10, 1y with AdaBS: the paper's order {order} is that of the means" in page
    assert "Of its 4 steps: 4 seen (SAMSON p=inf over SAMSON p=2, " in page
    assert "highest is SAMSON p=inf + clipping (8" in page
    assert "of what is perturbed, SAMSON p=inf + clipping (" in page
    assert "5 epochs, 1y with AdaBS: the paper's order SAMSON p=inf >= SAM >= SGD is that of the means" in page
    assert "hyper-parameters as chosen for resnet20_cifar10_tuned" in page


def test_short_answers_are_those_of_the_tables(files):
    rows = list(csv.DictReader(files["differences.csv"].decode().splitlines()))
    unique = {(r["setting"], r["method"], r["minus"], r["condition"]) for r in rows}
    decided = {(r["setting"], r["method"], r["minus"], r["condition"]) for r in rows if r["verdict"] in WORDS}
    short = files["index.md"].decode().partition("## In short\n")[2].partition("\n## ")[0]
    *_, count = [line for line in short.splitlines() if line.startswith("- ")]
    assert count.startswith(f"- Of {len(unique)} differences between methods, {len(decided)} decided over trainings. ")
    told = table_rows(short, "decided over trainings")[1:]
    assert len(told) == len(decided) > 50
    assert [row[0] for row in told] == sorted((row[0] for row in told), key=[s.title for s in NETWORKS.settings].index)
    wanted = ["ResNet-20 fine-tuned, CIFAR-10", "SAM minus SGD, 1y with AdaBS"]
    (row,) = [row for row in told if row[:2] == wanted]
    assert 0.9 < float(row[3].strip("[]").split(",")[0]) <= float(row[2]) < 1.1
    assert row[4:] == ["higher", "3", "8"]


def test_page_begins_with_the_main_methods_beside_each_other(files):
    head, *rows = table_rows(files["index.md"].decode(), "accuracy [%] of the main methods")
    assert head == [
        *("setting", "method", "digital", "sigma 0", "1y with AdaBS (extrapolated)", "sigma 0.4 with AdaBS", "n")
    ]
    columns = (("digital", "false"), ("sigma 0", "false"), ("1y", "true"), ("sigma 0.4", "true"))
    cells = list(csv.DictReader(files["cells.csv"].decode().splitlines()))
    for name, row in zip(STUDY.shows.headline, [r for r in rows if r[0] == NETWORKS.settings[1].title], strict=True):
        for told, at in zip(row[2:6], columns, strict=True):
            here = [c for c in cells if (c["setting"], c["method"], c["condition"], c["adabs"]) == (TUNED, name, *at)]
            by_seed = [[float(c["accuracy"]) for c in here if c["seed"] == str(seed)] for seed in range(3)]
            means = [np.mean(chips) for chips in by_seed if chips] if name != "original" else by_seed[0]
            spread = f" ± {np.std(means, ddof=1):.2f}" if len(means) > 1 else ""
            assert told == f"{np.mean(means):.2f}{spread}"
        assert row[6] == ("untrained, 5 chips of seed 0" if name == "original" else "3 trainings")
    # the setting that leaves ingredients out has none of them but the original; from scratch nothing is untrained
    assert not [row for row in rows if row[0] == "ResNet-20 on CIFAR-10, with each ingredient and without"]
    assert [row[1] for row in rows if "from scratch" in row[0]] == [r[1] for r in rows[1:4]]


def test_main_methods_are_compared_on_the_seeds_that_all_have(undrawn, script, tmp_path):
    kept = {"original": {0}, "sgd": {0, 1}, "samson_inf_clip": {1, 2}}
    fill(
        tmp_path,
        lambda cell: (
            cell.holdout is not None or (cell.setting.name == TUNED and cell.seed in kept.get(cell.method, ()))
        ),
    )
    files = script.study_files(script.study_view(tmp_path))
    _, *rows = table_rows(files["index.md"].decode(), "accuracy [%] of the main methods")
    assert [row[1] for row in rows] == ["original", "SGD", "SAMSON p=inf + clipping"]
    cells = list(csv.DictReader(files["cells.csv"].decode().splitlines()))
    sgd = [c for c in cells if c["method"] == "sgd" and (c["condition"], c["adabs"], c["seed"]) == ("1y", "true", "1")]
    assert rows[1][4].startswith(f"{np.mean([float(c['accuracy']) for c in sgd]):.2f} ")
    alone = ("untrained, 5 chips of seed 0", "one training, 5 chips of seed 1", "one training, 5 chips of seed 1")
    assert [row[6] for row in rows] == [*alone]


def test_tallies_in_short_are_those_of_the_tables(files):
    short = files["index.md"].decode().partition("## In short\n")[2].partition("\n## ")[0]
    order, selection, *_ = [line for line in short.splitlines() if line.startswith("- ")]
    steps = 2 * 2 * 4 + 2 * 2  # from scratch without ASAM and SAMSON p=2
    counts = f"{steps} steps, {steps} seen, 0 reversed, 0 not decided."
    assert order.endswith(f"SAM >= SGD: of {counts}")
    assert "SAMSON p=inf + clipping stands for `weights_only`, the default, which it stays, for no other" in selection
    assert selection.endswith("Of 8 differences between it and the others, 8 seen, 0 reversed, 0 not decided.")


def test_rank_correlations_of_sharpness_are_counted_and_told(full, script, files):
    """A slow twin: which of Spearman's coefficients leave out 0 by an interval that holds for all of them at once."""
    view = script.study_view(full)
    conditions = judged(view.experiment.shows)
    page = files["index.md"].decode()
    for condition in conditions:
        found = []
        for setting in view.settings:
            rows = view.rows(setting)
            common = set.intersection(*({r.cell.seed for r in rs} for _, rs in rows if rs[0].cell.training))
            for measure in view.experiment.shows.measures:
                points = []
                for method, results in rows:
                    kept = [r for r in results if r.cell.seed in common or not r.cell.training]
                    x = np.mean([r.sharpness[measure.file] for r in kept])
                    points.append((method.family, x, np.mean([np.mean(condition.pick(r)) for r in kept])))
                for kind in ("plain", "clipping", "noise", "all"):
                    chosen = np.array([point[1:] for point in points if kind in (point[0], "all")])
                    if len(chosen) > 3:
                        name = f"{measure.title} over {kind}, {setting.title}"
                        found.append((name, stats.spearmanr(*chosen.T).statistic, len(chosen)))
        lower, higher = [], []
        for name, rho, n in found:
            step = 12 / (n * (n * n - 1))
            shrunk = math.copysign(max(abs(rho) - step / 2, 0), rho)
            reach = stats.norm.ppf(1 - 0.05 / len(found) / 2) * math.sqrt((1 + rho * rho / 2) / (n - 3))
            if abs(math.atanh(shrunk)) > reach:
                (lower if rho < 0 else higher).append((f"{name}: {rho:.2f} [", f"], {n} methods"))
        line = next(one for one in page.splitlines() if f"tell the accuracy, {condition.title}? Of" in one)
        assert len(found) > 25
        assert f"Of {len(found)} rank correlations (" in line
        assert f"{len(lower)} certain that sharper is worse" in line
        assert f"{len(higher)} certain that sharper is better, " in line
        assert all(first in line and last in line for first, last in lower)
        assert lower


def test_coefficient_of_a_kind_stands_beside_that_of_all_methods(undrawn, script, tmp_path, monkeypatch):
    clipped = [method.name for method in NETWORKS.methods if method.family == "clipping"]
    for place, name in enumerate(clipped):
        monkeypatch.setitem(PLANTED, name, 1.0 + place)
    fill(tmp_path, lambda cell: cell.holdout is not None or (cell.setting.name == TUNED and cell.seed == 0))
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    where = r"SAM, rho 0\.05 over clipping, ResNet-20 fine-tuned, CIFAR-10"
    told = rf"{where}: -1\.00 \[-1\.00, -0\.\d\d\], 10 methods, over all 18 -0\.\d\d[;)]"
    assert len(re.findall(told, page)) == 2


def test_measures_that_some_networks_lack_are_told_of_the_others(undrawn, script, tmp_path):
    fill(tmp_path, lambda cell: cell.holdout is not None or (cell.setting.name == TUNED and cell.seed == 0))
    _, second, *_ = STUDY.shows.measures
    for path in tmp_path.glob(f"{TUNED}/s*_clip*/seed0/{second.file}"):
        path.unlink()
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    counts = {line.split(" | ")[0]: line.split(" | ")[-1] for line in page.splitlines() if " | all | " in line}
    assert set(counts) == {f"| {measure.title}" for measure in STUDY.shows.measures}
    first = f"| {STUDY.shows.measures[0].title}"
    assert counts[first] == "18 |"
    assert counts[f"| {second.title}"] == "8 |"


def test_default_that_is_beaten_is_said_to_be(undrawn, script, tmp_path, monkeypatch):
    monkeypatch.setitem(PLANTED, "samson_inf_clip_paper", 12.0)
    fill(tmp_path, lambda cell: cell.holdout is not None or cell.setting.name == TUNED)
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    assert "`weights_only`, the default, which it stays, although another scored better (SAMSON p=inf + clip" in page
    assert "Of 4 differences between it and the others, 2 seen, 2 reversed, 0 not decided." in page


def test_every_ingredient_is_left_out_once_and_nothing_else_is_asked_of_that_setting(files):
    title = "ResNet-20 on CIFAR-10, with each ingredient and without"
    page = files["index.md"].decode()
    table = page.partition(f"**{title}: each ingredient, by leaving it out (95 %, 10 intervals of a kind at once)**")[2]
    rows = [line.split(" | ")[:2] for line in table.splitlines()[4:9]]
    planted = {"SAMSON": 0.5, "clipping": 2.0, "noise": 3.0, "the EMA": 1.0, "the teacher": -0.5}
    assert [row[0] for row in rows] == [f"| all ingredients minus all but {what}, 1y with AdaBS" for what in planted]
    assert [float(row[1]) for row in rows] == pytest.approx(list(planted.values()), abs=0.02)
    sentence = next(line for line in page.splitlines() if f"{title}, 1y with AdaBS: with all" in line)
    assert "with all ingredients or one fewer, all but the teacher (8" in sentence
    assert re.search(r"all ingredients minus all but noise: \+(2\.9|3\.0)", sentence)
    section = page.partition(f"## {title}")[2].partition("\n## ")[0]
    assert "paper's order" not in section
    assert "against the baseline" not in section


def test_accuracy_stands_beside_the_gradients_and_the_time_that_a_training_takes(files, script):
    measured = json.loads(script.STEP_TIMES.read_text())["cases"]
    times = {row["method"]: row["median_ratio"] for row in next(c for c in measured if c["setting"] == TUNED)["rows"]}
    page = files["index.md"].decode()
    table = page.partition("ResNet-20 fine-tuned, CIFAR-10: accuracy [%] over the price of the training**")[2]
    assert "| method | gradients a step | time of a step | digital |" in table
    rows = [line.split(" | ")[:3] for line in table.splitlines()[4:9]]
    assert rows == [
        ["| SGD + clipping", "1", "1.00"],
        ["| SAMSON p=inf + clipping, every 4th, half", "1.125", f"{times['samson_inf_clip_every4_half']:.2f}"],
        ["| SAMSON p=inf + clipping, every 4th", "1.25", f"{times['samson_inf_clip_every4']:.2f}"],
        ["| SAMSON p=inf + clipping, half batch", "1.5", f"{times['samson_inf_clip_half']:.2f}"],
        ["| SAMSON p=inf + clipping", "2", f"{times['samson_inf_clip']:.2f}"],
    ]


def test_price_without_a_measured_time_is_told_in_gradients(undrawn, script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "_step_times", dict)
    fill(tmp_path, lambda cell: cell.holdout is not None or cell.setting.name == TUNED)
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    assert "| method | gradients a step | digital |" in page
    assert "time of a step |" not in page


def test_spread_that_hides_the_differences_leaves_them_undecided(undrawn, script, tmp_path):
    fill(tmp_path, spread=20.0)
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    assert "not decided with 3 trainings" in page
    assert "4 seen" not in page


def test_no_interval_reaches_beyond_what_a_difference_can_be(undrawn, script, tmp_path):
    fill(tmp_path, lambda cell: cell.holdout is not None or (cell.setting.name == TUNED and cell.seed < 2), spread=5.0)
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    ends = [float(end) for ends in re.findall(r"\| \[(-?[\d.]+), (-?[\d.]+)\] \| 2 \|", page) for end in ends]
    assert max(map(abs, ends)) == 100.0


def test_partial_raw_values_give_a_page_that_names_what_is_missing(undrawn, script, tmp_path):
    fill(tmp_path, lambda cell: cell.holdout is not None or (cell.setting.name == TUNED and cell.seed == 0))
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    assert "- small CNN fine-tuned, digits: everything\n" in page
    assert "- ResNet-20 fine-tuned, CIFAR-10: SGD (1, 2), SAM (1, 2)" in page
    assert "one training: not decided; these networks: higher" in page
    assert "Of its 4 steps: 4 not decided with one training (the chips of these networks alone: higher in 4)." in page
    assert "score [%] of each candidate" in page


def test_means_in_sentences_are_of_the_seeds_that_all_methods_have(undrawn, script, tmp_path):
    late = ("samson_inf", "samson_inf_clip")
    fill(
        tmp_path,
        lambda cell: (
            cell.holdout is not None
            or (cell.setting.name == TUNED and (cell.seed == 0 or (cell.seed == 1 and cell.method not in late)))
        ),
    )
    page = script.study_files(script.study_view(tmp_path))["index.md"].decode()
    assert "of 18 methods, seeds 0." in page


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_page_is_made_whatever_is_finished(undrawn, script, tmp_path, share):
    draw = random.Random(str(share))
    fill(tmp_path, lambda cell: cell.holdout is not None or draw.random() < share)
    assert script.study_files(script.study_view(tmp_path))["index.md"]


def test_raw_values_of_another_study_are_refused(script, tmp_path):
    fill(tmp_path, lambda cell: cell.setting.name == TUNED and cell.method == "sgd")
    part = tmp_path / TUNED / "sgd" / "seed0" / TRAINING_FILE
    part.write_text(part.read_text().replace('"epochs": 2', '"epochs": 7'))
    with pytest.raises(RunError, match="epochs: the run there has 7, this one 2"):
        script.study_view(tmp_path)


def test_old_figures_are_taken_away(undrawn, script, full, tmp_path):
    page = tmp_path / "page"
    script.main(full, page)
    (page / "old.svg").write_text("")
    script.main(tmp_path / "none", page)
    assert not list(page.glob("*.svg"))


def test_what_the_study_tells_of_itself_is_what_it_asks_for():
    """Its open points are prose: their numbers are held here against the experiment, or against what was chosen."""
    told, own = " ".join(STUDY.source.open_points.split()), STUDY.networks
    tuned = next(setting for setting in NETWORKS.settings if setting.name == TUNED)
    sizes = {math.prod(map(len, method.grid.values())) for method in NETWORKS.methods if method.grid}
    assert sizes == {3, 4}
    assert "has three candidates, or four where it has two hyper-parameters or clips" in told
    seen = round(tuned.chosen.sample * (1 - own.tuning.holdout))
    final = f"the final trainings have two over {tuned.train_images:,}"
    held = f"CIFAR-10: {tuned.chosen.images:,}, after one epoch over {seen:,} images; {final}"
    assert (tuned.chosen.epochs, tuned.training.epochs) == (1, 2)
    assert held in told
    criterion = own.tuning.criterion
    assert (len(criterion.times), len(criterion.sigmas), criterion.adabs) == (2, 3, True)
    assert (
        f"over two times on PCM and three sigma_c, with AdaBS, on {['no', 'one', 'two'][criterion.instances]} chips"
        in told
    )
    assert (own.tuning.seed, tuned.instances) == (0, 5)
    assert "the two chips are among the five of seed 0" in told
    assert f"the first {SCALE.evaluation.test_limit:,} test images" in told
    assert tuned.more_seeds == {"sgd_clip": 5, "samson_inf_clip": 5}
    assert "were given a fourth and a fifth training after their first three" in told
    widest = max(max(method.grid["clip"]) for method in NETWORKS.methods if "clip" in method.grid)
    chosen = [path.name for name in (TUNED, "resnet32_cifar10_tuned") for path in (RAW / name).glob("*_clip*clip*")]
    assert chosen
    assert all(name.endswith(f"_clip{widest}") for name in chosen)
    assert "the clips chosen on both ResNets are the widest that were tried" in told
    scratch = next(setting for setting in NETWORKS.settings if setting.name == "resnet20_cifar10_scratch")
    assert len(scratch.methods) < len(SCALE.methods)
    assert "From scratch, with fewer methods, the choices of the fine-tuning hold" in told


def test_what_ran_on_a_gpu_is_what_the_study_tells():
    told = " ".join(STUDY.source.open_points.split())
    assert "Everything from scratch, and of ResNet-20 the second and third trainings with ingredients, of ASAM" in told
    on_cpu = {"original", "sgd", "sam", "samson_inf", "sgd_clip", "sam_clip", "samson_inf_clip", "sgd_noise"}
    choices = chosen_options(choose(plan_candidates(NETWORKS, SCALE, Overrides()), RAW))
    for cell in plan_cells(NETWORKS, SCALE, Overrides(), choices):
        path = RAW / cell.folder / RUN_FILE
        if cell.setting.name.startswith("resnet") and path.is_file():
            torch = json.loads(path.read_text())["values"]["environment"]["torch"]
            later = cell.setting.name in (TUNED, RECIPE) and cell.method not in on_cpu and cell.seed in (1, 2)
            scratch = cell.setting.name == "resnet20_cifar10_scratch"
            assert torch == ("2.11.0" if later or scratch else "2.10.0"), cell.folder


def test_differences_are_those_of_paired_values_with_bonferroni_intervals(script, tmp_path):
    """A slow twin: t intervals by hand, over the means of three trainings and over their fifteen chips."""
    fill(tmp_path, lambda cell: cell.setting.name == TUNED and cell.method in ("sgd", "original"), spread=1.0)
    fill(tmp_path, lambda cell: cell.setting.name == TUNED and cell.method == "sam", spread=1.0)
    view = script.study_view(tmp_path)
    (setting,) = view.settings
    found = {method.name: results for method, results in view.rows(setting)}
    pairs = [("sam", "sgd"), ("sam", "original"), ("sam", "asam")]
    every = contrast(view, found, pairs, judged(view.experiment.shows))
    assert len(every) == 4  # ASAM is not there
    one = every[0]
    pick = one.condition.pick
    chips = np.array([pick(r) for r in found["sam"]]) - np.array([pick(r) for r in found["sgd"]])
    assert chips.shape == (3, 5)
    for values, difference in ((chips.mean(axis=1), one.trainings), (chips.ravel(), one.chips)):
        reach = stats.t.ppf(1 - 0.05 / 4 / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
        assert difference.mean == pytest.approx(values.mean())
        assert difference.low == pytest.approx(values.mean() - reach)
        assert difference.high == pytest.approx(values.mean() + reach)
        assert difference.n == len(values)
    untrained = every[1]
    assert (untrained.trainings.n, untrained.chips.n, untrained.trainings.seen) == (1, 5, None)
