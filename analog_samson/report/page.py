"""report.html: one self-contained file, and the same figures as SVG and PNG beside it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from analog_samson import __version__
from analog_samson.errors import RunError
from analog_samson.report import captions
from analog_samson.report.cards import cards
from analog_samson.report.citations import references
from analog_samson.report.comparison import compare
from analog_samson.report.digest import Run, digest
from analog_samson.report.drawing import NARROW, WIDE, Drawing, png, svg
from analog_samson.report.figures import figures
from analog_samson.report.grid import Grid
from analog_samson.report.inline import colour_css, inline_svg
from analog_samson.report.palette import SERIES
from analog_samson.report.provenance import hardware, preset_views, presets, settings
from analog_samson.report.tables import (
    comparison_block,
    detail_grid,
    missing_instances,
    notes,
    overview_grid,
    sweep_grid,
)
from analog_samson.report.wording import series_labels
from analog_samson.results.atomic import write_atomically
from analog_samson.results.store import RunFolder

PAGE_NAME = "report.html"
FIGURES_NAME = "figures"
_SIGMA = re.compile(r"sigma_c")
_EXTRAPOLATED = re.compile(r" ?\(extrapolated\)")


def write_report(runs: Sequence[RunFolder], out: str | Path) -> Path:
    """Write the page of one or several runs to `out`, and its figures to the folder `figures` beside it.

    Equal runs give equal bytes: the page holds no date. Returns the path of the page.
    """
    page, read = Path(out), digest(runs)
    drawings = figures(read)
    folder = page.parent / FIGURES_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another place with --out") from error
    for name, drawing in drawings.items():
        write_atomically(folder / f"{name}.svg", svg(drawing, WIDE, text=False))
        write_atomically(folder / f"{name}.png", png(drawing, WIDE))
    write_atomically(page, render_page(read, drawings).encode())
    return page


def render_page(runs: Sequence[Run], drawings: Mapping[str, Drawing]) -> str:
    """The HTML of the page; `drawings` as `figures` gives them."""
    environment = Environment(
        loader=PackageLoader("analog_samson.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = _words
    return environment.get_template("report.html").render(_context(runs, drawings))


def _context(runs: Sequence[Run], drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    context = _numbers(runs, drawings) | {
        "runs": runs,
        "colours": Markup(colour_css()),
        "series": SERIES,
        "version": __version__,
        "hardware": hardware(runs),
        "presets": preset_views(runs),
        "settings": settings(runs),
        "references": references(presets(runs)),
    }
    return context | {"sections": _sections(context)}


def _numbers(runs: Sequence[Run], drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    results = [result for run in runs for result in run.results]
    return {
        "headline": captions.headline(runs),
        "unfinished": [(run.name, text) for run in runs if (text := missing_instances(run)) is not None],
        "cards": cards(runs),
        "figures": {name: _inline(name, drawing, _alternative(name, runs)) for name, drawing in drawings.items()},
        "captions": _captions(runs),
        "overview": overview_grid(results) if len(results) > 1 else None,
        "details": [detail_grid(result) for result in results],
        "sweep": sweep_grid(results) if any(result.sweep for result in results) else None,
        "comparisons": [_block(comparison_block(comparison, results)) for comparison in compare(runs)],
        "notes": notes(runs),
    }


def _sections(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, words) of the sections that this page has."""
    sections = [
        ("time", "Over time", "accuracy_over_time" in context["figures"]),
        ("comparison", "Comparison", context["comparisons"]),
        ("results", "Results", True),
        ("equivalent", "Equivalent sigma_c", context["sweep"]),
        ("hardware", "Hardware", context["hardware"]),
        ("preset", "Device preset", context["presets"]),
        ("settings", "Settings", True),
        ("reproduce", "Reproduce", True),
        ("cite", "Cite", True),
    ]
    return [(name, words) for name, words, present in sections if present]


def _captions(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "accuracy_over_time": captions.over_time_caption(runs),
        "gaussian_equivalent": captions.gaussian_caption(runs),
        "difference_over_time": captions.differences_caption(compare(runs)),
    }


def _alternative(name: str, runs: Sequence[Run]) -> str:
    results = [result for run in runs for result in run.results]
    if name == "accuracy_over_time":
        return captions.over_time_alternative(results)
    if name == "gaussian_equivalent":
        return captions.gaussian_alternative(results)
    labels = dict(zip(map(id, results), series_labels(results), strict=True))
    return captions.differences_alternative(compare(runs), labels)


def _inline(name: str, drawing: Drawing, alternative: str) -> dict[str, Markup]:
    """The figure for wide and for narrow screens; style sheets show one of them."""
    return {
        kind: Markup(inline_svg(svg(drawing, layout, text=True), name=f"{name}-{kind}", title=alternative))
        for kind, layout in (("wide", WIDE), ("narrow", NARROW))
    }


def _block(block: Grid | str) -> dict[str, Any]:
    return {"grid": block, "text": None} if isinstance(block, Grid) else {"grid": None, "text": block}


def _words(text: str) -> Markup:
    """Escaped text with sigma_c set as a symbol and "(extrapolated)" as a tag."""
    safe = _SIGMA.sub("<i>σ</i><sub>c</sub>", str(escape(text)))
    safe = _EXTRAPOLATED.sub(' <span class="tag">extrapolated</span>', safe)
    return Markup(safe)
