"""Results in memory for a notebook cell or a terminal: the answer, the table, the figure; no network, no file."""

import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from analog_samson.analysis.runs import META_KEYS, Run
from analog_samson.analysis.summary import Result
from analog_samson.report import comparison_tables, value_tables
from analog_samson.report.contents import Contents
from analog_samson.report.drawing import WIDE, svg
from analog_samson.report.figures import over_time
from analog_samson.report.headline import headline
from analog_samson.report.rendering import render_text
from analog_samson.report.svg import colour_css, inline_svg
from analog_samson.report.templates import pages


def result_html(results: Sequence[Result]) -> str:
    """What a notebook shows for results that belong to no run folder."""
    return runs_html([_in_memory(results)])


def result_text(results: Sequence[Result]) -> str:
    """The answer and a table for each result, as plain text."""
    if not results:
        return "No results yet."
    report = Contents([_in_memory(results)])
    said = headline(report)
    tables = [value_tables.details(report, result) for result in report.results]
    return render_text([" ".join(filter(None, (said.sentence, said.second))), *tables])


def _in_memory(results: Sequence[Result]) -> Run:
    return Run(name="in memory", options={}, meta=dict.fromkeys(META_KEYS), records=(), results=tuple(results))


def runs_html(runs: Sequence[Run]) -> str:
    """What a notebook shows for runs.

    The style sheet and all ids are of its own, so that several of these can be in one notebook.
    """
    if not any(run.results for run in runs):
        return "<p>No results yet.</p>"
    report = Contents(runs)
    said, drawing = headline(report), over_time(report.results)
    several = len(report.runs) > 1
    found = [value_tables.overview(report)] if several else [value_tables.details(report, r) for r in report.results]
    tables = [table for table in (*found, comparison_tables.differences(report) if several else None) if table]
    picture = b"" if drawing is None else svg(drawing, WIDE, text=True)
    name = f"as-{hashlib.sha256(picture + said.sentence.encode()).hexdigest()[:12]}"
    shown = inline_svg(picture, name=f"{name}-figure", title=said.sentence) if picture else ""
    template = pages().get_template("notebook.html")
    return template.render(
        name=name,
        sentences=[said.sentence, said.second],
        tables=tables,
        picture=Markup(shown),
        colours=Markup(colour_css(f"#{name}")),
    )
