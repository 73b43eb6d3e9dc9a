"""Put a trained network into the zoo: its weights, its card as JSON, and the same card as Markdown.

    python benchmarks/zoo_card.py resnet32_cifar10 runs/r32/checkpoint.safetensors runs/r32-pcm [RUN ...] \\
        --train-data npz:cifar10_train.npz --holdout 0.1
    python benchmarks/zoo_card.py resnet32_cifar10 --add runs/r32-converters    # enters another run into a card
    python benchmarks/zoo_card.py            # writes the Markdown of every card anew

CHECKPOINT comes from `analog-samson train` or `average`, every RUN from `analog-samson simulate` with that checkpoint.
No number is typed: accuracies come from the runs, which must be of these very weights and together hold all of
REQUIRED; options come from the checkpoint and the runs. They are written as commands, which are read back by the
command line and compared before anything is stored. Files are named without their folders.

--train-data SPEC       the training images; proves by their fingerprint the two options that a checkpoint does not say:
--holdout SHARE         the share of the training images that was tested on instead
--limit N               the first N training images only
--noise-preset FILE     the preset of the noise in training, if it does not come with the package; it is copied there
--earlier CHECKPOINT    a training that CHECKPOINT started from, learnt from or averages; again for more. A network of
                        the zoo among these is known by itself: its card tells the rest
--add RUN               a further run of a network that has a card; it replaces what the card says of its preset
--remarks TEXT          what else one should know
--folder DIR            write all files here; without it cards go into analog_samson/models/zoo, weights into ./zoo
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from command_lines import averaging_command, training_command
from zoo_measurements import complete, measured, states_of

from analog_samson.data.normalization import Normalization
from analog_samson.errors import AnalogSamsonError, CheckpointError
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.models.zoo.schema import Card
from analog_samson.models.zoo.search import CARD, WEIGHTS, list_cards, parse_card
from analog_samson.report.zoo_cards import card_text
from analog_samson.results.atomic import write_atomically
from analog_samson.training.job import TrainJob, prepare_training

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "analog_samson" / "models" / "zoo"
PACKAGE = ROOT / "zoo" / "analog_samson_zoo"

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
_AVERAGED = "part of the average"


def make_card(options: argparse.Namespace) -> Card:
    """The card; raises an AnalogSamsonError for whatever does not fit together."""
    checkpoint = load_checkpoint(options.checkpoint)
    stages = in_order(checkpoint, [load_checkpoint(path) for path in options.earlier])
    refuse_unfinished(stages)
    origins = list(outsiders(stages))
    trained = last_training(stages)
    card = {
        "schema": 1,
        "name": options.name,
        "network": describe_network(checkpoint, origins),
        "data": describe_data(options, trained),
        "training": {
            "commands": training_commands(options, stages),
            "files": [] if options.noise_preset is None else [options.noise_preset.name],
            "seed": trained["training"]["seed"],
            "version": checkpoint.metadata["versions"]["analog_samson"],
            "torch": checkpoint.metadata["versions"]["torch"],
        },
        "origins": origins,
        "measured": measurements(options, checkpoint),
        "remarks": options.remarks,
    }
    return parse_card(json.dumps(card), f"{options.name}{CARD}")


def in_order(last: Checkpoint, earlier: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The trainings in which `last` came to be, each after those that it begins with, learns from or averages."""
    known = {each.sha256: each for each in (*earlier, last)}
    needs = {sha256: [s["sha256"] for _, s in sources(each) if s["sha256"] in known] for sha256, each in known.items()}
    used = {last.sha256}.union(*needs.values())
    idle = [each.path for each in earlier if each.sha256 not in used]
    if idle:
        raise CheckpointError(f"--earlier {idle[0]}: no training here comes from it")
    return [known[sha256] for sha256 in TopologicalSorter(needs).static_order()]


def last_training(stages: Sequence[Checkpoint]) -> Mapping[str, Any]:
    """What the last stage that is a training tells; after it come averages only."""
    trainings = [stage.metadata for stage in stages if "training" in stage.metadata]
    if not trainings:
        raise CheckpointError(f"{stages[-1].path}: an average of files of others; give one trained here with --earlier")
    return trainings[-1]


def refuse_unfinished(stages: Sequence[Checkpoint]) -> None:
    for stage in stages:
        if "averaged" in stage.metadata:
            continue
        if "training" not in stage.metadata:
            raise CheckpointError(f"{stage.path}: expected a checkpoint of `analog-samson train` or `average`")
        done, asked = stage.metadata["epochs"], stage.metadata["training"]["epochs"]
        if done != asked:
            raise CheckpointError(f"{stage.path}: {done} of {asked} epochs; finish the training")


def sources(checkpoint: Checkpoint) -> list[tuple[str, Mapping[str, str]]]:
    """What a training began with and learnt from, or an average is made of: role, and file name with sha256."""
    averaged = [(_AVERAGED, source) for source in checkpoint.metadata.get("averaged", ())]
    return [(_ROLES[key], checkpoint.metadata[key]) for key in _ROLES if key in checkpoint.metadata] + averaged


def outsiders(stages: Sequence[Checkpoint]) -> Iterator[dict[str, str]]:
    """The files of others among the sources, each once with all its roles."""
    own = {stage.sha256 for stage in stages}
    roles: dict[tuple[str, str], dict[str, None]] = {}
    zoo = {card.network.sha256: card for card in list_cards()}
    for stage in stages:
        for role, source in sources(stage):
            if source["sha256"] in zoo:
                card = zoo[source["sha256"]]
                for origin in card.origins:
                    roles.setdefault((origin.file, origin.sha256), {})[
                        f"through zoo:{card.name} also {origin.role}"
                    ] = None
            elif source["sha256"] not in own:
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
    """One command a training or average; an earlier one writes where the next one reads."""
    folders = [f"runs/{options.name}-{place}" for place in range(1, len(stages))] + [f"runs/{options.name}"]
    made = {card.network.sha256: f"zoo:{card.name}" for card in list_cards()}
    made |= {stage.sha256: f"{folder}/checkpoint.safetensors" for stage, folder in zip(stages, folders, strict=True)}
    return [
        (averaging_command if "averaged" in stage.metadata else training_command)(stage.metadata, made, folder, options)
        for stage, folder in zip(stages, folders, strict=True)
    ]


def measurements(options: argparse.Namespace, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What each run measured; RunError where one is of other weights, or where a number is missing or there twice."""
    return complete(options.name, measured(options.name, options.runs, checkpoint))


def with_further_runs(options: argparse.Namespace) -> Card:
    """The card of a network with further runs, in the place of what it said of their presets."""
    path = options.folder / f"{options.name}{CARD}"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such card; make it from CHECKPOINT and RUN first")
    card = parse_card(path.read_text(encoding="utf-8"), path.name).model_dump(mode="json", by_alias=True)
    new = measured(options.name, options.add, load_checkpoint(options.folder / f"{options.name}{WEIGHTS}"))
    replaced = {preset for each in new for preset, *_ in states_of(each)}
    kept = [each for each in card["measured"] if not replaced & {preset for preset, *_ in states_of(each)}]
    card["measured"] = complete(options.name, kept + new)
    return parse_card(json.dumps(card), path.name)


def store(card: Card, options: argparse.Namespace) -> None:
    """Weights byte for byte, card and text."""
    folder, weights = options.folder, options.checkpoint.read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card.network.sha256
    write_atomically((PACKAGE if folder == CARDS else folder) / f"{card.name}{WEIGHTS}", weights)
    for file in card.training.files:
        write_atomically(folder / file, options.noise_preset.read_bytes())
    write_card(card, folder)


def write_card(card: Card, folder: Path) -> None:
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
    parser.add_argument("--add", action="append", type=Path, default=[])
    parser.add_argument("--remarks", default="")
    parser.add_argument("--folder", type=Path, default=CARDS)
    options = parser.parse_args(arguments)
    try:
        if options.name is None:
            for path in sorted(options.folder.glob(f"*{CARD}")):
                write_text(parse_card(path.read_text(encoding="utf-8"), path.name), options.folder)
            return 0
        if options.add:
            card = with_further_runs(options)
            write_card(card, options.folder)
        elif not options.runs or options.train_data is None:
            parser.error("give NAME, CHECKPOINT, one RUN or more, and --train-data; or NAME and --add RUN")
        else:
            card = make_card(options)
            store(card, options)
    except AnalogSamsonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(card_text(card), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
