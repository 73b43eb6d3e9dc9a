"""Put a trained network into the zoo: its weights, its card as JSON, and the same card as Markdown.

    python benchmarks/zoo_card.py resnet32_cifar10 runs/r32/checkpoint.safetensors runs/r32-pcm [RUN ...] \\
        --train-data npz:cifar10_train.npz --holdout 0.1
    python benchmarks/zoo_card.py            # writes the Markdown of every card anew

CHECKPOINT comes from `analog-samson train`, every RUN from `analog-samson simulate` with that checkpoint. No number is
typed: accuracies come from the runs, which must be of these very weights and together hold all of REQUIRED; options
come from the checkpoint and the runs. They are written as commands, which are read back by the command line and
compared before anything is stored. Files are named without their folders.

--train-data SPEC       the training images; proves by their fingerprint the two options that a checkpoint does not say:
--holdout SHARE         the share of the training images that was tested on instead
--limit N               the first N training images only
--noise-preset FILE     the preset of the noise in training, if it does not come with the package; it is copied there
--earlier CHECKPOINT    a training that CHECKPOINT started from or learnt from; again for more
--remarks TEXT          what else one should know
"""

import argparse
import hashlib
import json
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from analog_samson.checkpoint import Checkpoint, load_checkpoint
from analog_samson.cli.main import app
from analog_samson.cli.simulate import _parse_sigmas
from analog_samson.cli.train import _job
from analog_samson.conductance import GAUSSIAN
from analog_samson.data.normalization import Normalization, parse_normalization
from analog_samson.data.sources import SOURCES
from analog_samson.errors import AnalogSamsonError, CheckpointError, RunError, list_faults
from analog_samson.models import restore_model
from analog_samson.report.digest import Result, Run, digest
from analog_samson.report.statistics import Summary
from analog_samson.results.atomic import write_atomically
from analog_samson.results.store import open_run
from analog_samson.simulation import VOLATILE, SimulateOptions
from analog_samson.training.job import TrainJob, prepare_training, read_texts
from analog_samson.training.options import TrainOptions
from analog_samson.units import format_duration, parse_times
from analog_samson.zoo import card_text
from analog_samson.zoo.schema import Card
from analog_samson.zoo.search import CARD, WEIGHTS, parse_card

ZOO = Path(__file__).parents[1] / "analog_samson" / "zoo"
PRESET, TIMES, SIGMA = "pcm_nandakumar_2019", (1.0, 86400.0, 31536000.0), 0.4
# (preset, time [s] or sigma_c, AdaBS) that every card has.
REQUIRED = [(where, at, adabs) for where, at in (*((PRESET, t) for t in TIMES), (GAUSSIAN, SIGMA)) for adabs in (0, 1)]

# By what follows the last _ of a name.
DATASETS = {
    "cifar10": ("CIFAR-10", "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"),
    "digits": ("digits of scikit-learn", "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998"),
}
_AKAMASTER = {
    "source": "https://github.com/akamaster/pytorch_resnet_cifar10",
    "license": "BSD-2-Clause",
    "license_file": "akamaster_pytorch_resnet_cifar10.BSD-2-Clause.txt",
}
# Files of others, by sha256.
ORIGINS = {
    "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8": _AKAMASTER,
    "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850": _AKAMASTER,
}
OWN_LICENSE = "MIT"
_ROLES = {"started_from": "starting weights", "distilled_from": "teacher"}
# Options whose default depends on the method: left out of a command where they have it.
_OF_METHOD = ("rho", "p", "eta", "selection", "sigma", "perturbed_share", "ascent_every", "ascent_fraction")
DEFAULT_SELECTION = "weights_only"
_ALWAYS = ("data", "method", "preset", "seed")


def make_card(options: argparse.Namespace) -> Card:
    """The card; raises an AnalogSamsonError for whatever does not fit together."""
    checkpoint = load_checkpoint(options.checkpoint)
    stages = in_order(checkpoint, [load_checkpoint(path) for path in options.earlier])
    refuse_unfinished(stages)
    origins = list(outsiders(stages))
    card = {
        "schema": 1,
        "name": options.name,
        "network": describe_network(checkpoint, origins),
        "data": describe_data(options, checkpoint.metadata),
        "training": {
            "commands": training_commands(options, stages),
            "files": [] if options.noise_preset is None else [options.noise_preset.name],
            "seed": checkpoint.metadata["training"]["seed"],
            "version": checkpoint.metadata["versions"]["analog_samson"],
            "torch": checkpoint.metadata["versions"]["torch"],
        },
        "origins": origins,
        "measured": measurements(options, checkpoint),
        "remarks": options.remarks,
    }
    return parse_card(json.dumps(card), f"{options.name}{CARD}")


def in_order(last: Checkpoint, earlier: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The trainings in which `last` came to be, the first one first."""
    stages, waiting = [last], {each.sha256: each for each in earlier}
    for stage in stages:  # grows while it is gone through
        stages += [waiting.pop(source["sha256"]) for _, source in sources(stage) if source["sha256"] in waiting]
    if waiting:
        raise CheckpointError(f"--earlier {next(iter(waiting.values())).path}: no training here comes from it")
    return stages[::-1]


def refuse_unfinished(stages: Sequence[Checkpoint]) -> None:
    for stage in stages:
        if "training" not in stage.metadata:
            raise CheckpointError(f"{stage.path}: expected a checkpoint of `analog-samson train`")
        done, asked = stage.metadata["epochs"], stage.metadata["training"]["epochs"]
        if done != asked:
            raise CheckpointError(f"{stage.path}: {done} of {asked} epochs; finish the training")


def sources(checkpoint: Checkpoint) -> list[tuple[str, Mapping[str, str]]]:
    """What a training began with and learnt from: role, and file name with sha256."""
    return [(_ROLES[key], checkpoint.metadata[key]) for key in _ROLES if key in checkpoint.metadata]


def outsiders(stages: Sequence[Checkpoint]) -> Iterator[dict[str, str]]:
    """The files of others among the sources, each once with all its roles."""
    own = {stage.sha256 for stage in stages}
    roles: dict[tuple[str, str], dict[str, None]] = {}
    for stage in stages:
        for role, source in sources(stage):
            if source["sha256"] not in own:
                roles.setdefault((source["file"], source["sha256"]), {})[role] = None
    for (file, sha256), found in roles.items():
        if sha256 not in ORIGINS:
            raise CheckpointError(
                f"{file} (sha256 {sha256}): of unknown origin; give it with --earlier if it was trained here, "
                "else enter source and licence in ORIGINS"
            )
        yield {"role": " and ".join(found), "file": file, "sha256": sha256, **ORIGINS[sha256]}


def describe_network(checkpoint: Checkpoint, origins: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    known = checkpoint.metadata
    licenses = dict.fromkeys(origin["license"] for origin in origins)
    return {
        "model": known["model"],
        "parameters": sum(parameter.numel() for parameter in restore_model(checkpoint).parameters()),
        "num_classes": known["num_classes"],
        "in_channels": known["in_channels"],
        "normalization": Normalization.from_metadata(known["normalization"]).text(),
        "sha256": checkpoint.sha256,
        "license": " AND ".join(licenses) or OWN_LICENSE,
    }


def describe_data(options: argparse.Namespace, known: Mapping[str, Any]) -> dict[str, str]:
    dataset = options.name.rpartition("_")[2]
    if dataset not in DATASETS:
        raise CheckpointError(f"{options.name}: expected a name that ends in one of _{', _'.join(DATASETS)}")
    # A test set of its own leaves all images for training; which one it is does not matter here.
    split = {} if known["data"] == known["test_data"] else {"test_data": options.train_data}
    share = {} if options.holdout is None else {"holdout": options.holdout}
    job = TrainJob(data=options.train_data, seed=0, model=known["model"], limit=options.limit, **split | share)
    found = prepare_training(job).train_set
    if found.fingerprint != known["data_fingerprint"]:
        raise CheckpointError(
            f"--train-data: the checkpoint was trained on other images than these {len(found)}; "
            "check --holdout and --limit too"
        )
    title, citation = DATASETS[dataset]
    return {"title": title, "citation": citation, "name": known["data"], "fingerprint": known["data_fingerprint"]}


def training_commands(options: argparse.Namespace, stages: Sequence[Checkpoint]) -> list[str]:
    """One command a training; an earlier one writes where the next one reads."""
    folders = [f"runs/{options.name}-{place}" for place in range(1, len(stages))] + [f"runs/{options.name}"]
    made = {stage.sha256: f"{folder}/checkpoint.safetensors" for stage, folder in zip(stages, folders, strict=True)}
    return [
        training_command(stage.metadata, made, folder, options) for stage, folder in zip(stages, folders, strict=True)
    ]


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
    arguments = written("train", values | {"model": known["model"], "data": data_spec(known["data"]), "out": folder})
    check_training(arguments, trained, options.noise_preset)
    start = ["analog-samson"]
    if processes > 1:
        start = ["torchrun", "--nproc-per-node", str(processes), "-m", "analog_samson"]
    return shlex.join([*start, *arguments])


def given_options(trained: Mapping[str, Any]) -> dict[str, Any]:
    """The stored options of a training without those that its method takes anyway, as a user gives them."""
    method = {name: trained[name] for name in ("method", "selection") if name in trained}
    usual = TrainOptions(seed=0, **method).resolved()
    values = {name: value for name, value in trained.items() if name != "noise_preset_sha256"}
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
    job = _job({name: value for name, value in parsed(arguments).items() if value is not None})
    normalization = None if job.normalization is None else parse_normalization(job.normalization)
    given = dict(job.options)
    if noise_preset is not None and given.get("noise_preset") == noise_preset.name:
        given["noise_preset"] = str(noise_preset.resolve())
    read = TrainOptions(seed=job.seed, normalization=normalization, **read_texts(given)).resolved()
    stored = {name: float_of(value) for name, value in trained.items()}
    differ = [
        f"{name}: trained with {stored.get(name)!r}, the command says {read.get(name)!r}"
        for name in sorted({*read, *stored})
        if float_of(read.get(name)) != stored.get(name)
    ]
    if differ:
        raise CheckpointError(list_faults(shlex.join(arguments), differ))


def measurements(options: argparse.Namespace, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What each run measured; RunError where one is of other weights, or where a number is missing or there twice."""
    folders = [open_run(path) for path in options.runs]
    try:
        runs = digest(folders)
    finally:
        for folder in folders:
            folder.close()
    found = [measurement(options.name, run, checkpoint) for run in runs]
    states = [state for each in found for state in states_of(each)]
    faults = [f"no accuracy of {state}" for state in REQUIRED if state not in states]
    faults += [f"two accuracies of {state}" for state in sorted(set(states)) if states.count(state) > 1]
    if faults:
        raise RunError(list_faults(f"runs of {options.name}: (preset, time [s] or sigma_c, AdaBS)", faults))
    return found


def states_of(measured: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    aged = [(each["preset"], each["time_seconds"], each["adabs"]) for each in measured["aged"]]
    return aged + [(each["preset"], each["sigma_c"], each["adabs"]) for each in measured["noisy"]]


def measurement(name: str, run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    if run.meta["checkpoint"]["sha256"] != checkpoint.sha256:
        raise RunError(f"{run.name}: is of other weights than {checkpoint.path}; simulate that checkpoint")
    digital = next((result.digital for result in run.results if result.digital), None)
    if digital is None:
        raise RunError(f"{run.name}: has no digital accuracy; run its command again to finish it")
    return {
        "command": simulation_command(name, run),
        "data": run.meta["data"]["name"],
        "data_fingerprint": run.meta["data"]["fingerprint"],
        "images": run.meta["data"]["count"],
        "seed": run.meta["seed"],
        "version": run.meta["environment"]["analog-samson"],
        "torch": run.meta["environment"]["torch"],
        "digital_percent": digital.accuracy.mean,
        "aged": [number for result in run.results for number in aged(result)],
        "noisy": [number for result in run.results for number in noisy(result)],
    }


def aged(result: Result) -> Iterator[dict[str, Any]]:
    for state in result.times:
        place = {"preset": result.preset, "time_seconds": state.time_seconds, "adabs": result.adabs}
        yield place | statistics(state.accuracy)


def noisy(result: Result) -> Iterator[dict[str, Any]]:
    for point in result.sweep:
        place = {"preset": GAUSSIAN, "sigma_c": point.sigma_c, "adabs": result.adabs}
        yield place | statistics(point.accuracy)


def statistics(accuracy: Summary) -> dict[str, Any]:
    std = None if accuracy.std is None else round(accuracy.std, 4)
    return {"chips": accuracy.n, "mean_percent": round(accuracy.mean, 4), "std_points": std}


def simulation_command(name: str, run: Run) -> str:
    """The command that repeats a run, with the network from the zoo and files without their folders."""
    options = {key: value for key, value in run.options.items() if key not in (*VOLATILE, "label", "model")}
    shown = dict(options, checkpoint=f"zoo:{name}", out=f"runs/{name}-{run.name.replace('/', '-')}")
    for key in ("data", "calibration_data"):
        if key in shown:
            shown[key] = without_folder(shown[key])
    shown["times"] = ",".join(format_duration(time) for time in shown["times"])
    shown["sigmas"] = ",".join(number_text(sigma) for sigma in shown.get("sigmas", ())) or "none"
    arguments = written("simulate", shown)
    check_simulation(arguments, options, run)
    return shlex.join(["analog-samson", *arguments])


def check_simulation(arguments: Sequence[str], options: Mapping[str, Any], run: Run) -> None:
    """Raise RunError unless the command line reads the run's options from the command, files aside."""
    read = parsed(arguments)
    read |= {"times": parse_times(read["times"]), "sigmas": _parse_sigmas(read["sigmas"])}
    names = {field.name for field in fields(SimulateOptions)} - {*VOLATILE, "label", "model"}
    names -= {"checkpoint", "data", "calibration_data"}
    differ = [
        f"{name}: the run has {options.get(name)!r}, the command says {read[name]!r}"
        for name in sorted(names)
        if (listed(read[name]) or None) != (listed(options.get(name)) or None)
    ]
    if differ:
        raise RunError(list_faults(f"{run.name}: {shlex.join(arguments)}", differ))


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command line makes of a command."""
    command = typer.main.get_command(app).commands[arguments[0]]
    return command.make_context(arguments[0], list(arguments[1:])).params


def written(name: str, values: Mapping[str, Any]) -> list[str]:
    """The arguments that give these options; most of those that have their default are left out."""
    command = typer.main.get_command(app).commands[name]
    arguments = [name]
    for option in command.params:
        value = values.get(option.name)
        if value is None or (value == option.default and option.name not in _ALWAYS):
            continue
        if isinstance(value, bool):
            arguments.append(option.opts[0] if value else option.secondary_opts[0])
            continue
        for each in value if option.multiple else [value]:
            arguments += [option.opts[0], number_text(each)]
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


def store(card: Card, options: argparse.Namespace) -> None:
    """Weights byte for byte, card and text."""
    folder, weights = options.folder, options.checkpoint.read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card.network.sha256
    write_atomically(folder / f"{card.name}{WEIGHTS}", weights)
    for file in card.training.files:
        write_atomically(folder / file, options.noise_preset.read_bytes())
    text = json.dumps(card.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
    write_atomically(folder / f"{card.name}{CARD}", f"{text}\n".encode())
    write_text(card, folder)


def write_text(card: Card, folder: Path) -> None:
    write_atomically(folder / f"{card.name}.md", card_text(card).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--train-data")
    parser.add_argument("--holdout", type=float)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--noise-preset", type=Path)
    parser.add_argument("--earlier", action="append", type=Path, default=[])
    parser.add_argument("--remarks", default="")
    parser.add_argument("--folder", type=Path, default=ZOO)
    options = parser.parse_args(arguments)
    try:
        if options.name is None:
            for path in sorted(options.folder.glob(f"*{CARD}")):
                write_text(parse_card(path.read_text(encoding="utf-8"), path.name), options.folder)
            return 0
        if not options.runs or options.train_data is None:
            parser.error("give NAME, CHECKPOINT, one RUN or more, and --train-data")
        card = make_card(options)
        store(card, options)
    except AnalogSamsonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(card_text(card), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
