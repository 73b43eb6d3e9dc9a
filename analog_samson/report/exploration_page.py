"""The results of an exploration as files: report.html, its figures, and the numbers as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from analog_samson import __version__
from analog_samson.analysis.explored import Exploration, LayerExploration
from analog_samson.report import exploration as told
from analog_samson.report.rendering import frame_csv, render_text
from analog_samson.report.svg import colour_css, inline_svg
from analog_samson.report.table import Table
from analog_samson.report.templates import pages
from analog_samson.results.atomic import make_folder, write_atomically

if TYPE_CHECKING:
    import pandas as pd

PAGE_NAME, CSV_NAME = "report.html", "explore.csv"
_CAPTION = (
    "Strong cells were simulated and show the mean over chips; the others follow from them, for the response is taken "
    "to be monotone. Solid frame: the least demanding point that holds. Dotted frame: the preset as it is."
)
_LINE_CAPTION = "Mean over chips with its 95 % interval at each simulated value; the line is the threshold."


@dataclass(frozen=True, kw_only=True)
class _Content:
    headline: str
    sentences: Sequence[str]
    tables: Sequence[Table]
    numbers: "pd.DataFrame"


def exploration_text(found: Exploration | LayerExploration) -> str:
    """What the terminal shows."""
    content = _content(found)
    return render_text([content.headline, "\n".join([*content.sentences, told.setting(found)]), *content.tables])


def write_exploration(found: Exploration | LayerExploration, out: Path, command: str, *, html: bool) -> list[Path]:
    """Write the numbers as CSV, and the page with its figure, into `out`.

    Args:
        found: The results.
        out: A folder that exists.
        command: The command line, for the page.
        html: Whether to write the page.

    Returns:
        The files that were written.
    """
    content, pictures = _content(found), []
    csv = frame_csv(content.numbers)
    write_atomically(out / CSV_NAME, csv.encode())
    if not html:
        return [out / CSV_NAME]
    if isinstance(found, Exploration):
        pictures = [_picture(found, out / "figures", csv)]
    page = (
        pages()
        .get_template("explore.html")
        .render(
            title=content.headline,
            sentences=content.sentences,
            setting=told.setting(found),
            tables=content.tables,
            pictures=pictures,
            csv=csv,
            command=command,
            colours=Markup(colour_css()),
            version=__version__,
        )
    )
    write_atomically(out / PAGE_NAME, page.encode(errors="backslashreplace"))
    return [out / CSV_NAME, out / PAGE_NAME]


def _content(found: Exploration | LayerExploration) -> _Content:
    if isinstance(found, Exploration):
        return _Content(
            headline=told.map_headline(found),
            sentences=told.map_sentences(found),
            tables=[told.boundary_table(found), told.points_table(found)],
            numbers=told.points_frame(found),
        )
    return _Content(
        headline=told.layers_headline(found),
        sentences=told.layers_sentences(found),
        tables=[told.choices_table(found), *([told.ranking_table(found)] if found.ranking else [])],
        numbers=told.choices_frame(found),
    )


def _picture(found: Exploration, folder: Path, csv: str) -> dict[str, str]:
    """The map for the page; as files it goes to `folder`."""
    from analog_samson.report.drawing import NARROW, WIDE, png, svg
    from analog_samson.report.exploration_figure import map_drawing

    drawing, caption = map_drawing(found), _CAPTION if len(found.axes) > 1 else _LINE_CAPTION
    make_folder(folder, below=folder.parent)
    write_atomically(folder / "map.svg", svg(drawing, WIDE, text=False))
    write_atomically(folder / "map.png", png(drawing, WIDE))
    shown = {
        kind: Markup(inline_svg(svg(drawing, layout, text=True), name=f"map-{kind}", title=caption))
        for kind, layout in (("wide", WIDE), ("narrow", NARROW))
    }
    return {"name": "map", "caption": caption, "csv": csv, **shown}
