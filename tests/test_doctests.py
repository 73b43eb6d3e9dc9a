"""The examples in the docstrings run, module by module."""

import doctest
import importlib
import pkgutil

import pytest

import analog_samson

MODULES = [
    "analog_samson",
    *(
        module.name
        for module in pkgutil.walk_packages(analog_samson.__path__, "analog_samson.")
        if not module.name.endswith("__main__")
    ),
]


def test_modules_are_found() -> None:
    assert {"analog_samson.units", "analog_samson.sharpness.optimizers", "analog_samson.cli.main"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
