"""The house: who may import whom, what the front door loads, and that the package list matches the tree."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import analog_samson

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analog_samson"
# A module imports its own room and rooms above it in this list only; names on one line are one room.
ROOMS = [
    ["errors", "units", "rng"],
    ["runtime"],
    ["options"],
    ["presets"],
    ["results"],
    ["analysis"],
    ["crossbar"],
    ["tasks"],
    ["chip"],
    ["models"],
    ["data"],
    ["sharpness"],
    ["training"],
    ["simulation"],
    ["report"],
    ["experiments"],
    ["cli"],
]
ORDER = {name: place for place, names in enumerate(ROOMS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))
LIGHT = ("errors", "units", "options", "presets", "results", "analysis", "report")
# What a result shows of itself, imported where it is asked for: (room, room below it).
SHOWN = {("simulation", "report")}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(path: Path, *, loaded: bool = False) -> set[str]:
    """The rooms that a file imports anywhere, also inside functions; `loaded`: only those that importing it loads."""
    rooms = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if loaded else ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "analog_samson":
                names = [f"analog_samson.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "analog_samson" and len(parts) > 1 and parts[1] in ORDER:
                rooms.add(parts[1])
    return rooms


def external_imports(path: Path) -> set[str]:
    tops = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            tops.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
    return tops


def test_modules_import_only_rooms_above_their_own():
    faults = []
    for path in MODULES:
        room, name = room_of(path), path.relative_to(PACKAGE)
        if room in ("__init__", "__main__"):
            continue
        if room not in ORDER:
            faults.append(f"{name}: {room} has no place in the order of rooms")
            continue
        below = sorted(other for other in imported_rooms(path) if ORDER[other] > ORDER[room])
        below = [other for other in below if (room, other) not in SHOWN or other in imported_rooms(path, loaded=True)]
        faults += [f"{name}: imports {other}, a room below {room}" for other in below]
    assert not faults, "\n".join(faults)


NEWER = {"tomllib", "enum.StrEnum", "typing.Self", "typing.assert_never", "datetime.UTC", "importlib.resources.abc"}


def test_modules_import_nothing_that_python_310_lacks():
    """`runtime.older_python` has it, or typing_extensions."""
    found = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
            else:
                names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            if names & NEWER and path.name != "older_python.py":
                found[str(path.relative_to(PACKAGE))] = names & NEWER
    assert found == {}


def test_aihwkit_is_imported_by_the_chip_alone():
    importers = {room_of(path) for path in MODULES if "aihwkit" in external_imports(path)}
    assert importers == {"chip"}


def test_light_rooms_do_not_import_torch():
    modules = [path for path in MODULES if room_of(path) in LIGHT]
    assert {room_of(path) for path in modules} == set(LIGHT)
    assert [str(path.relative_to(PACKAGE)) for path in modules if "torch" in external_imports(path)] == []


def test_import_loads_no_torch():
    code = "import sys, analog_samson, analog_samson.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_simulator_loads_no_report_no_command_line_and_no_reference_network():
    code = "import sys; from analog_samson import simulate_drift; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    rooms = {name.split(".")[1] for name in run.stdout.split() if name.startswith("analog_samson.")}
    assert "simulation" in rooms
    assert not rooms & {"report", "cli", "experiments", "models"}


def test_public_names_are_all_found():
    for name in analog_samson.__all__:
        assert getattr(analog_samson, name) is not None
    assert set(analog_samson.__all__) <= set(dir(analog_samson))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = analog_samson.nothing


def test_packages_in_setup_cfg_match_the_tree():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in PACKAGE.rglob("__init__.py")
        if "__pycache__" not in path.parts
    }
    assert listed == found | {"analog_samson.hw_presets"}


def test_tests_share_helpers_and_import_no_other_test():
    files = sorted((ROOT / "tests").rglob("*.py"))
    faults = {
        str(path.relative_to(ROOT)): sorted(top for top in external_imports(path) if top.startswith("test_"))
        for path in files
    }
    assert {name: tops for name, tops in faults.items() if tops} == {}


def test_no_function_exceeds_60_lines_and_no_module_300():
    """ruff limits the complexity. Nothing rewards short functions."""
    faults = []
    for path in MODULES:
        text, name = path.read_text(), path.relative_to(PACKAGE)
        if (lines := len(text.splitlines())) > 300:
            faults.append(f"{name}: {lines} lines, expected at most 300")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = (node.end_lineno - body[0].lineno + 1) if body else 1
                if length > 60:
                    faults.append(f"{name}: {node.name} has {length} lines without its docstring, expected at most 60")
    assert not faults, "\n".join(faults)


def test_contributing_names_every_room_in_order() -> None:
    rows = [line.split("|")[1] for line in (PACKAGE.parent / "CONTRIBUTING.md").read_text().splitlines() if "|" in line]
    named = [name for row in rows for name in re.findall(r"`([a-z]+)`", row)]
    assert sorted(named) == sorted(ORDER)
    assert [ORDER[name] for name in named] == sorted(ORDER[name] for name in named)
