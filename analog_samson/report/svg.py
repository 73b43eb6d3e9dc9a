"""An SVG of matplotlib as part of a page: colours become CSS variables, fonts the page's, ids unique.

Every colour of palette.LIGHT turns into `var(--its-role)`; the style sheet gives each role a light and a dark
value, so one drawing serves both. Fonts are dropped so that the letters inherit the font of the page.
"""

import re
from html import escape

from analog_samson.report.palette import DARK, LIGHT

_ROOT = re.compile(r"<svg\b[^>]*>")
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_FAMILY = re.compile(r"; ?font-family: [^;\"]*|font-family: [^;\"]*; ?")
_SHORTHAND = re.compile(r"font: ([^;\"']*?)([\d.]+)px [^;\"]*")  # matplotlib before 3.11
_ID = re.compile(r'\bid="')
_REFERENCE = re.compile(r'(xlink:href="#|url\(#)')
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_COLOUR = re.compile("|".join(LIGHT.values()), re.IGNORECASE)
_ROLES = {colour: role for role, colour in LIGHT.items()}


def inline_svg(drawing: bytes, *, name: str, title: str) -> str:
    """The <svg> element for a page; `name` prefixes its ids, `title` is what a screen reader says."""
    text = drawing.decode()
    text = text[text.index("<svg") :]
    for noise in (_METADATA, _COMMENT):
        text = noise.sub("", text)
    text = _FAMILY.sub("", _SHORTHAND.sub(_font, text))
    text = _COLOUR.sub(lambda match: f"var(--{_ROLES[match[0].lower()]})", text)
    text = _REFERENCE.sub(rf"\g<1>{name}-", _ID.sub(f'id="{name}-', text))
    return _ROOT.sub(lambda match: _root(match[0], name, title), text, count=1).strip()


def colour_variables(colours: dict[str, str]) -> str:
    """CSS declarations of every role, for LIGHT or DARK."""
    return "".join(f"--{role}:{colour};" for role, colour in colours.items())


def colour_css(place: str = ":root") -> str:
    """The style that gives every role its light and its dark value, by the reader's preference, below `place`."""
    dark = f"@media (prefers-color-scheme: dark){{{place}{{{colour_variables(DARK)}}}}}"
    return f"{place}{{{colour_variables(LIGHT)}}}{dark}"


def _font(match: re.Match[str]) -> str:
    """matplotlib's `font: italic 10px 'DejaVu Sans'` without the family."""
    italic = "font-style: italic; " if "italic" in match[1] else ""
    return f"{italic}font-size: {match[2]}px"


def _root(tag: str, name: str, title: str) -> str:
    size = _SIZE.search(tag)
    assert size is not None, "matplotlib writes a viewBox"
    label = f'role="img" aria-labelledby="{name}-title" width="{size[1]}" height="{size[2]}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size[0]}'
    return f'{head} {label}>\n <title id="{name}-title">{escape(title)}</title>'
