"""What a command prints when it ends: the answer, one table and the page; every table; or the answer alone."""

from pathlib import Path

import pytest
from synthetic_runs import synthetic_run

from analog_samson.cli.ending import print_report
from analog_samson.cli.progress import cell_progress
from analog_samson.errors import OptionError
from analog_samson.report.options import PrintOptions
from analog_samson.report.stress import stress_text


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        synthetic_run(tmp_path / "sgd", "resnet20-sgd"),
        synthetic_run(tmp_path / "samson", "resnet20-samson", fall=4.0, digital=91.5),
    ]


def printed(
    runs: list[Path], capsys: pytest.CaptureFixture[str], told: PrintOptions, *, html: bool = False
) -> list[str]:
    print_report(runs, told, out=None, html=html)
    return capsys.readouterr().out.splitlines()


def test_run_when_finished_prints_answer_one_table_and_page(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(runs, capsys, PrintOptions(), html=True)
    assert "resnet20-samson" in lines[0]
    assert sum("----" in line for line in lines) == 1, "one table"
    assert f"analog-samson report {runs[0]} {runs[1]}" in lines[-2]
    assert str(runs[0].parent / "report.html") in lines[-1]
    assert len(lines) < 20


def test_run_when_quiet_prints_the_answer_alone(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(runs, capsys, PrintOptions(quiet=True))
    assert line == printed(runs, capsys, PrintOptions())[0]


def test_run_when_verbose_prints_every_table(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(printed(runs, capsys, PrintOptions(verbose=True)))
    assert "Time until accuracy is worse than a threshold" in text
    assert text.count("----\n") > 5


def test_quiet_and_verbose_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="--quiet and --verbose"):
        PrintOptions(quiet=True, verbose=True)


def test_progress_when_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with cell_progress(3, quiet=True) as step:
        step("chip 0")
    assert capsys.readouterr().err == ""


def test_stress_compares_the_last_network_at_the_largest_sigma(runs: list[Path]) -> None:
    text = stress_text(runs)
    assert "At sigma_c 0.5" in text
    assert "resnet20-samson minus resnet20-sgd" in text
    assert "95 % interval" in text
