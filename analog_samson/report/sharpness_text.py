"""The tables of a sharpness study, as plain text."""

from collections.abc import Sequence

from analog_samson.analysis.correlation import DEPENDENCE, METHOD_OF_INTERVAL, Correlation
from analog_samson.analysis.robustness import Robustness
from analog_samson.analysis.sharpness import PERCENT, Correlations, SharpnessStudy, correlations
from analog_samson.report.rendering import Block, render_text
from analog_samson.report.table import Table, text_table


def print_study(study: SharpnessStudy) -> str:
    """The tables as plain text."""
    blocks: list[Block] = ["\n".join(study.notes), _sharpness_grid(study)]
    if study.robustness is not None:
        found = correlations(study)
        blocks += [_robustness_grid(study.robustness), _correlation_grid(found)]
        blocks.append("\n".join([_how_to_read(found), *_reasons(found), *study.robustness.notes]))
    return render_text(blocks)


def _sharpness_grid(study: SharpnessStudy) -> Table:
    rows = tuple(
        (
            finding.checkpoint,
            finding.method,
            f"{finding.rho:g}",
            f"{finding.p:g}" if finding.method == "samson" else "",
            f"{finding.value:.5g}",
            "%" if finding.method == PERCENT else "nats",
            f"{finding.loss:.5g}",
            str(finding.samples),
            str(finding.batch_size),
        )
        for finding in study.findings
    )
    return text_table(
        title="Sharpness (a lower bound: the highest loss is sought by climbing)",
        headers=("checkpoint", "method", "rho", "p", "sharpness", "unit", "loss", "images", "m"),
        rows=rows,
        align="llrrrlrrr",
    )


def _robustness_grid(robustness: Robustness) -> Table:
    rows = tuple(
        (measure, label, f"{found[measure]:.2f}")
        for measure in robustness.measures
        for label, found in robustness.values.items()
        if measure in found
    )
    return text_table(title="From the runs", headers=("measure", "checkpoint", "value"), rows=rows, align="llr")


def _correlation_grid(found: Correlations) -> Table:
    kinds = next(iter(found.values()))
    return text_table(
        title="Correlation over checkpoints, with its 95 % interval",
        headers=("sharpness", "with", *(one.kind for one in kinds), "n"),
        rows=tuple(
            (method, measure, *(_coefficient(one) for one in three), str(three[0].n))
            for (method, measure), three in found.items()
        ),
        align="ll" + "r" * len(kinds) + "r",
    )


def _coefficient(one: Correlation) -> str:
    if one.value is None:
        return "-"
    return f"{one.value:.2f}" if one.low is None else f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _reasons(found: Correlations) -> list[str]:
    """Why numbers are missing: each reason once, with the rows that it holds for."""
    reasons: dict[str, list[str]] = {}
    for (method, measure), three in found.items():
        for note in dict.fromkeys(one.note for one in three if one.note):
            kinds = [one.kind for one in three if one.note == note]
            whose = "" if len(kinds) == len(three) else f"{' and '.join(kinds)} of "
            reasons.setdefault(note, []).append(f"{whose}{method} with {measure}")
    return [f"{note}: {'every row' if len(rows) == len(found) else _few(rows)}" for note, rows in reasons.items()]


def _few(rows: Sequence[str]) -> str:
    return "; ".join(rows[:3]) + (f"; and {len(rows) - 3} more" if len(rows) > 3 else "")


def _how_to_read(found: Correlations) -> str:
    every = [one for three in found.values() for one in three]
    ends = [(one.low, one.high) for one in every if one.low is not None and one.high is not None]
    if not ends:
        return "No correlation has an interval: too few checkpoints to say anything."
    clear = sum(low > 0 or high < 0 for low, high in ends)
    return (
        f"{METHOD_OF_INTERVAL}, each by itself: {clear} of {len(ends)} are significant (their interval excludes 0), "
        f"about one in twenty would be by chance. {DEPENDENCE}"
    )
