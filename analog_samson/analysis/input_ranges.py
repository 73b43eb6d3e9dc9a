"""Layers whose output a preset's tiles get wrong, whatever the input range of their converters."""

from collections.abc import Mapping, Sequence
from typing import Any

LIMIT = 0.2  # RMS error of a layer's output over the RMS of the exact output
_NAMED = 5


def inaccurate_layers(relative_errors: Mapping[str, float | None]) -> dict[str, float]:
    """The layers above the limit, the worst first.

    >>> inaccurate_layers({"a": 0.3, "b": 0.1, "c": None, "d": 0.6})
    {'d': 0.6, 'a': 0.3}
    """
    found = {path: error for path, error in relative_errors.items() if error is not None and error > LIMIT}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def input_range_sentence(layers: Mapping[str, float]) -> str:
    """What is wrong with these layers, and what to do; `layers` as `inaccurate_layers` gives them, at least one.

    >>> print(input_range_sentence({"project": 0.67}))
    On this hardware, the output of layer project is off by 67 % (RMS) even with its best input range; keep it digital \
(--keep-digital project, in Python keep_digital=["project"]).
    """
    paths = list(layers)
    shown, rest = paths[:_NAMED], len(paths) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    options, quoted = " ".join(f"--keep-digital {path}" for path in shown), ", ".join(f'"{path}"' for path in shown)
    remedy = f"({options}, in Python keep_digital=[{quoted}])"
    if len(paths) == 1:
        what = f"the output of layer {paths[0]} is off by {_percent(layers[paths[0]])} (RMS)"
        return f"On this hardware, {what} even with its best input range; keep it digital {remedy}."
    named = ", ".join(f"{path} ({_percent(layers[path])})" for path in shown)
    what = f"the outputs of these layers are off by (RMS): {named}{more}"
    return f"Even with the best input ranges, {what}; keep the worst of them digital {remedy}."


def run_sentences(stored: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> list[str]:
    """One sentence for each distinct finding; `stored` has by run name the input ranges as its run folder stores them.

    Where there are several runs, each sentence begins with the runs that it is about.
    """
    runs: dict[str, list[str]] = {}
    for name, ranges in stored.items():
        layers = inaccurate_layers({one["path"]: one["relative_error"] for one in ranges or ()})
        if layers:
            runs.setdefault(input_range_sentence(layers), []).append(name)
    return [f"{', '.join(names)}: {text}" if len(stored) > 1 else text for text, names in runs.items()]


def _percent(error: float) -> str:
    return f"{100 * error:.0f} %"
