"""Results as HTML for a notebook cell: the answer, the table, the figure; no network, no file."""

import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from analog_samson.analysis.ranking import study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result
from analog_samson.report.drawing import WIDE, Drawing, svg
from analog_samson.report.figures import accuracy_figure, figures
from analog_samson.report.grid import Grid
from analog_samson.report.headline import headline
from analog_samson.report.inline import colour_css, inline_svg
from analog_samson.report.page import environment
from analog_samson.report.study_tables import differences_grid
from analog_samson.report.tables import detail_grid, overview_grid
from analog_samson.report.wording import answer, marked


def result_html(results: Sequence[Result]) -> str:
    """What a notebook shows for results on one preset."""
    if not results:
        return _html(["No results yet."], [], None)
    drawing = accuracy_figure(results) if any(len(r.states) > 1 for r in results) else None
    return _html([answer(result) for result in results], [detail_grid(result) for result in results], drawing)


def comparison_html(runs: Sequence[Run]) -> str:
    """What a notebook shows for several runs."""
    said, seen = headline(runs), study(runs)
    grids = [overview_grid([result for run in runs for result in run.results])]
    grids += [differences_grid(seen)] if seen.differences else []
    return _html([marked(said.sentence, said.mark), said.second], grids, figures(runs).get("accuracy_over_time"))


def _html(sentences: Sequence[str], grids: Sequence[Grid], drawing: Drawing | None) -> str:
    """Style sheet and ids of its own, so that several of these live in one notebook."""
    picture = b"" if drawing is None else svg(drawing, WIDE, text=True)
    name = f"as-{hashlib.sha256(picture + repr(sentences).encode()).hexdigest()[:12]}"
    shown = Markup(inline_svg(picture, name=f"{name}-figure", title="; ".join(sentences))) if picture else ""
    return (
        environment()
        .get_template("notebook.html")
        .render(
            name=name,
            sentences=sentences,
            grids=grids,
            picture=shown,
            colours=Markup(colour_css(f"#{name}")),
        )
    )
