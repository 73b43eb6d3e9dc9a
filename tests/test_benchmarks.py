"""Benchmarks: the README shows what the result files hold, and the scripts run."""

import json
import re
import runpy
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import synthetic_records, synthetic_run

from analog_samson.data import open_data

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # as for a script of that folder
table = runpy.run_path(str(BENCHMARKS / "table.py"))


def test_tables_of_pages_are_those_of_the_results():
    pages = {path: path.read_text(encoding="utf-8") for path in table["PAGES"]}
    for path, text in pages.items():
        assert table["filled"](text, BENCHMARKS / "results") == text, f"{path}: run python benchmarks/table.py"
    assert all(f"<!-- {name} -->" in pages[BENCHMARKS / "README.md"] for name in table["RENDERERS"])
    assert all(any(f"<!-- {name} -->" in text for text in pages.values()) for name in table["SUMMARIES"])


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


@pytest.mark.compiled_tile
def test_hardware_aware_step_measures_every_step_beside_the_digital_one(monkeypatch, tmp_path):
    out = tmp_path / "results" / "step.json"
    arguments = ["--network", "digits_cnn", "--batch", "4", "--pixels", "8", "--rounds", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["hardware_aware_step.py", *arguments])
    runpy.run_path(str(BENCHMARKS / "hardware_aware_step.py"), run_name="__main__")
    first, *others = json.loads(out.read_text())["rows"]
    assert (first["step"], first["median_ratio"]) == ("digital", 1.0)
    assert {"converters", "aihwkit: converters"} < {row["step"] for row in others}
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in [first, *others])


@pytest.fixture
def zoo_script(monkeypatch, tmp_path):
    """Runs zoo_on_hardware.py on a few made-up images, with one chip; returns (exit code, rows)."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    for name, part in (("test", slice(12)), ("train", slice(12, 24))):
        np.savez(tmp_path / f"{name}.npz", images=pixels[part], labels=np.arange(24)[part] % 10)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = runpy.run_path(str(BENCHMARKS / "zoo_on_hardware.py"))
    out = tmp_path / "results" / "zoo_on_hardware.json"

    def run(*options):
        data = [f"--{name}=npz:{tmp_path / name}.npz" for name in ("test", "train")]
        small = ["--chips", "1", "--images", "8", "--runs", str(tmp_path / "runs"), "--out", str(out)]
        code = script["main"]([*data, *small, *options])
        return code, json.loads(out.read_text())["rows"] if out.is_file() else []

    return run


def test_zoo_on_hardware_measures_continues_and_keeps_other_rows(zoo_script, tmp_path, capsys):
    one = ("--networks", "resnet20_cifar10", "--presets")
    code, rows = zoo_script(*one, "pcm_nandakumar_2019")
    assert code == 0
    assert [(row["time_seconds"], row["extrapolated"]) for row in rows] == [(86400.0, False), (31536000.0, True)]
    assert {(row["images"], row["digital"]["images"], row["converters"]) for row in rows} == {(8, 12, False)}
    assert all(len(chips) == 1 for row in rows for chips in row["accuracy_percent"].values())
    assert "| resnet20_cifar10 |" in capsys.readouterr().out
    code, both = zoo_script(*one, "pcm_rasch_2023")
    assert code == 0
    assert both[:2] == rows
    assert [row["input_range"] for row in both[2:]] == ["output_error"] * 2
    run = tmp_path / "runs" / "resnet20_cifar10" / "pcm_rasch_2023-1chips-8images"
    stored = (run / "results.sqlite").read_bytes()
    assert zoo_script(*one, "pcm_rasch_2023") == (0, both)
    assert zoo_script("--only-added", "--add", str(run)) == (0, both)
    assert (run / "results.sqlite").read_bytes() == stored, "a finished run is not measured again"
    with sqlite3.connect(run / "results.sqlite") as database:
        database.execute("DELETE FROM record WHERE time_seconds > 1e6")
    database.close()
    capsys.readouterr()
    assert zoo_script("--only-added", "--add", str(run)) == (1, both)
    assert "not finished: 1 instances asked, 1y has none" in capsys.readouterr().err


def test_zoo_on_hardware_refuses_runs_of_other_weights(zoo_script, tmp_path, capsys):
    records = [record for record in synthetic_records(instances=2) if record.stage in ("digital", "drift")]
    other = synthetic_run(tmp_path / "other", records=records)
    assert zoo_script("--only-added", "--add", str(other)) == (1, [])
    assert "other: expected a run of a zoo network, got other weights" in capsys.readouterr().err


def test_summary_of_unequal_measurements_is_refused(tmp_path):
    result = json.loads((BENCHMARKS / "results" / "zoo_on_hardware.json").read_text())
    assert "converters, AdaBS" in table["rendered"]("zoo_after_a_year", BENCHMARKS / "results")
    result["rows"][1]["images"] = 10
    (tmp_path / "zoo_on_hardware.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match="measure both presets alike"):
        table["rendered"]("zoo_after_a_year", tmp_path)


@pytest.mark.parametrize("name", ["networks", "stuck_devices"])
def test_page_of_a_benchmark_is_that_of_its_results(name):
    """Up to one unit of the last digit, which the order of a sum can change."""
    made = runpy.run_path(str(BENCHMARKS / f"{name}.py"))["page"]()
    shown = (BENCHMARKS.parent / "docs" / f"{name}.md").read_text(encoding="utf-8")
    number = re.compile(r"\d+\.\d+")
    assert number.sub("x", made) == number.sub("x", shown), f"run python benchmarks/{name}.py --table"
    pairs = zip(number.findall(made), number.findall(shown), strict=True)
    assert [(a, b) for a, b in pairs if abs(float(a) - float(b)) > 1.01 * 10.0 ** -len(b.partition(".")[2])] == []


def test_page_of_input_ranges_is_made_of_its_results(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "networks", raising=False)
    made = runpy.run_path(str(BENCHMARKS / "input_ranges.py"))["page"]()
    monkeypatch.delitem(sys.modules, "networks")
    shown = (BENCHMARKS.parent / "docs" / "input_ranges.md").read_text(encoding="utf-8")
    number = re.compile(r"-?\d+\.\d+")
    assert number.sub("x", made) == number.sub("x", shown), "run python benchmarks/input_ranges.py --table"


def test_tolerance_to_stuck_devices_is_where_a_point_is_lost_first():
    tolerance = runpy.run_path(str(BENCHMARKS / "stuck_devices.py"))["tolerance"]
    assert tolerance([0.01, 0.02], [2.0, 5.0]) == pytest.approx(0.005)
    assert tolerance([0.01, 0.02], [0.5, 2.5]) == pytest.approx(0.0125)
    assert tolerance([0.01, 0.02], [-0.5, 0.9]) is None


def test_streaming_memory_makes_images_that_simulate_can_read(tmp_path):
    script = runpy.run_path(str(BENCHMARKS / "streaming_memory.py"))
    size = script["write_images"](tmp_path / "data" / "val", 3, first=0)
    assert 100_000 < size < 120_000
    script["write_array"](tmp_path / "arrays", "test", 2)
    for spec, count in ((f"imagenet:{tmp_path / 'data'}", 3), (f"npz:{tmp_path / 'arrays'}", 2)):
        found = open_data(spec, "test")
        assert found.images.shape == (count, 3, 224, 224)
        assert script["Tiny"]()(found.images.float()).shape == (count, script["CLASSES"])
