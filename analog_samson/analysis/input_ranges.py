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


def input_range_sentence(layers: Mapping[str, float], first: str = "") -> str:
    """What is wrong with these layers, and what to do.

    Args:
        layers: As `inaccurate_layers` gives them, at least one.
        first: Path of the network's first layer, which `keep_digital` knows by that word.

    >>> print(input_range_sentence({"project": 0.67}, first="project"))
    On this hardware, the output of the first layer, project, is off by 67 % (RMS) with its input range; keep it \
digital (--keep-digital first, in Python keep_digital=["first"]).
    """
    paths = list(layers)
    shown, rest = paths[:_NAMED], len(paths) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    words = ["first" if path == first else path for path in shown]
    options, quoted = " ".join(f"--keep-digital {word}" for word in words), ", ".join(f'"{word}"' for word in words)
    remedy = f"({options}, in Python keep_digital=[{quoted}])"
    if len(paths) == 1:
        layer = f"the first layer, {first}," if paths[0] == first else f"layer {paths[0]}"
        what = f"the output of {layer} is off by {_percent(layers[paths[0]])} (RMS)"
        return f"On this hardware, {what} with its input range; keep it digital {remedy}."
    named = ", ".join(f"{path} ({_percent(layers[path])})" for path in shown)
    what = f"the outputs of these layers are off by (RMS): {named}{more}"
    return f"With their input ranges, {what}; keep the worst of them digital {remedy}."


def first_layer(plan: Sequence[Mapping[str, Any]] | None) -> str:
    """The path of a network's first layer, from its stored plan; empty where the plan does not say."""
    return next((str(row["path"]) for row in plan or () if row.get("first")), "")


def run_sentences(stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each distinct finding; `stored` has by run name what its run folder stores.

    Where there are several runs, each sentence begins with the runs that it is about.
    """
    runs: dict[str, list[str]] = {}
    for name, meta in stored.items():
        layers = inaccurate_layers({one["path"]: one.get("relative_error") for one in meta["input_ranges"] or ()})
        if layers:
            runs.setdefault(input_range_sentence(layers, first_layer(meta["plan"])), []).append(name)
    return [f"{', '.join(names)}: {text}" if len(stored) > 1 else text for text, names in runs.items()]


def _percent(error: float) -> str:
    return f"{100 * error:.0f} %"
