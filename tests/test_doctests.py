"""The examples in the docstrings run: one test for each room, which reports every failure of its modules."""

import doctest
import importlib
import pkgutil
from itertools import groupby

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
ROOMS = {room: list(names) for room, names in groupby(sorted(MODULES), lambda name: ".".join(name.split(".")[:2]))}


def test_modules_are_found() -> None:
    assert {"analog_samson.units", "analog_samson.sharpness.optimizers", "analog_samson.cli.main"} <= set(MODULES)
    assert sorted(name for names in ROOMS.values() for name in names) == sorted(MODULES)


@pytest.mark.parametrize("room", ROOMS)
def test_examples_of_room_run(room: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {name: doctest.testmod(importlib.import_module(name)).failed for name in ROOMS[room]}
    assert not any(failed.values()), capsys.readouterr().out
