"""Sphinx configuration: MyST pages, notebooks as they ran, the look of furo, docstrings as plain text with doctests."""

import re
from collections.abc import Iterator

import analog_samson

project = "analog-samson"
author = "The analog-samson authors"
release = analog_samson.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # notebooks hold their outputs; run_notebooks.py makes them
html_theme = "furo"
html_title = f"analog-samson {release}"
html_copy_source = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
# "rho, sigma [unit]: what they are"
_ITEM = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*(?: \[[^]]+\])?)(: .*)")


def as_rest(lines: list[str]) -> Iterator[str]:
    """The project's docstrings as reStructuredText.

    `code` is code and no other character has a meaning; each explained argument begins a paragraph, and so does a
    sentence that begins a line. Examples stay as they are.
    """
    in_example, before = False, ""
    for line in lines:
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if in_example:
            yield line
            continue
        text = line.strip()
        item = _ITEM.fullmatch(text)
        if item or (before.endswith(".") and text[:1].isupper()):
            yield ""
        yield f"**{_escaped(item[1])}**{_plain(item[2])}" if item else _plain(text)
        before = text


def _plain(text: str) -> str:
    pieces = _CODE.split(text)
    return "".join(f"``{p.strip('`')}``" if p.startswith("`") else _escaped(p) for p in pieces)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_|])", r"\\\1", text)


def _process(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = list(as_rest(lines))


def setup(app: object) -> None:
    app.connect("autodoc-process-docstring", _process)  # type: ignore[attr-defined]
