"""Captions, and words instead of pictures, for error budgets."""

from collections.abc import Callable

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import ErrorBudget, Layer
from analog_samson.analysis.statistics import Difference
from analog_samson.report.explanation_figures import LAYERS_SHOWN, drawn_remedies, short_name
from analog_samson.report.wording import marked, signed

_BARS = "Bars: 95 % intervals, each by itself."


def error_budget_words(kind: str, budget: ErrorBudget) -> tuple[str, str]:
    """(caption, alternative) of a figure of an error budget."""
    when = marked(budget.label, budget.mark)
    if kind in _OF_OUTCOMES:
        assert budget.outcomes is not None
        return _OF_OUTCOMES[kind](budget.outcomes, when)
    return _OF_VARIANTS[kind](budget, when)


def _hurts(budget: ErrorBudget, when: str) -> tuple[str, str]:
    beside = next((f" beside {e.against}" for e in budget.effects if e.against), "")
    caption = f"Accuracy at {when}: gained where one effect is taken away, lost where it is alone{beside}. {_BARS}"
    said = [
        f"{e.name}: {_signed(e.gain_without)} without it, {_signed(e.loss_alone)} lost with it alone"
        for e in budget.effects
    ]
    return caption, f"Chart of what each effect costs, in points. {'; '.join(said)}."


def _where(budget: ErrorBudget, when: str) -> tuple[str, str]:
    shown, count = budget.layers[:LAYERS_SHOWN], len(budget.layers)
    some = "" if len(shown) == count else f" The {len(shown)} of {count} layers that lose most."
    what = "Rise of the loss (mean cross-entropy)" if shown[0].nats else "Accuracy lost"
    caption = f"{what} at {when} where one layer alone is on the device, all others digital.{some} {_BARS}"
    said = [f"{layer.path} {layer.lost.mean:.1f} points{_nats(layer)}" for layer in shown]
    return caption, f"Chart of what is lost by layer, the most sensitive first. {'; '.join(said)}."


def _helps(budget: ErrorBudget, when: str) -> tuple[str, str]:
    drawn = drawn_remedies(budget)
    left_out = [r for r in budget.remedies if r not in drawn]
    far = "".join(f" Not drawn: {r.name}, {r.value.mean:.1f} %." for r in left_out)
    caption = (
        f"Accuracy at {when} over the share of work that is digital. Line: the most sensitive layers kept digital; "
        f"squares: other remedies; bars: 95 % interval of the mean; dotted: all digital.{far}"
    )
    said = [f"{short_name(r)} {r.value.mean:.1f} at {r.digital_macs_percent or 0:.1f}" for r in drawn]
    return caption, f"Chart of accuracy in percent over the digital share of MACs in percent. {'; '.join(said)}."


def _margins(outcomes: Outcomes, when: str) -> tuple[str, str]:
    caption = f"How sure decisions are, digitally and at {when}, on {outcomes.samples} images."
    ends = f"median {outcomes.digital_median:.2f} digitally and {outcomes.aged_median:.2f} on the device"
    more = " The last bin holds all larger margins."
    return caption + more, f"Two histograms of the margin between top output and runner-up: {ends}."


def _confusion(outcomes: Outcomes, when: str) -> tuple[str, str]:
    caption = f"Decisions on the device at {when}, percent of the true class, mean of {outcomes.chips} chips."
    right = sum(count for (true, taken), count in outcomes.aged_confusion.items() if true == taken)
    share = 100 * right / outcomes.samples / outcomes.chips
    return caption, f"Confusion matrix of {outcomes.classes} classes; {share:.1f} percent of the decisions are right."


def _nats(layer: Layer) -> str:
    return "" if layer.nats is None else f" and {layer.nats.mean:.3f} nats"


def _signed(difference: Difference | None) -> str:
    return "not measured" if difference is None else signed(difference.mean)


_OF_VARIANTS: dict[str, Callable[[ErrorBudget, str], tuple[str, str]]] = {
    "hurts": _hurts,
    "where": _where,
    "helps": _helps,
}
_OF_OUTCOMES: dict[str, Callable[[Outcomes, str], tuple[str, str]]] = {"margins": _margins, "confusion": _confusion}
