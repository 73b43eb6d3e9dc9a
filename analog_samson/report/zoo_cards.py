"""A card as text: for `zoo show`, for the Markdown file beside the weights, and all cards as one table."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence

from analog_samson.models.zoo.schema import Aged, Card, Measurement, Noisy, Origin
from analog_samson.presets.search import load_preset
from analog_samson.presets.validity import validity_of
from analog_samson.report.rendering import Block, render_markdown
from analog_samson.report.table import Table, text_table
from analog_samson.units import format_duration

_ABSENT = "-"
_CALIBRATION_LIMIT = "1000"  # of `analog-samson simulate` where its command names none


def card_text(card: Card) -> str:
    """The whole card in Markdown; equal cards give equal text."""
    use = f"analog-samson simulate --checkpoint zoo:{card.name} --preset {_preset(card)} --data DATA --out runs/aged"
    blocks: list[Block] = [
        f"# {card.name}",
        _headline(card),
        f"```text\n{use}\n```",
        "## Accuracy",
        _accuracies(card),
        " ".join([*_conditions(card), "Deviations are over simulated chips. The commands, by number:"]),
        "\n".join(_commands(card)),
        *(["## Selection and remarks", card.remarks] if card.remarks else []),
        "## Training",
        _training(card),
        "```text\n" + "\n".join(card.training.commands) + "\n```",
        "## Origin and licence",
        "\n".join(_origins(card)),
        "## File",
        _file(card),
    ]
    return "\n\n".join(one if isinstance(one, str) else render_markdown([one]).rstrip("\n") for one in blocks) + "\n"


def list_grid(cards: Sequence[Card], installed: Collection[str]) -> Table:
    """One row a network: what it is, what it keeps, and whether its weights are installed."""
    headers = ("name", "model", "data", "parameters", "digital", "on", "after", "accuracy", "with AdaBS", "installed")
    rows = [
        (
            *(card.name, card.network.model, card.data.title, f"{card.network.parameters:,}"),
            *(f"{card.measured[0].digital_percent:.2f}", _preset(card), _time(_preset(card), _latest(card))),
            *(_shown(_last(card, adabs)) for adabs in (False, True)),
            "yes" if card.name in installed else "no",
        )
        for card in cards
    ]
    return text_table(
        title="Networks of the zoo; accuracies in percent, mean +- standard deviation over chips. "
        + " ".join(_products(dict.fromkeys(map(_preset, cards)))).rstrip("."),
        headers=headers,
        rows=tuple(rows),
        align="lllrrlrrrl",
    )


def _headline(card: Card) -> str:
    """What it is and what it keeps, in a sentence for each preset: the latest time, without and with AdaBS."""
    digital = f"`{card.network.model}` for {card.data.title}: {card.measured[0].digital_percent:.2f} % digitally."
    return " ".join([digital, *(_kept(card, preset) for preset in dict.fromkeys(aged.preset for aged in _aged(card)))])


def _kept(card: Card, preset: str) -> str:
    """What the network keeps on a preset, with chips and images."""
    latest = max(aged.time_seconds for aged in _aged(card) if aged.preset == preset)
    found = {
        a.adabs: (a, m.images) for m in card.measured for a in m.aged if (a.preset, a.time_seconds) == (preset, latest)
    }
    (first, images), *_ = found.values()
    adapted = f", {_shown(found[True][0])} % with AdaBS" if True in found else ""
    plain = f"{_shown(found[False][0])} % without AdaBS" if False in found else ""
    products = "converters" if load_preset(preset).periphery.model == "converters" else "exact products, no converters"
    return (
        f"On `{preset}` ({products}) after {_time(preset, latest)}: {f'{plain}{adapted}'.lstrip(', ')} "
        f"({first.chips} chips, {images:,} images)."
    )


def _conditions(card: Card) -> Iterator[str]:
    """What an accuracy on chips rests on: products, and the images of AdaBS."""
    yield from _products(dict.fromkeys(aged.preset for aged in _aged(card)))
    adapted = [each.command for each in card.measured if any(number.adabs for number in (*each.aged, *each.noisy))]
    for limit in dict.fromkeys(_option(command, "--calibration-limit", _CALIBRATION_LIMIT) for command in adapted):
        images = f"{int(limit):,} training images"
        yield f"AdaBS recomputes the batch-norm statistics of each chip on {images} before the test."


def _products(presets: Iterable[str]) -> Iterator[str]:
    """Which of the presets leave converters out."""
    exact = [f"`{name}`" for name in presets if name != _ABSENT and load_preset(name).periphery.model != "converters"]
    if exact:
        yield f"Products on {', '.join(exact)} are exact: no converters."


def _option(command: str, name: str, default: str) -> str:
    """The value of an option in a command, or what the command takes without it."""
    words = shlex.split(command)
    return words[words.index(name) + 1] if name in words else default


def _aged(card: Card) -> list[Aged]:
    return [aged for measurement in card.measured for aged in measurement.aged]


def _preset(card: Card) -> str:
    """The hardware of the headline: that of the first measurement on chips."""
    return next((aged.preset for aged in _aged(card)), _ABSENT)


def _latest(card: Card) -> float:
    return max((aged.time_seconds for aged in _aged(card) if aged.preset == _preset(card)), default=0.0)


def _last(card: Card, adabs: bool) -> Aged | None:
    """The accuracy of the headline."""
    place = (_preset(card), _latest(card), adabs)
    return next((aged for aged in _aged(card) if (aged.preset, aged.time_seconds, aged.adabs) == place), None)


def _time(preset: str, seconds: float) -> str:
    """A time after programming, marked where the source of the preset does not give it."""
    time = format_duration(seconds)
    coverage = "" if preset == _ABSENT else validity_of(load_preset(preset).model_dump()).coverage(seconds)
    return f"{time} ({coverage})" if coverage else time


def _shown(number: Aged | Noisy | None) -> str:
    if number is None:
        return _ABSENT
    return f"{number.mean_percent:.2f}" + ("" if number.std_points is None else f" ± {number.std_points:.2f}")


def _accuracies(card: Card) -> Table:
    rows = [row for place, measured in enumerate(card.measured, 1) for row in _rows(measured, str(place))]
    return text_table(
        title="Top-1 [%]",
        headers=("hardware", "state", "accuracy", "with AdaBS", "chips", "images", "command"),
        rows=tuple(rows),
        align="llrrrrr",
    )


def _rows(measured: Measurement, place: str) -> Iterator[tuple[str, ...]]:
    """Digital, then each state on its hardware, with and without AdaBS side by side."""
    images = f"{measured.images:,}"
    yield "none", "digital", f"{measured.digital_percent:.2f}", _ABSENT, _ABSENT, images, place
    states: dict[tuple[str, str], dict[bool, Aged | Noisy]] = {}
    for aged in measured.aged:
        states.setdefault((aged.preset, _time(aged.preset, aged.time_seconds)), {})[aged.adabs] = aged
    for noisy in measured.noisy:
        states.setdefault((noisy.preset, f"sigma_c {noisy.sigma_c:g}"), {})[noisy.adabs] = noisy
    for (preset, state), found in states.items():
        chips = ", ".join(str(count) for count in sorted({number.chips for number in found.values()}))
        yield preset, state, _shown(found.get(False)), _shown(found.get(True)), chips, images, place


def _commands(card: Card) -> Iterator[str]:
    for place, measured in enumerate(card.measured, 1):
        yield f"{place}. `{measured.command}`"
        yield (
            f"   ({measured.data} of fingerprint `{measured.data_fingerprint}`, "
            f"analog-samson {measured.version}, torch {measured.torch})"
        )


def _training(card: Card) -> str:
    data, training = card.data, card.training
    beside = f"; {', '.join(f'`{file}`' for file in training.files)} lies beside this card" if training.files else ""
    return (
        f"On {data.title} ({data.citation}), {data.name} of fingerprint `{data.fingerprint}`, seed {training.seed}, "
        f"with analog-samson {training.version} and torch {training.torch}{beside}:"
    )


def _origins(card: Card) -> Iterator[str]:
    yield f"Licence of these weights: {card.network.license}.\n"
    for origin in card.origins:
        yield _origin(origin)


def _origin(origin: Origin) -> str:
    return (
        f"- {origin.role}: `{origin.file}` of {origin.source}, {origin.license} (`{origin.license_file}`), "
        f"sha256 `{origin.sha256}`"
    )


def _file(card: Card) -> str:
    network = card.network
    return (
        f"`{card.name}.safetensors`: {network.parameters:,} parameters, {network.num_classes} classes, "
        f"{network.in_channels} input channels, normalization {network.normalization}, sha256 `{network.sha256}`."
    )
