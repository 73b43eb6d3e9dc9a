"""Benchmarks: the README shows what the result files hold, and the scripts run."""

import json
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
table = runpy.run_path(str(BENCHMARKS / "table.py"))


def test_readme_tables_are_those_of_the_results():
    text = (BENCHMARKS / "README.md").read_text()
    assert table["filled"](text, BENCHMARKS / "results") == text
    assert all(f"<!-- {name} -->" in text for name in table["RENDERERS"])


def test_every_result_has_a_renderer():
    for path in (BENCHMARKS / "results").glob("*.json"):
        assert json.loads(path.read_text())["benchmark"] in table["RENDERERS"], path


def test_changed_result_changes_the_table(tmp_path):
    result = json.loads((BENCHMARKS / "results" / "optimizer_step.json").read_text())
    result["cases"][0]["rows"][1]["ratio"] = 7.125
    (tmp_path / "optimizer_step.json").write_text(json.dumps(result))
    assert "| 7.125 |" in table["rendered"]("optimizer_step", tmp_path)


def test_table_without_a_result_says_how_to_make_one(tmp_path):
    assert "`python benchmarks/simulate_speed.py` makes one" in table["rendered"]("simulate_speed", tmp_path)


@pytest.fixture
def step_script(monkeypatch, tmp_path):
    """Runs optimizer_step.py on tiny cases into a file of its own; returns the result."""

    def run(*cases):
        out = tmp_path / "results" / "step.json"
        arguments = ["--cases", *cases, "--rounds", "2", "--out", str(out), "--peers", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["optimizer_step.py", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        runpy.run_path(str(BENCHMARKS / "optimizer_step.py"), run_name="__main__")
        return json.loads(out.read_text())

    return run


def test_optimizer_step_measures_every_contender_beside_the_reference(step_script, capsys):
    (case,) = step_script("resnet20:8:2")["cases"]
    names = [row["contender"] for row in case["rows"]]
    assert names[:5] == ["two passes + SGD", "SAMSON", "SAMSON, all tensors", "ASAM", "SAM"]
    assert case["rows"][0]["ratio"] == 1.0
    assert all(len(row["raw"]["whole"]) == 2 and min(row["raw"]["whole"]) > 0 for row in case["rows"])
    if len(names) == 5:
        assert "left out: pytorch_optimizer" in capsys.readouterr().err


def test_optimizer_step_keeps_the_cases_measured_before(step_script):
    step_script("resnet20:8:2")
    found = step_script("resnet20:8:3")["cases"]
    assert [case["case"] for case in found] == ["resnet20:8:2", "resnet20:8:3"]


def test_skipped_wrapper_says_why(step_script, capsys):
    step_script("resnet20:8:2")
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("left out: ")
        assert line.endswith("give its folder with --peers")


def test_training_step_measures_the_priced_methods_beside_sgd(monkeypatch, tmp_path):
    out = tmp_path / "results" / "step.json"
    arguments = ["--settings", "digits_cnn_digits", "--rounds", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["training_step.py", *arguments])
    runpy.run_path(str(BENCHMARKS / "training_step.py"), run_name="__main__")
    (case,) = json.loads(out.read_text())["cases"]
    assert (case["network"], case["batch"]) == ("digits_cnn", 64)
    assert [row["gradients"] for row in case["rows"]] == [1, 1.125, 1.25, 1.5, 2]
    assert case["rows"][0]["median_ratio"] == 1.0
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in case["rows"])
