"""Hostile words on command lines and in small files, and names on report pages."""

import json
import random
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from synthetic_runs import PRESET, synthetic_run

from analog_samson import load_preset
from analog_samson.cli.explore import ExploreCommand
from analog_samson.cli.simulate import SimulateCommand
from analog_samson.cli.sweep import SweepCommand
from analog_samson.cli.train import TrainCommand
from analog_samson.experiments.values import read_values
from analog_samson.models.zoo.search import parse_card
from analog_samson.presets.axis import parse_axis
from analog_samson.presets.layers import read_layer_presets
from analog_samson.report.command import make_report
from analog_samson.results.parts import load_part
from fuzz.judge import Attempts
from fuzz.mutations import damaged_bytes, damaged_tree

_WORDS = (
    *("", "0", "-1", "1e400", "nan", "9" * 400, "1..2", "..", "a,b", "0-9999999999", "\0", "\udc80", "é", "x" * 10_000),
    *("../../etc/passwd", "/dev/null/x", "<img src=x onerror=alert(1)>", "{{7*7}}", "%s%n", "$(touch ran)", "`id`"),
    *("os:system", "zoo:../x", "hf:/", "npz:", "digits", "ideal", "1s,1d", "digital - 1", "periphery.adc_bits=4..8"),
)
_COMMANDS = (SimulateCommand, SweepCommand, TrainCommand, ExploreCommand)
_TAG = "<img src=x onerror=alert(1)>\"'</title></script>{{7*7}}"
_RAW = re.compile(r"<img src=x onerror")


def option_attempts(folder: Path, count: int) -> Attempts:
    """Options as a command line gives them."""
    draw = random.Random(15)
    usual = {"checkpoint": "zoo:resnet32_cifar10", "data": "digits", "preset": "ideal", "model": "digits_cnn"}
    for _ in range(count):
        command = draw.choice(_COMMANDS)
        names = [*command.model_fields]
        given = {name: value for name, value in usual.items() if name in names}
        for name in draw.sample(names, draw.randint(1, 4)):
            word = draw.choice((draw.choice(_WORDS), damaged_bytes(draw.choice(_WORDS).encode(errors="replace"), draw)))
            text = word if isinstance(word, str) else word.decode(errors="surrogateescape")
            given[name] = draw.choice((text, (text, text)))
        yield f"options of {command.NAME}", lambda command=command, given=given: command.from_text(given)


def axis_attempts(folder: Path, count: int) -> Attempts:
    draw, preset = random.Random(16), load_preset("pcm_rasch_2023")
    whole = (
        "periphery.adc_bits=4..10",
        "programming.scale=0.25..2",
        "drift.t0_seconds=1m..1h",
        "tile.max_rows=64..512",
    )
    for _ in range(count):
        text = damaged_bytes(draw.choice(whole).encode(), draw).decode(errors="replace")
        points = draw.choice((2, 5, 9))
        yield "vary", lambda text=text, points=points: parse_axis(text, preset, points)


def small_file_attempts(folder: Path, count: int) -> Attempts:
    """Cards of the zoo, presets of layers, and the parts of a reproduced experiment."""
    draw = random.Random(17)
    card = (resources.files("analog_samson.models.zoo") / "resnet32_cifar10.json").read_text()
    part = json.dumps({"asked": {"limit": 3, "times": [1.0]}, "values": {"accuracy_percent": 80.5}})
    values = "preset,stage,calibration,instance,time_seconds,sigma_c,metric,value\nideal,drift,none,0,1.0,,loss,0.5\n"
    layers = '"embedding.*" = "ideal"\n"head" = "pcm_rasch_2023"\n'
    file = folder / "small"

    def damaged(text: str, turn: int) -> str:
        if turn % 2 and text.startswith("{"):
            return json.dumps(damaged_tree(json.loads(text), draw))
        return damaged_bytes(text.encode(), draw).decode(errors="replace")

    readers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "card": (card, lambda path: parse_card(path.read_text(), "card")),
        "part": (part, load_part),
        "values": (values, lambda path: read_values(path, "net")),
        "layer presets": (layers, read_layer_presets),
    }
    for turn in range(count):
        name = draw.choice(list(readers))
        text, read = readers[name]
        file.write_bytes(damaged(text, turn).encode(errors="replace"))
        yield name, lambda read=read: read(file)


def page_attempts(folder: Path, count: int) -> Attempts:
    """Names that are HTML or templates, wherever a run folder may hold a name; they are shown as they are."""
    draw = random.Random(18)
    places = ("title", "summary", "name", "citation", "notes", "doi")
    for turn in range(count):
        preset = json.loads(json.dumps(PRESET))
        for place in draw.sample(places, draw.randint(1, 3)):
            holder = preset if place in preset else preset["source"]
            holder[place] = draw.choice((_TAG, f"{_TAG}{turn}", f"javascript:{_TAG}"))
        label = draw.choice((_TAG.replace("/", ""), "net"))
        meta = {"preset": preset, "command": _TAG, "data": {"name": _TAG, "fingerprint": _TAG, "count": 9}}
        run = synthetic_run(folder / f"run{turn}", label, instances=2, meta=meta)
        yield "page", lambda run=run: _page(run)


def _page(run: Path) -> None:
    make_report([run], "text", out=run / "report.html", html=True, say=lambda text: None)
    page = (run / "report.html").read_text()
    if _RAW.search(page) or "49" in page.partition("alert(1)")[2][:80]:
        raise ValueError("a name is on the page as HTML or was evaluated")
