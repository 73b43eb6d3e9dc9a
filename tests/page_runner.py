"""Runs the code of a Markdown page: python blocks in order in one namespace, console blocks through the command line.

A `text` block after the comment `<!-- output -->` is what the block before it has to print; after
`<!-- output within 3 -->` every number in it may differ by 3. "..." stands for anything. In a console block the lines
after a command are its output; commands other than analog-samson are not run.
"""

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analog_samson.cli.main import main

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_OUTPUT = re.compile(r"<!-- output(?: within ([\d.]+))? -->\s*\Z")
_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block; `line` is that of its first line of text. slack: of its numbers; None: it is no output."""

    kind: str
    text: str
    line: int
    slack: float | None = None


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page that are code or the output of code."""
    for found in _FENCE.finditer(page):
        output = _OUTPUT.search(page, 0, found.start())
        if found[1] in ("python", "console") or output:
            slack = float(output[1] or 0) if output else None
            line = page.count("\n", 0, found.start(2)) + 1
            yield Block(kind=found[1], text=found[2], line=line, slack=slack)


def run_page(path: Path) -> int:
    """Run every block of the page in the current folder; returns how many there were. AssertionError names the line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed, found = "", list(blocks(path.read_text(encoding="utf-8")))
    for block in found:
        where = f"{path.name}:{block.line}"
        if block.slack is not None:
            check_output(block.text, printed, block.slack, where)
        elif block.kind == "python":
            printed = run_python("\n" * (block.line - 1) + block.text, str(path), namespace)
        else:
            printed = run_console(block.text, where)
    return len(found)


def run_python(code: str, where: str, namespace: dict[str, Any]) -> str:
    """Run code in a namespace; returns what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, where, "exec"), namespace)
    return out.getvalue()


def run_console(text: str, where: str) -> str:
    """Run the commands of a console block; returns what they print. AssertionError where one fails."""
    everything = ""
    for command, wanted in _commands(text):
        if command.split()[0] != "analog-samson":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
            code = main(shlex.split(command)[1:])
        assert code == 0, f"{where}: {command}\nexit {code}\n{out.getvalue()}{errors.getvalue()}"
        if wanted:
            check_output(wanted, out.getvalue(), 0.0, where)
        everything += out.getvalue()
    return everything


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command with the output printed below it; a backslash at the end of a line continues it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.replace("\\\n", " ").partition("\n")
        yield command, wanted


def check_output(wanted: str, got: str, slack: float, where: str) -> None:
    """Compare text, blanks aside, and its numbers."""
    near = re.sub(_NUMBER, "#", wanted), re.sub(_NUMBER, "#", got)
    same_text = doctest.OutputChecker().check_output(*(near if slack else (wanted, got)), _FLAGS)
    assert same_text, f"{where}: the page says\n{wanted}\nprinted was\n{got}"
    if slack:
        for said, printed in zip(_NUMBER.findall(wanted), _NUMBER.findall(got), strict=True):
            assert abs(float(said) - float(printed)) <= slack, f"{where}: {said} on the page, {printed} printed\n{got}"
