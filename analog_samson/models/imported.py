"""`package.module:callable`: code of the user's own, found and called with explained errors."""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from analog_samson.errors import AnalogSamsonError, did_you_mean


def import_callable(spec: str, error: type[AnalogSamsonError]) -> Callable[..., Any]:
    """The object that `spec` names; raises `error` with the reason when there is none.

    Modules in the current folder are found too, after the installed ones.
    """
    module_name, _, name = spec.partition(":")
    if not name or not all(part.isidentifier() for part in f"{module_name}.{name}".split(".")):
        raise error(f"{spec!r}: expected package.module:callable, for example my_project.networks:build")
    found: Any = _import(spec, module_name, error)
    for part in name.split("."):
        if not hasattr(found, part):
            names = [known for known in vars(found) if not known.startswith("_")]
            raise error(f"{spec}: {module_name} has no {name!r}{did_you_mean(part, names)}")
        found = getattr(found, part)
    if not callable(found):
        raise error(f"{spec}: expected something to call, got a {type(found).__name__}")
    return found


def call_with_known(spec: str, function: Callable, options: Mapping[str, Any], error: type[AnalogSamsonError]) -> Any:
    """Call `function` with those of `options` that it takes and that are given; explain what it raises."""
    given = {name: value for name, value in options.items() if value is not None and _takes(function, name)}
    try:
        return function(**given)
    except AnalogSamsonError:
        raise
    except Exception as fault:  # the user's own code may raise anything: it is their mistake to mend, not a bug here
        last = traceback.extract_tb(fault.__traceback__)[-1]
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise error(
            f"{spec}({arguments}) raised {type(fault).__name__}: {fault}\n  at {last.filename}:{last.lineno}"
        ) from fault


def _import(spec: str, module_name: str, error: type[AnalogSamsonError]) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as fault:
        if fault.name and (module_name == fault.name or module_name.startswith(f"{fault.name}.")):
            raise error(
                f"{spec}: no module {fault.name!r}; install the package that holds it, "
                "or start in the folder that holds its file"
            ) from fault
        raise error(f"{spec}: importing {module_name} failed: it needs {fault.name!r}; install that") from fault
    except Exception as fault:  # whatever the user's module does when it is imported
        raise error(f"{spec}: importing {module_name} failed: {type(fault).__name__}: {fault}") from fault


def _takes(function: Callable, name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # some built-in callables have no signature
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
