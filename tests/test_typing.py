"""Type checkers see all public names; `make lint` checks their types in typed_consumer.py."""

import ast
from pathlib import Path

import analog_samson


def test_every_public_name_is_imported_for_type_checkers():
    tree = ast.parse(Path(analog_samson.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    names = {alias.asname for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    homes = {f"{node.module}.{alias.name}" for node in guarded.body for alias in node.names}
    assert names == set(analog_samson.__all__) - {"__version__"}
    assert homes == {f"analog_samson.{home}.{name}" for name, home in analog_samson._HOME.items()}
