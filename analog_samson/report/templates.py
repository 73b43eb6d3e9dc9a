"""The templates of sentences and of the page, and how they are filled."""

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from analog_samson.report.formats import COVERAGE_NOTES, FILTERS, costs

_BREAK = re.compile(r"^\s*¶\s*$", re.MULTILINE)
_SIGMA = re.compile(r"sigma_c")
_MARK = re.compile(r" ?\((extrapolated|interpolated|validity not stated)\)")
_DAGGER = re.compile(f"([{''.join(COVERAGE_NOTES)}])")


def paragraphs(template: str, **context: Any) -> list[str]:
    """The paragraphs of a filled template; none where nothing applies.

    Args:
        template: The name of a file in `templates/sentences`, or a text that is a template itself.
        context: What the template uses; every function of `formats.FILTERS` is a filter.

    >>> paragraphs("The mean is {{ mean | fixed }}.", mean=80.21)
    ['The mean is 80.2.']
    """
    made = sentences()
    filled = (made.get_template(template) if template.endswith(".j2") else made.from_string(template)).render(context)
    return [" ".join(part.split()) for part in _BREAK.split(filled) if part.strip()]


@cache
def sentences() -> Environment:
    """Templates of plain text: lines are joined, a line of the sign ¶ ends a paragraph."""
    return _environment("templates/sentences", autoescape=False)


@cache
def pages() -> Environment:
    """Templates of HTML: everything is escaped."""
    made = _environment("templates", autoescape=True)
    made.filters["words"] = words
    made.filters["breakable"] = lambda shown: Markup(str(words(shown)).replace("_", "_<wbr>"))
    return made


def words(shown: str) -> Markup:
    """Escaped text with sigma_c set as a symbol, "(extrapolated)" or "(interpolated)" as a tag, daggers raised."""
    safe = _SIGMA.sub("<i>σ</i><sub>c</sub>", str(escape(shown)))
    safe = _MARK.sub(r' <span class="tag">\1</span>', safe)
    return Markup(_DAGGER.sub(r"<sup>\1</sup>", safe))


def _environment(folder: str, *, autoescape: bool) -> Environment:
    made = Environment(
        loader=PackageLoader("analog_samson.report", folder),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.tests["costly"] = costs
    return made
