"""Which options a user typed."""

from collections.abc import Iterable

import typer


def typed_options(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of these parameters that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def as_options(names: Iterable[str]) -> str:
    """Parameters as they are typed.

    >>> as_options(["preset_dir", "seed"])
    '--preset-dir, --seed'
    """
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
