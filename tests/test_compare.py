"""`analog-samson compare` and what it is made of, on tiny networks; results and comparisons in a notebook."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from matplotlib.figure import Figure
from small import SMALL, small_classifier
from torch import nn
from typer.testing import CliRunner

from analog_samson.cli.compare import compare
from analog_samson.cli.convert import convert
from analog_samson.cli.helping import HelpfulCommand
from analog_samson.cli.shared import resolve_preset
from analog_samson.cli.simulate import simulate
from analog_samson.cli.sweep import sweep
from analog_samson.errors import AnalogSamsonError, OptionError, PresetError, RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets.search import load_preset
from analog_samson.results.store import open_run
from analog_samson.simulation.comparison import (
    Comparison,
    compare_runs,
    run_comparison,
)
from analog_samson.simulation.drift import simulate_drift
from analog_samson.simulation.jobs import count_evaluations, plan_jobs
from analog_samson.simulation.many_options import CompareOptions
from analog_samson.simulation.result import SimulationResult

PRESETS = ("pcm_nandakumar_2019", "gaussian_joshi_2020")


def call(command: Callable[..., None], *arguments: Any) -> Any:
    """A command's result; errors of the user are raised, as cli/main.py expects them."""
    app = typer.Typer()
    app.command(cls=HelpfulCommand)(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two checkpoints of one architecture and test data that suits the first."""
    monkeypatch.chdir(tmp_path)
    model, pixels, labels = small_classifier(120)
    np.savez("data.npz", images=pixels, labels=labels)
    save_checkpoint(Path("good.safetensors"), model, SMALL)
    with torch.no_grad():
        model.head.weight += 0.3 * torch.randn(model.head.weight.shape, generator=torch.Generator().manual_seed(0))
    save_checkpoint(Path("bad.safetensors"), model, SMALL)
    return tmp_path


ARGUMENTS = [
    *("--checkpoint", "good.safetensors", "--checkpoint", "bad.safetensors", "--data", "npz:data.npz"),
    *("--model", SMALL["model"], "--times", "1s,1y", "--instances", "3", "--threads", "1", "--out", "cmp"),
]
ON_BOTH = [word for preset in PRESETS for word in ("--preset", preset)]


def test_compare_simulates_every_cell_and_writes_one_page(here: Path) -> None:
    result = call(compare, *ARGUMENTS, *ON_BOTH, "--verbose")
    assert result.stderr.splitlines()[0] == "4 simulations, 24 evaluations; what is stored already is not repeated"
    assert re.match(r"After 1 year, (good|no network) is significantly better than every other", result.stdout)
    assert "Differences at the last time, points, same instances" in result.stdout
    for label in ("good", "bad"):
        for preset in PRESETS:
            assert (here / "cmp" / label / preset / "results.sqlite").is_file()
    page = (here / "cmp" / "report.html").read_text()
    for picture in ("over_time", "differences", "ranks", "frontier", "yield"):
        assert f'<figure id="figure-{picture}">' in page
        assert (here / "cmp" / "figures" / f"{picture}.svg").is_file()


def test_compare_when_stopped_goes_on_and_ends_with_the_same_records(here: Path) -> None:
    options = CompareOptions(
        checkpoint=("good.safetensors", "bad.safetensors"),
        model=(SMALL["model"],),
        preset=PRESETS,
        data="npz:data.npz",
        times=(1.0, 31536000.0),
        instances=3,
        threads=1,
    )
    jobs = plan_jobs(options, here / "stopped")
    left = iter(range(10))

    def progress(text: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_comparison(jobs, progress=progress)
    stopped = run_comparison(jobs)
    whole = run_comparison(plan_jobs(options, here / "whole"))
    assert [run.records for run in stopped.runs] == [run.records for run in whole.runs]
    assert count_evaluations(jobs) == 4 * 3 * 2
    with pytest.raises(RunError, match="limit"):
        run_comparison(plan_jobs(options.replace(limit=7), here / "whole"))


def test_compare_takes_existing_runs_and_refuses_other_data(here: Path) -> None:
    call(compare, *ARGUMENTS, "--no-html")
    runs = [f"cmp/{label}/{PRESETS[0]}" for label in ("good", "bad")]
    result = call(compare, *runs, "--out", "again", "--format", "csv")
    assert result.stdout.startswith("run,checkpoint,preset,stage,")
    table = call(compare, *runs, "--out", "again", "--format", "csv", "--table", "differences", "--no-html").stdout
    assert table.startswith("preset,network,minus,")
    assert len(table.splitlines()) == 2
    assert (here / "again" / "report.html").is_file()
    short = [word.replace("cmp", "short") for word in ARGUMENTS]
    call(compare, *short, "--limit", "50", "--seed", "1", "--no-html")
    with pytest.raises(RunError, match="these runs cannot be compared: 2 problems") as caught:
        call(compare, runs[0], f"short/bad/{PRESETS[0]}", "--out", "third")
    assert "data differs: " in str(caught.value)
    assert "the first 50 samples" in str(caught.value)
    assert "seed differs: 0 and 1" in str(caught.value)
    assert not (here / "third").exists()


WRONG = {
    "no checkpoint": (["--data", "npz:data.npz"], "--checkpoint: missing (Checkpoint: FILE"),
    "no data": (["--checkpoint", "good.safetensors"], "--data: missing"),
    "nothing to compare": (
        ["--checkpoint", "good.safetensors", "--data", "npz:data.npz"],
        "nothing to compare: give two checkpoints or two presets",
    ),
    "missing file": ([*ARGUMENTS, "--checkpoint", "none.pt"], "none: no file none.pt"),
    "labels": ([*ARGUMENTS, "--label", "one"], "label: 1 names for 2 checkpoints"),
    "models": ([*ARGUMENTS, *["--model", "a"] * 2], "model: 3 names for 2 checkpoints"),
    "preset twice": ([*ARGUMENTS, *ON_BOTH, *ON_BOTH], "preset 'gaussian_joshi_2020': named twice"),
    "label twice": ([*ARGUMENTS, "--label", "x", "--label", "x"], "both are called x"),
    "runs and checkpoints": (["some/run", *ARGUMENTS], "exclude each other"),
    "one run": (["some/run"], "give two run folders or more"),
    "threshold": ([*ARGUMENTS, "--threshold", "101"], "expected a value of accuracy, 0 to 100 %"),
    "preset unknown": ([*ARGUMENTS, "--preset", "pcm"], "no such preset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_compare_when_wrong_says_so_and_leaves_nothing(case: str, here: Path) -> None:
    arguments, said = WRONG[case]
    with pytest.raises(AnalogSamsonError) as caught:
        call(compare, *arguments)
    assert said in str(caught.value)
    assert not (here / "cmp").exists()


def test_compare_help_shows_an_example_and_defaults(here: Path) -> None:
    text = " ".join(call(compare, "--help").stdout.split())
    for words in ("--checkpoint FILE", "--preset PRESET", "pcm_nandakumar_2019]", "Example:", "refused"):
        assert words in text


@pytest.mark.filterwarnings("ignore::analog_samson.CoverageWarning")  # the head, kept digital, is most of the network
def test_simulate_with_an_error_budget_says_the_cost_before(here: Path) -> None:
    arguments = ["--checkpoint", "good.safetensors", "--data", "npz:data.npz", "--times", "1s,1h", "--sigmas", "none"]
    arguments += ["--model", SMALL["model"], "--instances", "2", "--threads", "1", "--out", "run", "--threshold", "90"]
    result = call(simulate, *arguments, "--error-budget", "--error-budget-limit", "60", "--verbose")
    assert re.search(r"^error budget: \d+ evaluations of 60 images \(2 chips at 1h\)", result.stderr, re.MULTILINE)
    for words in ("Error budget at 1h", "Layer sensitivity: one layer alone", "Mitigations at 1h", "Threshold 90.0 %"):
        assert words in result.stdout
    page = (here / "run" / "report.html").read_text()
    for section in ("error_budget", "layer_sensitivity", "mitigations", "margins", "lifetime", "yield"):
        assert f'<section id="{section}">' in page
    again = call(simulate, *arguments, "--error-budget", "--error-budget-limit", "60", "--verbose")
    assert "of them stored already" in again.stderr
    assert again.stdout == result.stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [("--error-budget-time", "1h"), ("--error-budget-instances", "10"), ("--error-budget-limit", "1000")],
)
def test_simulate_refuses_options_of_an_error_budget_that_is_not_asked_for(here: Path, option: str, value: str) -> None:
    arguments = ["--checkpoint", "good.safetensors", "--data", "npz:data.npz", "--out", "run"]
    with pytest.raises(OptionError, match=f"{option}: has no effect without --error-budget"):
        call(simulate, *arguments, option, value)
    assert not (here / "run").exists()


def test_compare_with_sigmas_fills_the_equivalent_sigma_c_and_without_has_none(here: Path) -> None:
    plain = call(compare, *ARGUMENTS, "--no-html", "--format", "csv", "--table", "overview").stdout
    assert {row["equivalent_sigma_c"] for row in csv.DictReader(io.StringIO(plain))} == {""}
    swept = [word.replace("cmp", "swept") for word in ARGUMENTS]
    arguments = [*swept, "--sigmas", "0,0.3,2", "--no-html", "--format", "csv"]
    rows = list(csv.DictReader(io.StringIO(call(compare, *arguments, "--table", "overview").stdout)))
    assert all(row["equivalent_sigma_c"] for row in rows if row["stage"] == "drift")
    assert len(call(compare, *arguments, "--table", "gaussian").stdout.splitlines()) == 1 + 2 * 3
    with pytest.raises(OptionError, match="run folders and --sigmas exclude each other"):
        call(compare, "swept/good", "swept/bad", "--sigmas", "0,1")


@pytest.mark.filterwarnings("ignore::analog_samson.CoverageWarning")  # the head, kept digital, is most of the network
def test_compare_names_options_that_differ(here: Path) -> None:
    call(compare, *ARGUMENTS, "--no-html")
    other = [word.replace("cmp", "other") for word in ARGUMENTS]
    call(compare, *other, "--keep-digital", "head", "--no-html")
    said = call(compare, f"cmp/good/{PRESETS[0]}", f"other/bad/{PRESETS[0]}", "--no-html", "--out", "third").stdout
    assert re.search(r"^keep_digital differs: nothing \(.*good.*\), head \(.*bad.*\)$", said, re.MULTILINE)


@pytest.fixture
def mine(here: Path) -> Path:
    """A folder with one preset of the user's."""
    (here / "mine").mkdir()
    text = (Path(__file__).parents[1] / "hw_presets" / "ideal.toml").read_text()
    (here / "mine" / "own.toml").write_text(text.replace('name = "ideal"', 'name = "own"'))
    return here / "mine"


def test_presets_of_a_folder_are_found_by_name_in_every_command_that_takes_one(mine: Path, here: Path) -> None:
    found = ["--preset", "own", "--preset-dir", "mine"]
    one = ["--data", "npz:data.npz", "--times", "1s", "--instances", "2", "--threads", "1", "--model", SMALL["model"]]
    call(simulate, "--checkpoint", "good.safetensors", *one, "--sigmas", "none", *found, "--out", "run", "--no-html")
    assert "own" in call(convert, "--checkpoint", "good.safetensors", "--model", SMALL["model"], *found).stdout
    call(compare, *ARGUMENTS, *found, "--preset", PRESETS[0], "--no-html")
    assert (here / "cmp" / "good" / "own" / "results.sqlite").is_file()
    call(sweep, "good.safetensors", *one, *found, "--out", "swept", "--no-html")
    assert (here / "swept" / "good" / "own" / "seed0" / "results.sqlite").is_file()
    again = call(simulate, "--config", "run/run.toml", "--model", SMALL["model"], "--out", "again", "--no-html")
    assert re.search(r"accuracy of good is .* on .*\(own\)\.", again.stdout)
    with pytest.raises(PresetError, match="no such preset"):
        call(simulate, "--checkpoint", "good.safetensors", *one, "--preset", "owm", "--preset-dir", "mine")


def test_names_that_a_folder_does_not_add_stay_names(mine: Path) -> None:
    assert resolve_preset(PRESETS[0], [mine]) == PRESETS[0]
    assert resolve_preset("own", [mine]) == str(mine / "own.toml")
    assert resolve_preset(str(mine / "own.toml"), [mine]) == str(mine / "own.toml")
    assert resolve_preset("nothing is looked up", []) == "nothing is looked up"


# In a notebook


@pytest.fixture(scope="module")
def results() -> dict[str, SimulationResult]:
    """Two small networks on the same chips."""
    torch.manual_seed(0)
    x = torch.randn(80, 6)
    found = {}
    for name in ("one", "two"):
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
        data = [(x, model(x).argmax(1))]
        preset = load_preset("pcm_nandakumar_2019")
        found[name] = simulate_drift(model, preset, data, times=[1.0, 31536000.0], instances=3, seed=0, label=name)
    return found


def test_result_shows_itself_in_a_notebook_with_marks(results: dict[str, SimulationResult]) -> None:
    html = results["one"]._repr_html_()
    assert re.search(r"accuracy of .* is [\d.]+ ± [\d.]+ % after 1 year <span", html)
    assert '<th scope="row">1y<sup>†</sup></th>' in html
    assert "<svg" in html
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|url\((?!#)", html)
    assert results["one"]._repr_html_() == html
    ids = re.findall(r'\bid="([^"]+)"', html + results["two"]._repr_html_())
    assert len(ids) == len(set(ids)), "two results live in one notebook"
    assert isinstance(results["one"].plot(), Figure)
    assert "extrapolated" in [text.get_text() for text in results["one"].plot().axes[0].texts]


def test_comparison_of_results_is_tidy_and_shows_itself(results: dict[str, SimulationResult]) -> None:
    found = Comparison.of(results)
    frame = found.frame()
    assert len(frame) == 2 * (1 + 3 * 2), "one row a cell"
    assert set(frame.coverage[frame.time_seconds == 31536000.0]) == {"extrapolated"}
    assert set(frame.coverage[frame.time_seconds != 31536000.0]) == {""}
    assert not frame.duplicated(["checkpoint", "preset", "stage", "calibration", "instance", "time_seconds"]).any()
    assert {"accuracy_percent", "loss", "weight_error"} <= set(frame.columns)
    assert list(frame.columns) == list(results["one"].frame().columns)
    differences = found.differences()
    assert differences[["network", "minus", "n"]].to_numpy().tolist() == [["two", "one", 3]]
    last = frame[frame.time_seconds == 31536000.0].pivot(index="instance", columns="checkpoint")
    expected = (last["accuracy_percent"]["two"] - last["accuracy_percent"]["one"]).mean()
    assert differences["mean"].item() == pytest.approx(expected)
    assert isinstance(found.plot(), Figure)
    html = found._repr_html_()
    assert "after 1 year (extrapolated)" in str(found)
    assert str(found).replace("(extrapolated)", "extrapolated") in re.sub("<[^>]+>", "", html)
    assert "Differences at the last time" in html
    assert isinstance(frame, pd.DataFrame)


def test_comparison_of_results_with_different_seeds_is_refused(results: dict[str, SimulationResult]) -> None:
    other = SimulationResult(results["two"].records, results["two"].preset, seed=1)
    with pytest.raises(RunError, match="two and one: seed differs: 0 and 1"):
        Comparison.of({"one": results["one"], "two": other})


def test_comparison_of_runs_holds_what_the_runs_hold(here: Path) -> None:
    call(compare, *ARGUMENTS, *ON_BOTH, "--no-html")
    folders = sorted((here / "cmp").glob("*/*"))
    found = compare_runs(folders)
    total = 0
    for folder in folders:
        with open_run(folder) as run:
            total += sum(record.metric == "accuracy_percent" for record in run.records())
    assert len(found.frame()) == total
    assert set(found.differences().preset) == set(PRESETS)


def test_comparison_plot_of_a_single_moment_is_refused(results: dict[str, SimulationResult]) -> None:
    short = {
        name: SimulationResult(
            tuple(r for r in result.records if r.time_seconds in (None, 1.0)), result.preset, result.seed
        )
        for name, result in results.items()
    }
    with pytest.raises(OptionError, match="two moments or more"):
        Comparison.of(short).plot()
