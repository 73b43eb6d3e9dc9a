"""The documentation runs: every block of code, every example, every table made from the code."""

import importlib.util
import inspect
import pkgutil
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import page_runner
import pytest
import torch

import analog_samson
from analog_samson.chip.calibration import CALIBRATIONS
from analog_samson.chip.device.models import PROGRAMMING
from analog_samson.crossbar import uses  # noqa: F401  (fills the next two tables)
from analog_samson.crossbar.registry import RULES
from analog_samson.crossbar.use import BODIES, READINGS
from analog_samson.models.build import MODELS
from analog_samson.presets.noise_models import forget_section
from analog_samson.report.section import SECTIONS
from analog_samson.sharpness.methods import METHODS
from analog_samson.tasks.catalogue import REGISTERED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
PUBLIC = [name for name in analog_samson.__all__ if name != "__version__"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what code there enters in tables, imports or draws is taken back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    tables = (MODELS, RULES, READINGS, BODIES, METHODS, SECTIONS, CALIBRATIONS, REGISTERED)
    noise = dict(PROGRAMMING)
    kept, modules = [dict(table) for table in tables], set(sys.modules)
    with torch.random.fork_rng(devices=[]):
        yield tmp_path
    for table, content in zip(tables, kept, strict=True):
        table.clear()
        table.update(content)
    for kind in set(PROGRAMMING) - set(noise):
        forget_section("programming", kind)
        PROGRAMMING.pop(kind)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runnable(page: Path) -> Any:
    """The page; one that runs engine aihwkit, or aihwkit itself, needs its compiled tile."""
    code = "".join(block.text for block in page_runner.blocks(page.read_text(encoding="utf-8")))
    compiled = '"aihwkit"' in code or "from aihwkit" in code
    return pytest.param(page, marks=[pytest.mark.compiled_tile] if compiled else [], id=page.name)


@pytest.mark.parametrize("page", [runnable(page) for page in PAGES])
def test_blocks_of_page_run(page: Path, elsewhere: Path) -> None:
    page_runner.run_page(page)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example_runs_and_says_something(script: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text()
    listed = re.search(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    assert listed is not None
    names = {line for line in listed[1].splitlines() if line and not line.startswith(":")}
    found = [page for form in ("*.md", "*/*.md", "notebooks/*.ipynb") for page in DOCS.glob(form)]
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in found}
    assert names == pages - {"index"}


def test_every_example_is_named_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [script.name for script in EXAMPLES if f"docs/examples/{script.name}" not in text] == []


def test_tests_named_on_pages_exist() -> None:
    """Where a page says which test shows something, that test is there."""
    text = "".join(page.read_text() for page in PAGES)
    files = set(re.findall(r"tests/(test_\w+\.py)", text))
    assert files - {path.name for path in (ROOT / "tests").glob("test_*.py")} == set()
    defined = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", text))
    assert [name for name in sorted(names) if f"def {name}(" not in defined] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_tables_of_page_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = load(DOCS / "make_tables.py").with_tables(text)
    assert made == text, "run: python docs/make_tables.py"


def test_every_table_stands_on_a_page() -> None:
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    names = load(DOCS / "make_tables.py").TABLES
    assert [name for name in names if f"<!-- table: {name} -->" not in text] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_explained_with_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(analog_samson, name)) or ""
    assert len(text.splitlines()[0]) > 10
    assert ">>>" in text, f"{name}: its docstring has no example"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^\.\. auto(class|function):: analog_samson\.{name}$", (DOCS / "reference.md").read_text(), re.M)


@pytest.mark.parametrize(
    "name",
    [
        *("simulation.comparison.Comparison", "simulation.comparison.compare_runs"),
        *("analysis.lifetime.lifetimes", "analysis.yields.yield_at", "analysis.error_budget.read_error_budget"),
    ],
)
def test_function_that_answers_is_in_the_reference_and_used_on_it(name: str) -> None:
    text = (DOCS / "reference.md").read_text()
    assert re.search(rf"^\.\. auto(class|function):: analog_samson\.{re.escape(name)}$", text, re.M)
    if name != "simulation.comparison.Comparison":
        assert re.search(rf"{name.rsplit('.', 1)[1]}\(", text), "an example calls it"


def test_reference_names_only_what_there_is() -> None:
    targets = re.findall(r"^\.\. auto\w+:: (\S+)$", (DOCS / "reference.md").read_text(), re.M)
    missing = []
    for target in targets:
        try:
            pkgutil.resolve_name(target)
        except (ImportError, AttributeError):
            missing.append(target)
    assert targets
    assert not missing


def test_page_runner_when_something_is_wrong_names_the_line(elsewhere: Path) -> None:
    page = elsewhere / "page.md"
    page.write_text("words\n\n```python\nprint(1.0)\n```\n\n<!-- output within 0.5 -->\n```text\n1.6\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:9: 1\.6 on the page, 1\.0 printed"):
        page_runner.run_page(page)
    page.write_text("```console\n$ analog-samson presets show no_such\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:2: .* show no_such\nexit 1\n.*no such preset"):
        page_runner.run_page(page)
    page.write_text("```console\n$ analog-samson --version\nanalog-samson 99\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:2: the page says\nanalog-samson 99"):
        page_runner.run_page(page)


def test_page_runner_when_output_fits_counts_the_blocks(elsewhere: Path) -> None:
    page = elsewhere / "page.md"
    page.write_text(
        "```python\nn = 3\n```\n```python\nprint('n', n)\n```\n<!-- output -->\n```text\nn 3\n```\n"
        "```text\nnot code\n```\n```console\n$ make demo\n$ analog-samson --version\nanalog-samson ...\n```\n"
    )
    assert page_runner.run_page(page) == 4


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(package, reason="needs the extra `docs`")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path / "html"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert built.returncode == 0, built.stderr
    assert "samson" in (tmp_path / "html" / "reference.html").read_text().lower()
