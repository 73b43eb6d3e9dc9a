"""The zoo: every network loads and is what its card says, and `zoo:NAME` stands wherever a checkpoint does."""

import hashlib
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks import seeded
from small import SMALL, Small
from torch import nn

from analog_samson.cli.main import main
from analog_samson.data import open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import Normalization
from analog_samson.errors import CheckpointError, RunError
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.models.zoo.search import (
    checkpoint_path,
    installed_names,
    list_cards,
    load_card,
    parse_card,
    zoo_names,
)
from analog_samson.presets import load_preset
from analog_samson.report.zoo_cards import card_text
from analog_samson.results.store import open_run
from analog_samson.runtime.older_python import tomllib
from analog_samson.tasks.evaluation import evaluate
from analog_samson.training import TrainOptions

FOLDER = Path(str(resources.files("analog_samson.models.zoo")))
NAMES = zoo_names()
NAME, AVERAGE, SOUP = "resnet32_cifar10", "resnet32_average_cifar10", "resnet32_soup_cifar10"
ROOT = Path(__file__).parents[1]
BESIDE, BENCHMARKS = ROOT / "zoo" / "analog_samson_zoo", ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # as for a script, which finds its neighbours
script = {}
for file in ("command_lines.py", "zoo_measurements.py", "zoo_card.py"):
    script |= runpy.run_path(str(BENCHMARKS / file))
sys.path.remove(str(BENCHMARKS))


# What the folder holds


def test_every_network_has_weights_card_and_text_and_nothing_else_lies_there():
    listed = {file for card in list_cards() for file in card.training.files}
    listed |= {origin.license_file for card in list_cards() for origin in card.origins}
    listed |= {f"{name}.{suffix}" for name in NAMES for suffix in ("json", "md")}
    listed |= {f"{name}.safetensors" for name in (NAME, "resnet20_cifar10")}
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "") or path.name in listed} == listed
    beside = {path.name for path in BESIDE.iterdir() if path.suffix not in (".py", "")}
    assert beside == {f"{name}.safetensors" for name in NAMES} - listed


@pytest.mark.parametrize("name", NAMES)
def test_network_is_what_its_card_says(name):
    checkpoint, card = load_checkpoint(f"zoo:{name}"), load_card(name)
    assert hashlib.sha256(checkpoint_path(f"zoo:{name}").read_bytes()).hexdigest() == card.network.sha256
    assert checkpoint.sha256 == card.network.sha256
    assert card.name == name
    known, network = checkpoint.metadata, card.network
    described = (known["model"], known["num_classes"], known["in_channels"])
    assert described == (network.model, network.num_classes, network.in_channels)
    assert Normalization.from_metadata(known["normalization"]).text() == network.normalization
    if "training" in known:  # an average tells of the images of its statistics only
        assert (known["data"], known["data_fingerprint"]) == (card.data.name, card.data.fingerprint)
    model = restore_model(checkpoint)
    assert sum(parameter.numel() for parameter in model.parameters()) == network.parameters
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_text_beside_card_is_made_from_it(name):
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert text == card_text(load_card(name)), "run: python benchmarks/zoo_card.py"


@pytest.mark.parametrize("name", NAMES)
def test_card_has_what_every_card_has(name):
    card = load_card(name)
    states = [state for each in card.measured for state in script["states_of"](each.model_dump())]
    assert set(script["REQUIRED"]) <= set(states)
    for each in card.measured:
        assert shlex.split(each.command)[:4] == ["analog-samson", "simulate", "--checkpoint", f"zoo:{name}"]


@pytest.mark.parametrize("name", NAMES)
def test_files_of_network_name_no_folder_of_a_machine(name):
    for suffix in (".json", ".md"):
        assert not re.search(r"(?<![\w.:/])/\w|/(tmp|home|root|work)/", (FOLDER / f"{name}{suffix}").read_text())
    assert not re.search(r'[": ]/\w', json.dumps(load_checkpoint(f"zoo:{name}").metadata))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_cifar10")])
def test_digital_accuracy_is_that_of_the_card(name, shared):
    images = open_data(f"npz:{shared / 'data' / 'cifar10_test.npz'}", "test")
    checkpoint, measured = load_checkpoint(f"zoo:{name}"), load_card(name).measured[0]
    images = images.take(measured.images)
    assert images.fingerprint == measured.data_fingerprint
    normalization = Normalization.from_metadata(checkpoint.metadata["normalization"])
    batches = Batches(images, normalization, batch_size=250, device="cpu")
    found = evaluate(restore_model(checkpoint).eval(), batches).accuracy_percent
    assert found == pytest.approx(measured.digital_percent, abs=0.05)


def test_page_of_the_zoo_tells_what_the_cards_say():
    docs = BENCHMARKS.parent / "docs"
    page = " ".join((docs / "zoo.md").read_text(encoding="utf-8").split())
    year, day = 31536000.0, 86400.0
    adapted = {name: load_card(name).measured[0] for name in (AVERAGE, NAME, SOUP)}
    aged = {each.time_seconds: each.mean_percent for each in adapted[SOUP].aged if each.adabs}
    digital = adapted[SOUP].digital_percent
    own = {each.time_seconds: each.mean_percent for each in adapted[SOUP].aged if not each.adabs}
    assert f"`{SOUP}` has {digital:.2f} % digitally. With AdaBS it has {aged[day]:.2f} % after a simulated day" in page
    assert (
        f"and {aged[year]:.2f} % after a year, without AdaBS {own[day]:.2f} % and {own[year]:.2f} % (10 chips" in page
    )
    noisy = {name: next(each.mean_percent for each in card.noisy if each.adabs) for name, card in adapted.items()}
    assert f"with AdaBS {noisy[AVERAGE]:.2f} % at sigma_c = 0.4, the first {noisy[NAME]:.2f} %" in page
    assert f"it has {noisy[SOUP]:.2f} % at sigma_c = 0.4" in page
    four = [(c.digital_percent, *_adapted(c), noisy[name]) for name, c in adapted.items() if name != NAME]
    told = " ".join((docs / "ingredients.md").read_text(encoding="utf-8").split())
    for name, numbers in zip((AVERAGE, SOUP), four, strict=True):
        assert f"`{name}` has {numbers[0]:.2f}, {numbers[1]:.2f}, {numbers[2]:.2f} and {numbers[3]:.2f} %" in told
    for words in ("exact products", "a year is extrapolated", "1,000 training images", "all 10,000 of them"):
        assert words in page
    weights = sum(each.weight.numel() for each in mapped(restore_model(load_checkpoint(f"zoo:{SOUP}"))))
    assert f"the ResNet-32 here has {weights:,} on tiles" in page


def _adapted(measured) -> list[float]:
    """With AdaBS after a day and after a year on PCM."""
    return [each.mean_percent for each in measured.aged if each.adabs and each.time_seconds > 1]


def mapped(model: nn.Module) -> list[nn.Module]:
    """The layers whose weights go on tiles."""
    return [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_its_accuracies_rest_on(name):
    card = load_card(name)
    text, measured = card_text(card), card.measured[0]
    headline = text.split("\n\n")[1]
    year = [each for each in measured.aged if each.time_seconds == 31536000.0]
    assert "(exact products, no converters)" in headline
    for each in year:
        assert (
            f"{each.mean_percent:.2f} ± {each.std_points:.2f} % {'with' if each.adabs else 'without'} AdaBS" in headline
        )
    assert f"({year[0].chips} chips, {measured.images:,} images)" in headline
    assert "on 1,000 training images before the test" in text
    assert re.search(r"developed against the CIFAR-10 test images, all 10,000 of them", text, re.IGNORECASE)


def test_card_of_converters_and_fewer_calibration_images_says_so():
    card = json.loads((FOLDER / f"{NAME}.json").read_text())
    measured = card["measured"][0]
    measured["command"] += " --calibration-limit 200"
    for each in measured["aged"]:
        each["preset"] = "pcm_rasch_2023"
    text = card_text(parse_card(json.dumps(card), "net.json"))
    assert "On `pcm_rasch_2023` (converters) after 1y (extrapolated): " in text
    assert "no converters" not in text
    assert "on 200 training images before the test" in text


# Names


def test_path_that_is_no_name_stays_as_it_is():
    assert checkpoint_path("runs/zoo.pt") == Path("runs/zoo.pt")
    assert checkpoint_path(Path("zoo/net.pt")) == Path("zoo/net.pt")


def test_name_means_the_file_of_the_package_as_text_and_as_path():
    expected = FOLDER / f"{NAME}.safetensors"
    assert checkpoint_path(f"zoo:{NAME}") == checkpoint_path(Path(f"zoo:{NAME}")) == expected


def test_card_when_faulty_lists_every_fault():
    card = json.loads((FOLDER / f"{NAME}.json").read_text())
    card["measured"][0]["digital_percent"] = 101.0
    card["network"]["paramters"] = card["network"].pop("parameters")
    with pytest.raises(CheckpointError) as caught:
        parse_card(json.dumps(card), "net.json")
    assert str(caught.value).splitlines() == [
        "net.json: 3 problems",
        "  network.parameters: missing; expected a whole number of at least 1",
        "  network.paramters: unknown key; did you mean 'parameters'?",
        "  measured[0].digital_percent: expected a number from 0 to 100, got 101.0",
    ]
    with pytest.raises(CheckpointError, match=r"net\.json: 1 problem\n  Invalid JSON"):
        parse_card("{", "net.json")


# Every command


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A working directory with a few colour images."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(30) % 10
    np.savez("test.npz", images=pixels[:10], labels=labels[:10])
    np.savez("train.npz", images=pixels[10:], labels=labels[10:])
    return tmp_path


DATA = ("--data", "npz:test.npz")
SHORT = ("--times", "1d", "--instances", "1")
COMMANDS = {
    "simulate": (*("simulate", "--checkpoint", "ZOO"), *DATA, *SHORT, "--sigmas", "none", "--no-html", "--out", "run"),
    "convert": ("convert", "--checkpoint", "ZOO", "--input-shape", "3,32,32"),
    "compare": (
        *("compare", "--checkpoint", "ZOO", "--preset", "pcm_nandakumar_2019", "--preset", "ideal"),
        *(*DATA, *SHORT, "--no-html", "--out", "run"),
    ),
    "sharpness": ("sharpness", "--checkpoint", "ZOO", *DATA, "--split", "test"),
    "sweep": ("sweep", "ZOO", *DATA, *SHORT, "--threads", "1", "--out", "run"),
    "train": (
        *("train", "--from-checkpoint", "ZOO", "--distill", "ZOO", "--data", "npz:train.npz"),
        *("--test-data", "npz:test.npz", "--epochs", "1", "--method", "sgd", "--out", "run"),
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_takes_a_network_of_the_zoo(command, images, capsys):
    assert main([f"zoo:{NAME}" if each == "ZOO" else each for each in COMMANDS[command]]) == 0
    said = "".join(capsys.readouterr())
    assert command in ("convert", "train") or NAME in said
    assert f"zoo:{NAME}" not in said
    assert str(FOLDER) not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_command_when_name_is_unknown_tells_the_known_ones(command, images, capsys):
    code = main(["zoo:resnet32_cifar" if each == "ZOO" else each for each in COMMANDS[command]])
    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert said.err == (
        f"error: checkpoint 'zoo:resnet32_cifar': no such network in the zoo; did you mean {_near()}?; "
        f"known: {', '.join(NAMES)} (`analog-samson zoo list` says more)\n"
    )
    assert not (images / "run").exists()


def _near() -> str:
    from difflib import get_close_matches

    return " or ".join(repr(name) for name in get_close_matches("resnet32_cifar", NAMES, n=3, cutoff=0.5))


def test_run_stores_the_name_as_typed_and_goes_on_and_is_repeated_by_it(images, capsys):
    command = [f"zoo:{NAME}" if each == "ZOO" else each for each in COMMANDS["simulate"]]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert tomllib.loads((images / "run" / "run.toml").read_text())["checkpoint"] == f"zoo:{NAME}"
    assert str(FOLDER).encode() not in (images / "run" / "results.sqlite").read_bytes()
    assert main(command) == 0
    assert capsys.readouterr().out == first
    again = ["simulate", "--config", str(images / "run" / "run.toml"), "--out", "again", "--no-html"]
    assert main(again) == 0
    with open_run("run") as run, open_run("again") as repeated:
        assert run.records() == repeated.records()
        assert {record.checkpoint for record in run.records()} == {NAME}


def test_training_goes_on_from_a_name_and_stores_no_folder(images, capsys):
    command = [f"zoo:{NAME}" if each == "ZOO" else each for each in COMMANDS["train"]]
    assert main(command) == main(command) == 0
    stored = tomllib.loads((images / "run" / "train.toml").read_text())
    sha256 = load_card(NAME).network.sha256
    assert stored["started_from"] == {"file": f"{NAME}.safetensors", "sha256": sha256}
    assert stored["distilled_from"]["sha256"] == sha256
    assert str(FOLDER) not in str(stored)


def test_compare_when_labelled_and_beside_a_file_of_the_same_stem_tells_them_apart(images, capsys):
    save_checkpoint(f"other/{NAME}.safetensors", load_checkpoint(f"zoo:{NAME}").state, {"model": "resnet32", "n": 1})
    both = ("--checkpoint", f"zoo:{NAME}", "--checkpoint", f"other/{NAME}.safetensors")
    assert main(["sharpness", *both, *DATA, "--split", "test", "--normalization", "imagenet"]) == 0
    out = capsys.readouterr().out
    assert f"zoo/{NAME}" in out
    assert f"other/{NAME}" in out
    labelled = ["compare", "--checkpoint", f"a=zoo:{NAME}", "--checkpoint", f"b=other/{NAME}.safetensors", *DATA]
    assert main([*labelled, *SHORT, "--no-html", "--out", "run"]) == 0
    assert (images / "run" / "a" / "pcm_nandakumar_2019" / "run.toml").is_file()


# zoo list, zoo show


def test_list_has_a_line_for_each_network_and_show_prints_the_card(capsys):
    assert main(["zoo", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == NAMES
    for name in (NAME, f"zoo:{NAME}"):
        assert main(["zoo", "show", name]) == 0
        assert capsys.readouterr().out == (FOLDER / f"{NAME}.md").read_text(encoding="utf-8")


@pytest.fixture
def alone(monkeypatch):
    """As on a machine without the second package."""
    monkeypatch.setattr("analog_samson.models.zoo.search.EXTRA_PACKAGE", "analog_samson_zoo_of_another_machine")


def test_network_of_the_second_package_when_that_is_absent_says_how_to_get_it(alone, images, capsys):
    assert installed_names() == ["resnet20_cifar10", NAME]
    assert main([f"zoo:{SOUP}" if each == "ZOO" else each for each in COMMANDS["simulate"]]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: checkpoint 'zoo:{SOUP}': its weights are not installed; ")
    assert "./zoo" in said.err
    assert not (images / "run").exists()


def test_list_and_show_when_second_package_is_absent_mark_what_is_installed(alone, capsys):
    assert main(["zoo", "list"]) == 0
    *rows, empty, hint = capsys.readouterr().out.splitlines()[3:]
    installed = {row.split()[0]: row.split()[-1] for row in rows}
    assert installed == {name: "no" if name in (AVERAGE, SOUP) else "yes" for name in NAMES}
    assert (empty, "./zoo" in hint) == ("", True)
    assert main(["zoo", "show", SOUP]) == 0
    assert capsys.readouterr().out.startswith(f"# {SOUP}\n")


@pytest.mark.parametrize("where", ["own", "second"])
def test_file_that_differs_from_its_card_is_refused(where, tmp_path, monkeypatch, capsys):
    name = {"own": NAME, "second": SOUP}[where]
    weights = bytearray(checkpoint_path(f"zoo:{name}").read_bytes())
    weights[-1] ^= 1
    (tmp_path / f"{name}.safetensors").write_bytes(weights)
    shutil.copy(FOLDER / f"{name}.json", tmp_path)
    monkeypatch.setattr("analog_samson.models.zoo.search.resources", SimpleNamespace(files=lambda package: tmp_path))
    for read in (checkpoint_path, load_checkpoint):
        with pytest.raises(CheckpointError) as caught:
            read(f"zoo:{name}")
        assert str(tmp_path / f"{name}.safetensors") in str(caught.value)
        assert load_card(name).network.sha256 in str(caught.value)
        assert hashlib.sha256(weights).hexdigest() in str(caught.value)


def test_show_when_name_is_unknown_says_which_there_are(capsys):
    assert main(["zoo", "show", "lenet"]) == 1
    assert f"known: {', '.join(NAMES)}" in capsys.readouterr().err


def test_list_and_show_load_no_torch():
    code = (
        "import sys; from analog_samson.cli.main import main; "
        f"main(['zoo', 'list']); main(['zoo', 'show', '{NAME}']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


# The script that makes cards


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network trained on digits for an epoch, and a run with it."""
    folder = tmp_path_factory.mktemp("trained")
    train = ["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "--clip", "0.2", "--rho", "0.3"]
    assert main([*train, "--ema-decay", "0.9", "--threads", "1", "--out", str(folder / "net")]) == 0
    checkpoint = folder / "net" / "checkpoint.safetensors"
    simulate = ["simulate", "--checkpoint", str(checkpoint), "--data", "digits", "--limit", "100", "--instances", "2"]
    simulate += ["--times", "1s,1d,1y", "--sigmas", "0,0.4", "--adabs", "--calibration-limit", "200", "--threads", "1"]
    assert main([*simulate, "--no-html", "--out", str(folder / "run")]) == 0
    return SimpleNamespace(checkpoint=checkpoint, run=folder / "run")


def make(trained, folder, *options, name="cnn_digits", checkpoint=None, run=None):
    """Exit code of the script."""
    paths = [str(checkpoint or trained.checkpoint), str(run or trained.run)]
    return script["main"]([name, *paths, "--train-data", "digits", "--folder", str(folder), *options])


def test_card_made_from_training_and_run_is_repeated_by_its_own_commands(trained, tmp_path, monkeypatch, capsys):
    assert make(trained, tmp_path) == 0
    monkeypatch.setattr("analog_samson.models.zoo.search.resources", SimpleNamespace(files=lambda package: tmp_path))
    monkeypatch.chdir(tmp_path)
    card = load_card("cnn_digits")
    assert capsys.readouterr().out.endswith(card_text(card))
    assert (tmp_path / "cnn_digits.md").read_text() == card_text(card)
    assert card.origins == ()
    assert card.network.license == "MIT"
    (command,) = card.training.commands
    assert "--clip 0.2" in command
    assert main(shlex.split(command)[1:]) == 0
    assert load_checkpoint("runs/cnn_digits/checkpoint.safetensors").sha256 == card.network.sha256
    (measured,) = card.measured
    assert main([*shlex.split(measured.command)[1:], "--no-html"]) == 0
    assert make(trained, tmp_path, checkpoint="runs/cnn_digits/checkpoint.safetensors", run="runs/cnn_digits-run") == 0
    again = load_card("cnn_digits").measured[0]
    assert (again.aged, again.noisy, again.digital_percent) == (measured.aged, measured.noisy, measured.digital_percent)
    assert len(again.aged) == 6
    assert [(number.chips, number.std_points is None) for number in again.noisy] == [(1, True), (2, False)] * 2


def test_text_is_written_anew_from_the_card(trained, tmp_path):
    make(trained, tmp_path)
    (tmp_path / "cnn_digits.md").write_text("old")
    assert script["main"](["--folder", str(tmp_path)]) == 0
    assert (tmp_path / "cnn_digits.md").read_text().startswith("# cnn_digits\n")


def test_further_run_is_added_to_a_card_and_replaces_what_it_said_of_that_preset(trained, tmp_path, capsys):
    simulate = ["simulate", "--checkpoint", str(trained.checkpoint), "--data", "digits", "--times", "1d", "--adabs"]
    simulate += ["--preset", "pcm_rasch_2023", "--sigmas", "none", "--threads", "1", "--no-html", "--limit", "50"]
    for chips in ("1", "2"):
        assert main([*simulate, "--instances", chips, "--out", str(tmp_path / chips)]) == 0
    add = ["cnn_digits", "--folder", str(tmp_path), "--add"]
    assert script["main"]([*add, str(tmp_path / "1")]) == 1
    assert "no such card" in capsys.readouterr().err
    assert make(trained, tmp_path) == 0
    for chips in ("1", "2"):
        assert script["main"]([*add, str(tmp_path / chips)]) == 0
        card = parse_card((tmp_path / "cnn_digits.json").read_text(), "cnn_digits.json")
        first, further = card.measured
        assert {each.preset for each in first.aged} == {"pcm_nandakumar_2019"}
        assert {(each.preset, each.chips) for each in further.aged} == {("pcm_rasch_2023", int(chips))}
        text = (tmp_path / "cnn_digits.md").read_text()
        assert text == card_text(card)
        assert "On `pcm_rasch_2023` (converters) after 1d: " in text
    with open_run(trained.run) as run:
        (found,) = script["read_runs"]([run])
    assert found.results[0].states[0].value.mean == pytest.approx(first.aged[0].mean_percent)


def changed(trained, path, **metadata):
    """A copy of the checkpoint that says something else."""
    checkpoint = load_checkpoint(trained.checkpoint)
    save_checkpoint(path, checkpoint.state, {**checkpoint.metadata, **metadata})
    return path


def test_script_refuses_what_does_not_fit_and_stores_nothing(trained, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    elsewhere = {"file": "x.pt", "sha256": "0" * 64}
    save_checkpoint(tmp_path / "plain.safetensors", seeded(Small), SMALL)
    training = load_checkpoint(trained.checkpoint).metadata["training"]
    cases = [
        (["--holdout", "0.5"], {}, "was trained on other images"),
        (["--limit", "50"], {}, "was trained on other images"),
        ([], {"name": "cnn_numbers"}, "expected a name that ends in one of _cifar10, _digits"),
        (["--earlier", str(tmp_path / "plain.safetensors")], {}, "no training here comes from it"),
        ([], {"checkpoint": tmp_path / "plain.safetensors"}, "expected a checkpoint of `analog-samson train`"),
        ([], {"checkpoint": changed(trained, tmp_path / "a.safetensors", epochs=3)}, "3 of 1 epochs"),
        ([], {"checkpoint": changed(trained, tmp_path / "b.safetensors", started_from=elsewhere)}, "unknown origin"),
        ([], {"checkpoint": changed(trained, tmp_path / "c.safetensors", extra=1)}, "is of other weights"),
        (
            [],
            {"checkpoint": changed(trained, tmp_path / "d.safetensors", training={**training, "noise_preset": "mine"})},
            "no such preset",
        ),
    ]
    for options, paths, expected in cases:
        assert make(trained, out, *options, **paths) == 1, expected
        said = capsys.readouterr()
        assert expected in said.err
        assert said.out == ""
    assert list(out.iterdir()) == []


def test_script_when_a_number_is_missing_or_twice_names_it(trained, tmp_path, capsys):
    short = ["simulate", "--checkpoint", str(trained.checkpoint), "--data", "digits", "--limit", "50", "--threads", "1"]
    short += ["--instances", "2", "--times", "1s,1d", "--sigmas", "none", "--no-html", "--out", str(tmp_path / "short")]
    assert main(short) == 0
    capsys.readouterr()
    assert make(trained, tmp_path, run=tmp_path / "short") == 1
    missing = capsys.readouterr().err
    assert "('pcm_nandakumar_2019', 31536000.0, 0)" in missing
    assert "6 problems" in missing
    both = ["cnn_digits", str(trained.checkpoint), str(trained.run), str(tmp_path / "short"), "--train-data", "digits"]
    assert script["main"]([*both, "--folder", str(tmp_path)]) == 1
    assert "two accuracies of ('pcm_nandakumar_2019', 1.0, False)" in capsys.readouterr().err


OPTIONS = {
    "sgd": {"method": "sgd", "nesterov": True, "label_smoothing": 0.1, "augment": False},
    "sam": {"method": "sam", "rho": 0.1, "ascent_every": 3, "schedule": "step", "step_epochs": 2},
    "asam": {"method": "asam", "eta": 0.02, "selection": "paper"},
    "samson": {"method": "samson", "p": 2, "clip_std": 2.0, "noise": 0.0376, "ramp_epochs": 1},
    "samson of every default": {"method": "samson"},
    "rwp": {"method": "rwp", "sigma": 0.03, "perturbed_share": 0.5},
    "noise of a preset": {"method": "sgd", "noise_preset": load_preset("pcm_nandakumar_2019"), "noise_time": 3600.0},
    "generic noise": {"method": "sgd", "noise_sigma_c": 0.3, "ema_decay": 0.998, "bf16": True, "channels_last": True},
    "exact numbers": {"method": "sgd", "learning_rate": 0.1 / 3, "weight_decay": 1.23456789e-4},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_training_command_gives_back_the_options_it_was_made_from(case):
    """`training_command` reads its own command and raises where it says anything else."""
    resolved = TrainOptions(seed=3, epochs=4, **OPTIONS[case]).resolved()
    trained = {name: "inf" if value == float("inf") else value for name, value in resolved.items() if value is not None}
    known = {"model": "resnet20", "data": "cifar10", "test_data": "cifar10", "training": trained}
    asked = SimpleNamespace(name="net_cifar10", noise_preset=None, holdout=0.1, limit=None)
    command = script["training_command"](known, {}, "runs/net", asked)
    assert command.startswith("analog-samson train --data cifar10:DIR --model resnet20 --holdout 0.1 ")
    known["training"] = trained | {"processes": 2}
    command = script["training_command"](known, {}, "runs/net", asked)
    assert command.startswith("torchrun --nproc-per-node 2 -m analog_samson train --data cifar10:DIR --model resnet20 ")


def test_noise_preset_of_the_user_goes_into_the_zoo_with_the_network(trained, tmp_path):
    text = (resources.files("analog_samson.hw_presets") / "ideal.toml").read_text().replace('"ideal"', '"mine"', 1)
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('model = "none"', 'model = "relative_gaussian"\nsigma_c = 0.2', 1))
    preset = load_preset(mine)
    training = load_checkpoint(trained.checkpoint).metadata["training"]
    training |= {"noise_preset": "mine", "noise_preset_sha256": preset.fingerprint}
    known = {"model": "digits_cnn", "data": "digits", "test_data": "digits", "training": training}
    asked = SimpleNamespace(name="cnn_digits", noise_preset=mine, holdout=None, limit=None)
    assert "--noise-preset mine.toml" in script["training_command"](known, {}, "runs/net", asked)
    mine.write_text(mine.read_text().replace("sigma_c = 0.2", "sigma_c = 0.3"))
    with pytest.raises(CheckpointError, match="noise_preset_sha256: trained with"):
        script["training_command"](known, {}, "runs/net", asked)


def test_earlier_training_is_told_first_and_read_by_the_next(trained, tmp_path):
    first = load_checkpoint(trained.checkpoint)
    source = {"file": "checkpoint.safetensors", "sha256": first.sha256}
    last = load_checkpoint(changed(trained, tmp_path / "b.safetensors", started_from=source))
    stages = script["in_order"](last, [first])
    assert [stage.sha256 for stage in stages] == [first.sha256, last.sha256]
    assert list(script["outsiders"](stages)) == []
    asked = SimpleNamespace(name="cnn_digits", noise_preset=None, holdout=None, limit=None)
    before, after = script["training_commands"](asked, stages)
    assert "--out runs/cnn_digits-1" in before
    assert "--from-checkpoint runs/cnn_digits-1/checkpoint.safetensors" in after


def test_every_training_is_told_after_those_that_it_comes_from(trained, tmp_path):
    def stage(name, **sources):
        path = changed(trained, tmp_path / f"{name}.safetensors", remark=name, **sources)
        return load_checkpoint(path), {"file": "checkpoint.safetensors", "sha256": load_checkpoint(path).sha256}

    first, told_first = stage("first")
    second, told_second = stage("second", started_from=told_first)
    mean, _ = stage("mean", averaged=[told_first, told_second])
    for earlier in ([first, second], [second, first]):
        order = script["in_order"](mean, earlier)
        assert [each.sha256 for each in order] == [first.sha256, second.sha256, mean.sha256]


def test_average_is_told_after_its_training_and_names_the_file_of_others(trained, tmp_path, capsys):
    """The card of an average has its two commands, and those repeat the file."""
    out = tmp_path / "mean"
    command = ["average", "--checkpoint", str(trained.checkpoint), "--checkpoint", str(trained.checkpoint)]
    assert main([*command, "--shares", "0.5,0.5", "--data", "digits", "--limit", "300", "--out", str(out)]) == 0
    stages = [load_checkpoint(trained.checkpoint), load_checkpoint(out / "checkpoint.safetensors")]
    assert script["in_order"](stages[1], stages[:1]) == stages
    assert script["last_training"](stages) == stages[0].metadata
    asked = SimpleNamespace(name="cnn_digits", noise_preset=None, holdout=None, limit=None)
    before, after = (shlex.split(command)[1:] for command in script["training_commands"](asked, stages))
    assert (before[0], after[0]) == ("train", "average")
    made = "runs/cnn_digits-1/checkpoint.safetensors"
    assert [after[i + 1] for i, word in enumerate(after) if word == "--checkpoint"] == [made, made]
    repeated = [str(trained.checkpoint) if word == made else word for word in after]
    assert main([*repeated, "--out", str(tmp_path / "again")]) == 0
    assert load_checkpoint(tmp_path / "again" / "checkpoint.safetensors").sha256 == stages[1].sha256


def test_average_with_a_network_of_the_zoo_names_it_and_what_that_one_came_from(tmp_path):
    card = load_card(NAME)
    metadata = {"model": "resnet32", "num_classes": 10, "in_channels": 3}
    shares = [{"file": f"{NAME}.safetensors", "sha256": card.network.sha256, "share": 0.4}]
    shares += [{"file": "checkpoint.safetensors", "sha256": "0" * 64, "share": 0.6}]
    save_checkpoint(tmp_path / "mean.safetensors", {"w": torch.ones(1)}, metadata | {"averaged": shares})
    stages = [SimpleNamespace(sha256="0" * 64, metadata={}), load_checkpoint(tmp_path / "mean.safetensors")]
    (origin,) = script["outsiders"](stages)
    assert origin["role"] == f"through zoo:{NAME} also {card.origins[0].role}"
    assert (origin["file"], origin["license"]) == (card.origins[0].file, card.network.license)
    asked = SimpleNamespace(name="mean_cifar10", noise_preset=None, holdout=None, limit=None)
    (command,) = script["training_commands"](asked, stages[1:])
    assert f"--checkpoint zoo:{NAME} " in command


def test_average_of_files_of_others_alone_makes_no_card(tmp_path):
    save_checkpoint(tmp_path / "a.safetensors", {"w": torch.ones(1)}, {"averaged": []})
    with pytest.raises(CheckpointError, match="an average of files of others; give one trained here with --earlier"):
        script["last_training"]([load_checkpoint(tmp_path / "a.safetensors")])


def test_simulation_command_names_the_input_ranges_of_older_runs_with_converters(trained):
    with open_run(trained.run) as run:
        (found,) = script["read_runs"]([run])
    older = {key: value for key, value in found.options.items() if key != "input_range"} | {"preset": "pcm_rasch_2023"}
    meta = {"preset": load_preset("pcm_rasch_2023").model_dump(mode="json")}
    command = script["simulation_command"]("cnn_digits", SimpleNamespace(options=older, name="run", meta=meta))
    assert "--input-range std" in command
    newer = SimpleNamespace(options=older | {"input_range": "output_error"}, name="run", meta=meta)
    assert "--input-range" not in script["simulation_command"]("cnn_digits", newer)


def test_simulation_command_that_would_say_something_else_is_refused(trained):
    with open_run(trained.run) as run:
        (found,) = script["read_runs"]([run])
    options = dict(found.options, calibration_limit=None)
    with pytest.raises(RunError, match="calibration_limit: the run has None, the command says 1000"):
        script["simulation_command"]("cnn_digits", SimpleNamespace(options=options, name="run", meta=found.meta))
