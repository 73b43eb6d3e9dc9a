"""The notebooks of the documentation run from top to bottom, without Jupyter, and print what is stored in them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import page_runner
import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 300_000  # bytes
_VOLATILE = re.compile(r"/tmp/|/work/|/home/|0x[0-9a-f]{8}")  # paths of a machine, addresses of objects
# What a notebook of more than some seconds is tested with; the whole of it is a slow test.
SMALLER = {"compare_training": {"SEEDS = (0, 1, 2)": "SEEDS = (0, 1)", "epochs=6": "epochs=1"}}
Run = tuple[dict[str, Any], str, str]  # the cell, what it printed, where it is


def marked(path: Path) -> Any:
    return pytest.param(path, marks=[pytest.mark.slow] if path.stem in SMALLER else [], id=path.stem)


def cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_small_and_was_executed_in_one_go(path):
    found = cells(path)
    assert path.stat().st_size < LARGEST
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    outputs = [out for cell in found for out in cell["outputs"]]
    assert outputs
    assert {out["output_type"] for out in outputs} <= {"stream", "display_data", "execute_result"}
    assert {out["name"] for out in outputs if out["output_type"] == "stream"} <= {"stdout"}, "no warnings"
    assert _VOLATILE.search(json.dumps(outputs)) is None


def run(path: Path, smaller: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the cells in an empty folder, with parts of their code replaced."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plt, "show", plt.close)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path), 1):
        where, code = f"{path.name}, cell {number}", "".join(cell["source"])
        for old, new in smaller.items():
            code = code.replace(old, new)
        if code.startswith("!"):
            yield cell, page_runner.run_console(f"$ {code[1:]}\n", where), where
        else:
            yield cell, page_runner.run_python(code, where, namespace), where


@pytest.mark.parametrize("path", [marked(path) for path in NOTEBOOKS])
def test_notebook_prints_what_is_stored(path, tmp_path, monkeypatch):
    """`slack` in the metadata of a cell says how much its numbers may differ on another machine."""
    with mpl.rc_context({"backend": "agg"}):
        for cell, got, where in run(path, {}, tmp_path, monkeypatch):
            page_runner.check_output(printed(cell), got, cell["metadata"].get("slack", 0.0), where)


@pytest.mark.parametrize("name", SMALLER)
def test_long_notebook_runs_with_less_to_do(name, tmp_path, monkeypatch):
    path = FOLDER / f"{name}.ipynb"
    assert all(part in path.read_text() for part in SMALLER[name])
    with mpl.rc_context({"backend": "agg"}):
        outputs = [bool(got) for _, got, _ in run(path, SMALLER[name], tmp_path, monkeypatch)]
    assert outputs == [bool(printed(cell)) for cell in cells(path)]
