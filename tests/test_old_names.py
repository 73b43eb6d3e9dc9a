"""Names of version 0.1: keywords, options and run folders under them work for one release."""

import re
import sqlite3
from pathlib import Path

import pytest
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import synthetic_run
from torch import nn

from analog_samson import plan_conversion
from analog_samson.analysis.runs import read_runs
from analog_samson.cli.main import main
from analog_samson.presets.search import load_preset
from analog_samson.results.store import open_run
from analog_samson.simulation.stored_options import read_config

NET = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def test_keyword_under_its_old_name_warns_and_works():
    with pytest.warns(DeprecationWarning, match=r"plan_conversion: `exclude` is now called `keep_digital`"):
        plan = plan_conversion(NET, load_preset("ideal"), exclude=["0"])  # type: ignore[call-arg]
    assert plan == plan_conversion(NET, load_preset("ideal"), keep_digital=["0"])
    with pytest.raises(TypeError, match="keep_digital"):
        plan_conversion(NET, load_preset("ideal"), exclude=["0"], keep_digital=["0"])  # type: ignore[call-arg]


def test_option_under_its_old_name_works_and_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for name in ("--exclude", "--keep-digital"):
        assert main(["convert", "--model", "resnet20", name, "linear"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "kept digital by the user" in said[0]
    for command in ("simulate", "compare", "convert"):
        assert main([command, "--help"]) == 0
        assert not re.search(r"--ex(clude|plain)", capsys.readouterr().out)


def test_run_that_stored_old_names_is_read_under_the_new_ones(tmp_path: Path) -> None:
    options = {"checkpoint": "a", "data": "digits", "preset": "ideal", "times": [1.0], "exclude": ["head"]}
    run = synthetic_run(tmp_path / "run", options=options)
    assert "exclude = " in (run / "run.toml").read_text()
    with open_run(run) as folder:
        assert folder.options["keep_digital"] == ["head"]
        assert "exclude" not in folder.options


def test_config_of_0_1_is_repeated_under_the_new_names(tmp_path: Path) -> None:
    config = tmp_path / "old.toml"
    lines = ['checkpoint = "a"', 'data = "digits"', 'preset = "ideal"', "times = [1.0]"]
    lines += ['exclude = ["head"]', "adabs = true"]
    config.write_text("\n".join(["# analog-samson run", *lines]))
    options = read_config(config)
    assert (options.keep_digital, options.calibrate) == (("head",), ("adabs",))


def test_error_budget_of_0_1_is_read(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run")
    synthetic_error_budget(run)
    with open_run(run) as folder:
        (new,) = read_runs([folder])
    (run / "error_budget").rename(run / "explain")
    with sqlite3.connect(run / "explain" / "results.sqlite") as connection:
        connection.execute("UPDATE meta SET key = 'explain' WHERE key = 'error_budget'")
    connection.close()
    with open_run(run) as folder:
        (old,) = read_runs([folder])
    assert new.error_budget is not None
    assert old.error_budget == new.error_budget
