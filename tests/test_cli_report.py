"""`analog-samson report`: what goes to stdout, what is written where, and what happens with bad arguments."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from golden_files import GOLDEN
from synthetic_runs import synthetic_records, synthetic_run
from typer.testing import CliRunner

from analog_samson.cli.report import report
from analog_samson.errors import AnalogSamsonError, OptionError, RunError
from analog_samson.report.command import default_page
from analog_samson.report.exports import render_csv

APP = typer.Typer()
APP.command()(report)


def call(*arguments: Any) -> Any:
    """The command's result; errors of the user are raised, as cli/main.py expects them."""
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    if isinstance(result.exception, AnalogSamsonError):
        raise result.exception
    return result


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "runs" / "sgd", "resnet20-sgd")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "runs" / "samson", "resnet20-samson", fall=4.0, digital=91.5)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_report_prints_the_table_and_writes_the_page_into_the_run(run: Path) -> None:
    result = call(run)
    assert result.exit_code == 0
    assert "resnet20-sgd is 80.4 +- 1.5 % after 1 year" in result.stdout.splitlines()[0]
    assert result.stderr == f"wrote {run / 'report.html'} and {run / 'figures'}\n"
    assert {"report.html", "figures/over_time.svg", "figures/gaussian.png"} <= files(run)


def test_report_of_several_runs_goes_to_the_folder_that_holds_them(tmp_path: Path, run: Path, other: Path) -> None:
    result = call(run, other)
    assert result.stdout == (GOLDEN / "report_two.txt").read_text()
    assert {"report.html", "figures/difference_over_time.svg"} <= files(tmp_path / "runs")
    assert "report.html" not in files(run) | files(other)


def test_report_goes_where_it_is_told(tmp_path: Path, run: Path) -> None:
    call(run, "--out", tmp_path / "deep" / "page.html")
    assert {"page.html", "figures/over_time.png"} <= files(tmp_path / "deep")
    assert "report.html" not in files(run)


@pytest.mark.parametrize("arguments", [["--no-html"], ["--format", "csv"], ["--format", "json"], ["--format", "md"]])
def test_report_writes_nothing_when_only_the_text_is_wanted(run: Path, arguments: list[str]) -> None:
    before = files(run)
    result = call(run, *arguments)
    assert result.exit_code == 0
    assert result.stdout
    assert result.stderr == ""
    assert files(run) == before


def test_report_prints_raw_rows_and_nothing_else_when_asked_for_csv(tmp_path: Path, run: Path) -> None:
    rows = render_csv(synthetic_records("resnet20-sgd")).splitlines()
    marks = ["coverage", *("extrapolated" if ",31536000.0," in row else "" for row in rows[1:])]
    expected = "".join(f"{row},{mark}\n" for row, mark in zip(rows, marks, strict=True))
    assert call(run, "--format", "csv").stdout == expected
    assert call(run, "--format", "csv", "--out", tmp_path / "page.html").stdout == expected
    assert (tmp_path / "page.html").exists()


def test_report_refuses_a_name_for_a_page_that_is_not_written(tmp_path: Path, run: Path) -> None:
    with pytest.raises(OptionError, match=r"--out .*page.html names the page that --no-html leaves out"):
        call(run, "--out", tmp_path / "page.html", "--no-html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("name", ["page.txt", "results.sqlite", "page"])
def test_report_refuses_to_write_over_what_is_no_page(run: Path, name: str) -> None:
    before = (run / "results.sqlite").read_bytes()
    with pytest.raises(OptionError, match=r"expected a file name that ends in \.html"):
        call(run, "--out", run / name)
    assert (run / "results.sqlite").read_bytes() == before


def test_report_says_what_was_looked_for_when_it_is_no_run(tmp_path: Path, run: Path) -> None:
    with pytest.raises(RunError, match=r"looked for run\.toml and results"):
        call(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        call(run, tmp_path / "nowhere")
    assert "report.html" not in files(run)


@pytest.mark.parametrize("arguments", [[], ["run", "--format", "xlsx"]])
def test_report_exits_with_2_when_it_is_called_wrongly(arguments: list[str]) -> None:
    assert call(*arguments).exit_code == 2


def test_help_shows_defaults_and_an_example() -> None:
    text = " ".join(call("--help").stdout.split())
    for words in ("RUN...", "text|md|csv|json|tex", "default: text", "--out", "--no-html", "Example: analog-samson"):
        assert words in text


def test_page_of_runs_in_different_folders_lies_above_both(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x", tmp_path / "b" / "y" / "z"]
    assert default_page(paths) == tmp_path.resolve() / "report.html"
    assert default_page(paths[:1]) == tmp_path / "a" / "x" / "report.html"


@pytest.mark.parametrize("format", ["csv", "text"])
def test_report_loads_no_torch_and_csv_no_matplotlib(run: Path, format: str) -> None:
    code = f"""if True:
        import sys
        from pathlib import Path
        from analog_samson.report.command import make_report
        make_report([Path(sys.argv[1])], {format!r}, out=None, html=True, say=lambda text: None)
        print(*sorted({{"torch", "matplotlib", "aihwkit", "pandas"}} & set(sys.modules)))
    """
    found = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ([] if format == "csv" else ["matplotlib", "pandas"])
