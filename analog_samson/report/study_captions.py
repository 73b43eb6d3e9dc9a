"""Captions, and words instead of pictures, for studies and for the spread between chips."""

from collections.abc import Sequence

from analog_samson.analysis.ranking import Study, method_name
from analog_samson.analysis.summary import Result
from analog_samson.analysis.yields import yield_curve
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED
from analog_samson.report.grid import Data
from analog_samson.report.sentences import intervals_sentence
from analog_samson.report.wording import marked, moment_words, series_labels, signed, state_label

_HOLLOW = " Hollow: the preset's source does not cover it (extrapolated)."
_HALF = " Half-filled: between the times that the preset's source gives (interpolated)."


def differences_caption(study: Study) -> str:
    """How to read the differences of a study."""
    first = study.methods[0] if study.methods else ""
    other = any(c.leading and method_name(c.first) != first for c, _ in study.differences)
    text = f"Accuracy minus that of {first}{', or of the network named beside the preset,' if other else ''}"
    same = all(c.same_chips for c, _ in study.differences)
    text += f"{' on the same simulated chips' if same else ''} at the last time, with intervals."
    return f"{text} {intervals_sentence(study)} A bar over zero: not significant.{_fillings(study)}"


def differences_alternative(study: Study) -> str:
    """The differences in words."""
    said = [
        f"{c.first.preset}, {method_name(c.second)} minus {method_name(c.first)}: "
        + marked(signed(s.difference.mean), s.mark)
        for c, s in study.differences
        if c.leading
    ]
    return f"Chart of paired differences at the last time, in points. {'; '.join(said)}."


def frontier_caption(study: Study) -> str:
    """How to read the frontier."""
    text = "Clean accuracy against accuracy on the device at the last time; bars: 95 % t interval of the mean."
    return f"{text} The line joins the networks that no other one beats in both, by their means.{_fillings(study)}"


def frontier_alternative(study: Study) -> str:
    """The frontier in words."""
    said = []
    for entry in study.entries:
        digital = "" if entry.result.digital is None else f"{entry.result.digital.value.mean:.1f} digital, "
        place = ", on the frontier" if entry.on_frontier else ""
        here = marked(f"{entry.state.value.mean:.1f} on the device", entry.state.mark)
        said.append(f"{entry.preset}, {entry.method}: {digital}{here}{place}")
    return f"Scatter chart of clean accuracy and accuracy on the device, percent. {'; '.join(said)}."


def heat_map_caption() -> str:
    """How to read the heat map."""
    return "Mean accuracy (%) at the last time; the stronger the colour, the higher."


def heat_map_alternative(study: Study) -> str:
    """The heat map in words."""
    said = [marked(f"{e.method} on {e.preset} {e.state.value.mean:.1f}", e.state.mark) for e in study.entries]
    return f"Table of colours: accuracy in percent at the last time. {'; '.join(said)}."


def yield_caption(results: Sequence[Result]) -> str:
    """How to read the yield curve."""
    counts = sorted({len(result.states[-1].values) for result in results})
    chips = "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    text = f"Share of the {chips} simulated chips that are at least so accurate"
    if len(results) == 1:
        ends = dict.fromkeys(state_label(state) for state in (results[0].states[0], results[0].states[-1]))
        return f"{text}: {' (faint) and '.join(ends)}."
    marks = sorted({result.states[-1].mark for result in results} - {""})
    where = f" {' or '.join(marks).capitalize()} where the table below says so." if marks else ""
    return f"{text} at the last time of each.{where}"


def yield_alternative(results: Sequence[Result]) -> str:
    """The yield curves in words: worst, median and best chip."""
    said = []
    for label, result in zip(series_labels(results), results, strict=True):
        ordered = sorted(result.states[-1].values.values())
        middle = ordered[(len(ordered) - 1) // 2]
        ends = f"worst {ordered[0]:.1f}, middle {middle:.1f}, best {ordered[-1]:.1f} percent"
        said.append(f"{label} {moment_words(result.states[-1])}: {ends}")
    return f"Step chart of the share of chips over accuracy at the last time. {'; '.join(said)}."


def yield_data(results: Sequence[Result]) -> Data:
    """The steps of every curve."""
    rows = [
        (result.checkpoint, result.preset, result.calibration, state.stage, state.time_seconds, at, share, state.mark)
        for result in results
        for state in result.states
        for at, share in yield_curve(list(state.values.values()), result.metric)
    ]
    columns = (
        "checkpoint",
        "preset",
        "calibration",
        "stage",
        "time_seconds",
        "accuracy_percent",
        "share_at_or_above",
        "mark",
    )
    return Data(columns=columns, rows=tuple(rows))


def _fillings(study: Study) -> str:
    """What the fillings of markers mean, where there are others than whole ones."""
    marks = {entry.state.mark for entry in study.entries}
    return (_HOLLOW if EXTRAPOLATED in marks else "") + (_HALF if INTERPOLATED in marks else "")
