"""Trainings, averages and simulations as the commands that repeat them, read back before they are told.

For `zoo_card.py`. Files are named without their folders; what has the default of its option is left out.
"""

import argparse
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analog_samson.analysis.runs import Run
from analog_samson.cli.average import AverageCommand
from analog_samson.cli.from_options import arguments_of, fields_of, parsed_text
from analog_samson.cli.simulate import SimulateCommand, simulate
from analog_samson.cli.train import TrainCommand, train
from analog_samson.data.sources import SOURCES
from analog_samson.errors import CheckpointError, RunError, list_faults
from analog_samson.options import Options, accepts_none, shown
from analog_samson.simulation.options import VOLATILE, SimulateOptions
from analog_samson.simulation.stored_options import BEFORE
from analog_samson.training.job import TrainJob
from analog_samson.training.options import TrainOptions
from analog_samson.units import format_duration

# Options whose default depends on the method: left out of a command where they have it.
_OF_METHOD = ("rho", "p", "eta", "selection", "sigma", "perturbed_share", "ascent_every", "ascent_fraction")
DEFAULT_SELECTION = "weights_only"
_ALWAYS = ("data", "method", "preset", "seed")


def training_command(
    known: Mapping[str, Any], made: Mapping[str, str], folder: str, options: argparse.Namespace
) -> str:
    trained = dict(known["training"])
    processes = trained.pop("processes", 1)
    values = given_options(trained)
    if options.noise_preset is not None and options.noise_preset.stem == trained.get("noise_preset"):
        values["noise_preset"] = options.noise_preset.name
    for option, key in (("from_checkpoint", "started_from"), ("distill", "distilled_from")):
        if key in known:
            values[option] = made.get(known[key]["sha256"], known[key]["file"])
    if "distilled_from" in known and known["distilled_from"]["model"] != known["model"]:
        values["distill_model"] = known["distilled_from"]["model"]
    if known["test_data"] != known["data"]:
        values["test_data"] = data_spec(known["test_data"])
    elif options.holdout is not None:
        values["holdout"] = options.holdout
    values["limit"] = options.limit
    values |= {"model": known["model"], "data": data_spec(known["data"]), "out": folder}
    arguments = ["train", *written(TrainCommand, values)]
    check_training(arguments, trained, options.noise_preset)
    start = ["analog-samson"]
    if processes > 1:
        start = ["torchrun", "--nproc-per-node", str(processes), "-m", "analog_samson"]
    return shlex.join([*start, *arguments])


def averaging_command(
    known: Mapping[str, Any], made: Mapping[str, str], folder: str, options: argparse.Namespace
) -> str:
    """The network is named where one of the files is not known to say it."""
    sources, statistics = known["averaged"], known.get("statistics")
    values: dict[str, Any] = {
        "checkpoints": [made.get(source["sha256"], source["file"]) for source in sources],
        "shares": ",".join(number_text(source["share"]) for source in sources),
        "model": None if all(source["sha256"] in made for source in sources) else known["model"],
        "out": folder,
    }
    if statistics is not None:
        values |= {"data": data_spec(statistics["data"]), "limit": statistics["images"], "seed": statistics["seed"]}
    return shlex.join(["analog-samson", "average", *written(AverageCommand, values)])


def given_options(trained: Mapping[str, Any]) -> dict[str, Any]:
    """The stored options of a training without those that its method takes anyway, as a user gives them."""
    method = {name: trained[name] for name in ("method", "selection") if name in trained}
    usual = TrainOptions(seed=0, **method).resolved()
    idle = () if trained.get("schedule") == "step" else ("step_epochs", "step_factor")
    values = {name: value for name, value in trained.items() if name not in ("noise_preset_sha256", *idle)}
    usual["selection"] = DEFAULT_SELECTION
    for name in _OF_METHOD:
        if name in values and float_of(values[name]) == float_of(usual[name]):
            del values[name]
    if "noise_time" in values:
        values["noise_time"] = format_duration(values["noise_time"])
    return values


def float_of(value: Any) -> Any:
    """Numbers stored as text, such as "inf", as numbers."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def check_training(arguments: Sequence[str], trained: Mapping[str, Any], noise_preset: Path | None) -> None:
    """Raise CheckpointError unless the command line reads these options from the command."""
    given = {name: text for name, text in parsed_text(train, arguments[1:]).items() if name != "out"}
    if noise_preset is not None and given.get("noise_preset") == noise_preset.name:
        given["noise_preset"] = str(noise_preset.resolve())
    job = TrainJob.from_text(given)
    read = TrainOptions(seed=job.seed, normalization=job.normalization, **job.training()).resolved()
    stored = {name: float_of(value) for name, value in trained.items()}
    differ = [
        f"{name}: trained with {stored.get(name)!r}, the command says {read.get(name)!r}"
        for name in sorted({*read, *stored})
        if float_of(read.get(name)) != stored.get(name)
    ]
    if differ:
        raise CheckpointError(list_faults(shlex.join(arguments), differ))


def simulation_command(name: str, run: Run) -> str:
    """The command that repeats a run, with the network from the zoo and files without their folders."""
    left_out = (*VOLATILE, "label", "model", *(() if has_converters(run) else ("input_range",)))
    stored = {key: value for key, value in run.options.items() if key not in left_out}
    before = BEFORE if has_converters(run) else {}
    files = {key: without_folder(stored[key]) for key in ("data", "calibration_data") if key in stored}
    files |= {"checkpoint": f"zoo:{name}", "out": Path(f"runs/{name}-{run.name.replace('/', '-')}")}
    absent = {key: None for key, field in SimulateOptions.model_fields.items() if accepts_none(field)}
    options = SimulateCommand(**{**before, **absent, **stored, **files})
    arguments = arguments_of(options, always=_ALWAYS)
    read = SimulateCommand.from_text(parsed_text(simulate, arguments))
    differ = [
        f"{key}: the run has {value!r}, the command says {getattr(read, key)!r}"
        for key, value in options
        if value != getattr(read, key)
    ]
    if differ:
        raise RunError(list_faults(f"{run.name}: {shlex.join(arguments)}", differ))
    return shlex.join(["analog-samson", "simulate", *arguments])


def has_converters(run: Run) -> bool:
    """Whether input ranges have an effect on the run's preset."""
    return bool(run.meta["preset"]["periphery"]["model"] == "converters")


def written(kind: type[Options], values: Mapping[str, Any]) -> list[str]:
    """The arguments that give these options; most of those that have their default are left out."""
    arguments = []
    for name, field in fields_of(kind):
        value, usual = values.get(name), None if shown(field).default else field.get_default()
        if value is None or (value == usual and name not in _ALWAYS):
            continue
        if isinstance(value, bool):
            arguments.append(kind.typed(name, value))
            continue
        for each in value if isinstance(value, list) else [value]:
            arguments += [kind.typed(name), number_text(each)]
    return arguments


def number_text(value: Any) -> str:
    """A number as short as it reads back, other values as they are."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def data_spec(name: str) -> str:
    """What --data takes for an image set of that name; a folder has to be filled in."""
    return f"{name}:DIR" if name in SOURCES else name


def without_folder(spec: str) -> str:
    """npz:/data/test.npz as npz:test.npz, cifar10:/data/cifar as cifar10:DIR."""
    kind, colon, path = spec.partition(":")
    if not colon or kind not in SOURCES:
        return spec
    return f"{kind}:{Path(path).name}" if kind == "npz" else f"{kind}:DIR"
