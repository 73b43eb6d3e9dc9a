"""Options of version 0.1 that still work under their old names, for one release."""

from collections.abc import Iterator, Sequence

RENAMED = {
    "--adabs": "--calibrate=adabs",
    "--exclude": "--keep-digital",
    "--explain": "--error-budget",
    "--explain-time": "--error-budget-time",
    "--explain-instances": "--error-budget-instances",
    "--explain-limit": "--error-budget-limit",
}


def with_present_names(arguments: Sequence[str]) -> list[str]:
    """A command line with old names of options replaced by those of today.

    >>> with_present_names(["convert", "--exclude=head", "--exclude", "stem", "--", "--exclude"])
    ['convert', '--keep-digital=head', '--keep-digital', 'stem', '--', '--exclude']
    """
    return list(_renamed(iter(arguments)))


def _renamed(arguments: Iterator[str]) -> Iterator[str]:
    for argument in arguments:
        name, equals, value = argument.partition("=")
        yield f"{RENAMED.get(name, name)}{equals}{value}"
        if argument == "--":
            yield from arguments
