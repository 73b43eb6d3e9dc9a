"""`analog-samson reproduce` from end to end on tiny data, and what it does when it is killed or misused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from commands import error_of, output_of

from analog_samson.cli.reproduce import reproduce
from analog_samson.data import open_data
from analog_samson.data.augment import as_in_training
from analog_samson.errors import RunError
from analog_samson.experiments import cells, score
from analog_samson.experiments.catalogue import experiment_names, load_experiment, networks_of
from analog_samson.experiments.jobs import CHECKPOINT
from analog_samson.experiments.schema import NoNetworks
from analog_samson.experiments.shown import WorstCase
from analog_samson.experiments.tune import write_choices
from analog_samson.experiments.values import read_values
from analog_samson.experiments.worst_case import closed_form, largest_deviation, worst_case_curves
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.results.parts import load_part, write_part
from analog_samson.results.store import open_run
from analog_samson.runtime.older_python import tomllib

pytestmark = pytest.mark.xdist_group("reproduce")  # one worker makes what these tests share
STUDY_FILE = Path(__file__).parents[1] / "benchmarks" / "study" / "study.toml"
app = typer.Typer()
app.command()(reproduce)
TINY = ["--limit-epochs", "1", "--limit-images", "20", "--instances", "2", "--seeds", "0", "--threads", "1"]
TRAINED = [n for n in experiment_names() if not isinstance(load_experiment(n).networks, NoNetworks)]
MEASURED = [measure.file for measure in load_experiment(STUDY_FILE).shows.measures]
call = partial(output_of, app)
error = partial(error_of, app)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> list[str]:
    """Options that put a small network, made-up images and made-up starting weights in place of everything."""
    folder = tmp_path_factory.mktemp("tiny")
    draw = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 60), ("test", 40)):
        arrays[f"{part}_labels"] = np.arange(count) % 10
        bright = 20 * (np.arange(count) % 10)[:, None, None, None]
        arrays[f"{part}_images"] = (draw.integers(0, 60, (count, 8, 8, 3)) + bright).astype(np.uint8)
    np.savez(folder / "tiny.npz", **arrays)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model("digits_cnn", in_channels=3).state_dict()
    for name in ("resnet20-12fca82f.th", "resnet32-d509ac18.th", "resnet18-f37072fd.pth"):
        torch.save({"state_dict": state}, folder / name)
    return ["--network", "digits_cnn", "--data", f"npz:{folder / 'tiny.npz'}", "--checkpoints", str(folder), *TINY]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory) -> Path:
    """One output folder for the figures that share their networks."""
    return tmp_path_factory.mktemp("figures")


STUDY = [STUDY_FILE, "--only", "digits_cnn_digits/rwp", *TINY]


@pytest.fixture(scope="module")
def made_study(tmp_path_factory) -> tuple[Path, str]:
    """A finished run of STUDY, with what it printed; for all tests to copy."""
    place = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return place / "raw", call(*STUDY, "--out", "raw")


@pytest.fixture
def finished(made_study, tmp_path, monkeypatch) -> Path:
    """A copy of the finished study as the folder `raw` of the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made_study[0], tmp_path / "raw")).relative_to(tmp_path)


@pytest.mark.parametrize("name", TRAINED)
def test_experiment_runs_on_tiny_data(name, tiny, shared_out):
    out = shared_out if name.startswith("fig") else shared_out / name
    text = call(name, "--out", out, "--only", "resnet", *tiny)
    assert "a trial run: at most 1 epochs a training" in text
    assert load_experiment(name).source.place in text
    values = rows(out / f"{name}_mini_raw.csv")
    assert {row["experiment"] for row in values} == {name}
    assert all(np.isfinite(float(row["value"])) for row in values)
    kinds = {"table": {"top1_percent", "top5_percent"}, "fig": {"accuracy_percent", "loss"}}
    assert kinds.get(name.rstrip("0123456789"), set()) <= {row["metric"] for row in values}
    for suffix in ("txt", "md", "csv"):
        assert (out / f"{name}_mini.{suffix}").read_text()
    drawn = {path.suffix for path in out.glob(f"{name}_mini_resnet20*.*g")}
    assert drawn == (set() if name.startswith("table") else {".png", ".svg"})


def test_study_runs_on_tiny_data_in_all_settings(tiny, tmp_path):
    text = call(STUDY_FILE, "--out", tmp_path, "--only", "samson_inf_clip_rho", *tiny)
    assert "accuracy [%] on pcm_nandakumar_2019 and over sigma_c, with AdaBS" in text
    values = rows(tmp_path / "study_mini_raw.csv")
    assert {row["setting"] for row in values} == {
        *("digits_cnn_digits", "resnet20_cifar10_tuned", "resnet32_cifar10_tuned", "resnet20_cifar10_scratch")
    }
    assert {Path(name).stem for name in MEASURED} <= {row["metric"] for row in values}
    assert not list(tmp_path.glob("*.svg"))


@pytest.mark.parametrize(("name", "only"), [("table3", "resnet18_imagenet"), ("fig2", "samson_inf_clip")])
def test_paper_scale_runs_on_tiny_data(name, only, tiny, tmp_path):
    text = call(name, "--scale", "paper", "--out", tmp_path, "--only", only, *tiny)
    assert "ResNet-18" in text
    asked = load_part(next(tmp_path.glob("*/samson_inf*/seed0/training.json")))["asked"]
    assert (asked["selection"], asked["p"], asked["epochs"]) == ("paper", "inf", 1)


def test_paper_numbers_stand_beside_with_spread_and_n(tiny, tmp_path):
    text = call("table1", "--out", tmp_path, "--only", "resnet20_cifar10", *tiny)
    (line,) = [line for line in text.splitlines() if line.startswith("  SAM  ")]
    assert line.endswith("95.80 +- 0.07  3       -0.04")  # SGD 95.84 in the paper
    assert "paper: ResNet-34, CIFAR-10" in text
    assert rows(tmp_path / "table1_mini_paper.csv")[0] == {
        "setting": "resnet34_cifar10",
        "method": "sgd",
        "metric": "top1_percent",
        "mean": "95.84",
        "std": "0.13",
        "n": "3",
    }


def test_figures_share_networks_in_one_folder(tiny, tmp_path):
    options = ["--out", tmp_path, "--only", "resnet20_cifar10/samson_2_rho", *tiny]
    call("fig2", *options)
    checkpoint = next(tmp_path.glob("resnet20_cifar10/*/seed0/training/checkpoint.safetensors"))
    before = checkpoint.stat().st_mtime_ns
    assert "1 to run" in call("fig3", *options)
    assert checkpoint.stat().st_mtime_ns == before
    assert "1 of 1 networks are finished" in call("fig3", *options)
    assert [p.name for p in checkpoint.parents[1].glob("sharpness*")] == [
        "sharpness_samson_rho0.5_p2_weights_only.json"
    ]


def test_cell_holds_every_condition_of_the_file(tiny, tmp_path):
    call("fig2", "--out", tmp_path, "--only", "resnet20_cifar10/sgd/", *tiny)
    folder = tmp_path / "resnet20_cifar10" / "sgd" / "seed0"
    with open_run(folder / "run") as run:
        stored = run.records()
    assert read_values(folder / "run.csv", stored[0].checkpoint) == tuple(stored)
    records = [r for r in stored if r.metric == "accuracy_percent" and r.stage != "digital"]
    found = {(r.sigma_c, r.time_seconds, r.adabs, r.instance) for r in records}
    noisy = {(s, None, a, i) for s in (0.1, 0.2, 0.3, 0.4) for a in (False, True) for i in range(2)}
    quiet = {(0.0, None, a, 0) for a in (False, True)}
    year = {(None, 31536000.0, a, i) for a in (False, True) for i in range(2)}
    assert found == noisy | quiet | year


def test_untrained_network_is_the_start_itself(tiny, tmp_path):
    call("table3", "--out", tmp_path, "--only", "resnet20_cifar10/sgd/", *tiny)
    folder = tmp_path / "resnet20_cifar10" / "sgd" / "seed0"
    assert [path.name for path in folder.iterdir()] == ["clean.json"]


def test_pretraining_is_done_once_for_all_methods(tmp_path):
    options = ["--out", tmp_path, *TINY]
    run = "] digits_cnn_digits/pretraining/seed0"
    assert call("table3", "--only", "digits_cnn_digits/sam_", *options).count(run) == 1
    assert run not in call("table3", "--only", "digits_cnn_digits/asam_", *options)
    parts = list(tmp_path.glob("digits_cnn_digits/*sam_*/seed0/training.json"))
    assert {load_part(part)["asked"]["start"] for part in parts} == {"digits_cnn_digits/pretraining/seed0"}
    assert len(parts) == 2


def test_tuning_chooses_the_best_score_and_writes_down_all(tmp_path):
    call(STUDY_FILE, "--out", tmp_path, "--only", "digits_cnn_digits/sgd_clip", *TINY)
    (choice,) = json.loads((tmp_path / "study_mini_choices.json").read_text())
    assert (choice["setting"], choice["method"], len(choice["candidates"])) == ("digits_cnn_digits", "sgd_clip", 4)
    scores = [candidate["score"] for candidate in choice["candidates"]]
    best = choice["candidates"][scores.index(max(scores))]
    assert (choice["chosen"], choice["score"]) == (best["options"], max(scores))
    clip = best["options"]["clip"]
    assert (tmp_path / "digits_cnn_digits" / f"sgd_clip_clip{clip:g}" / "seed0" / "run").is_dir()
    score = load_part(tmp_path / "digits_cnn_digits" / "tune" / f"sgd_clip_clip{clip:g}" / "seed0" / "score.json")
    conditions = score["values"]["conditions"]
    assert len(conditions) == 5
    assert score["values"]["score"] == pytest.approx(np.mean(list(conditions.values())))


def kept(folder: Path) -> dict[Path, bytes]:
    """The files that are kept for good, with what is in them."""
    return {path: path.read_bytes() for path in sorted(folder.glob("*/**/seed*/*")) if path.is_file()}


def test_finished_cells_need_neither_their_checkpoints_nor_their_run_folders(finished, made_study):
    text = made_study[1]
    table = (finished / "study_mini.txt").read_text()
    for name in ("training", "run"):
        for folder in finished.glob(f"*/**/seed*/{name}"):
            shutil.rmtree(folder)
    before = kept(finished)
    assert "2 of 2 networks are finished" in (again := call(*STUDY, "--out", finished))
    assert " to run" not in again
    assert before == kept(finished)
    assert (finished / "study_mini.txt").read_text() == table
    assert table in text
    assert {path.name for path in before} == {
        *("clean.json", "run.csv", "run.json", "score.json", "training.json"),
        *MEASURED,
    }
    assert not [path for path, content in before.items() if str(made_study[0].parent).encode() in content]


def test_further_sharpness_is_measured_as_long_as_the_checkpoint_is_there(finished):
    options = [*STUDY, "--out", finished]
    (folder,) = finished.glob("digits_cnn_digits/rwp*/seed0")
    first, second, *_ = MEASURED
    before = (folder / second).read_bytes()
    (folder / second).unlink()
    assert "1 to run" in call(*options)
    assert (folder / second).read_bytes() == before
    (folder / second).unlink()
    shutil.rmtree(folder / "training")
    assert " to run" not in call(*options)
    assert not (folder / second).exists()
    (folder / first).unlink()
    call(*options)
    assert (folder / second).read_bytes() == before


def test_further_sharpness_of_an_untrained_network_is_measured_where_its_file_is(tiny, tmp_path):
    options = [STUDY_FILE, "--out", tmp_path, "--only", "resnet20_cifar10_tuned/original", *tiny]
    call(*options)
    folder = tmp_path / "resnet20_cifar10_tuned" / "original" / "seed0"
    before = {name: (folder / name).read_bytes() for name in MEASURED}
    for name in MEASURED[1:]:
        (folder / name).unlink()
    call(*(one for one in options if one not in ("--checkpoints", tiny[tiny.index("--checkpoints") + 1])))
    assert [path.name for path in folder.glob("sharpness*")] == MEASURED[:1]
    call(*options)
    assert {name: (folder / name).read_bytes() for name in MEASURED} == before


def test_further_sharpness_alone_trains_nothing_that_others_begin_with(finished):
    options = [*STUDY, "--out", finished]
    (folder,) = finished.glob("digits_cnn_digits/rwp*/seed0")
    (folder / MEASURED[1]).unlink()
    shutil.rmtree(finished / "digits_cnn_digits" / "pretraining" / "seed0" / "training")
    text = call(*options)
    assert "pretraining" not in text
    assert (folder / MEASURED[1]).is_file()


def test_sharpness_of_other_images_is_refused(finished):
    options = [*STUDY, "--out", finished]
    (folder,) = finished.glob("digits_cnn_digits/rwp*/seed0")
    part = folder / MEASURED[1]
    part.write_text(part.read_text().replace('"limit": 20', '"limit": 7'))
    shutil.rmtree(folder / "training")
    assert "limit: the run there has 7, this one 20" in error(*options)


def test_cell_that_is_half_done_trains_again_where_its_checkpoint_is_gone(finished):
    options = [*STUDY, "--out", finished]
    (values,) = finished.glob("digits_cnn_digits/rwp*/seed0/run.csv")
    before = values.read_bytes()
    values.unlink()
    for name in ("training", "run"):
        for folder in finished.glob(f"*/**/seed*/{name}"):
            shutil.rmtree(folder)
    text = call(*options)
    assert "] digits_cnn_digits/pretraining/seed0" in text
    assert values.read_bytes() == before


def test_first_seed_of_every_method_is_done_first(tmp_path):
    text = call("fig2", "--out", tmp_path, "--only", "digits_cnn_digits/sgd", *TINY, "--seeds", "0,1")
    seeds = [line[-1] for line in text.splitlines() if re.match(r"\[\d+/\d+\] .*/sgd", line)]
    assert len(set(seeds)) == 2
    assert seeds == sorted(seeds)


def test_networks_learn_from_the_one_that_they_begin_with(tmp_path):
    file = tmp_path / "mine.toml"
    text = STUDY_FILE.read_text()
    old = 'options = { method = "sgd" }\npasses = 1\ngrid = {}'
    assert text.count(old) == 1
    text = text.replace(old, old.replace("}", ', teacher = "start", distill_weight = 0.9 }', 1))
    file.write_text(text.replace('["sgd", "sam", ', '["sam", '))
    call(file, "--out", tmp_path / "out", "--only", "digits_cnn_digits/sgd/", *TINY)
    folder = tmp_path / "out" / "digits_cnn_digits" / "sgd" / "seed0"
    asked = load_part(folder / "training.json")["asked"]
    assert (asked["teacher"], asked["distill_weight"]) == ("start", 0.9)
    taught = tomllib.loads((folder / "training" / "train.toml").read_text())["distilled_from"]
    start = load_checkpoint(tmp_path / "out" / "digits_cnn_digits" / "pretraining" / "seed0" / "training" / CHECKPOINT)
    assert taught["sha256"] == start.sha256


def test_candidates_are_scored_with_calibration_images_as_in_training(tiny, tmp_path, monkeypatch):
    seen = []

    def made_up(model, criterion, held_out, calibration, *, seed):
        seen.append((criterion, held_out.image_set, calibration.image_set, seed))
        return {"score": 0.0, "conditions": {}}

    monkeypatch.setattr(cells, "score_network", made_up)
    call(STUDY_FILE, "--out", tmp_path, "--only", "resnet20_cifar10_tuned/sgd_clip", *tiny)
    criterion, held_out, calibration, seed = seen[0]
    assert (criterion.instances, seed) == (2, 0)
    assert len(held_out) == 2
    train = open_data(tiny[3], "train", limit=20)
    plain = train.split(0.1, 0)[1]
    assert not torch.equal(calibration.images, plain.images)
    assert torch.equal(calibration.images, as_in_training(plain, seed=seed).images)


def test_products_are_in_bfloat16_where_the_file_says_so(tmp_path, monkeypatch):
    """In the score of the candidates and in the simulation, and nowhere else."""
    text = STUDY_FILE.read_text()
    old = "adabs = true\ncalibration_limit = 1000"
    assert text.count(old) == 1
    text = text.replace(old, f"bf16 = true\n{old}")
    text = text.replace("[networks.scales.mini.evaluation]\n", "[networks.scales.mini.evaluation]\nbf16 = true\n")
    (tmp_path / "mine.toml").write_text(text)
    out = tmp_path / "out"
    seen = {}

    def listen(name):
        real = getattr(score, name)

        def heard(*arguments, **options):
            seen[name] = options["bf16"]
            return real(*arguments, **options)

        monkeypatch.setattr(score, name, heard)

    listen("simulate_drift")
    listen("sweep_conductance_noise")
    call(tmp_path / "mine.toml", "--out", out, "--only", "digits_cnn_digits/sgd_clip", *TINY)
    assert seen == {"simulate_drift": True, "sweep_conductance_noise": True}
    (folder,) = out.glob("digits_cnn_digits/sgd_clip*/seed0")
    with open_run(folder / "run") as run:
        assert run.options["bf16"] is True
    assert load_part(folder / "run.json")["asked"]["bf16"] is True
    assert "bf16" not in load_part(folder / "training.json")["asked"]


def test_other_options_in_the_same_folder_are_refused(tiny, tmp_path):
    options = ["table1", "--out", tmp_path, "--only", "resnet20_cifar10/sgd", *tiny]
    call(*options)
    changed = [option if option != "20" else "30" for option in options]
    assert "limit: the run there has 20, this one 30" in error(*changed)


def test_test_images_that_are_the_training_images_are_refused(tiny, tmp_path):
    np.savez(tmp_path / "one.npz", images=np.zeros((40, 8, 8, 3), np.uint8), labels=np.arange(40) % 10)
    options = [f"npz:{tmp_path / 'one.npz'}" if option.startswith("npz:") else option for option in tiny]
    text = error("table1", "--out", tmp_path / "out", "--only", "resnet20_cifar10/sgd", *options)
    assert "the test images are the training images" in text
    assert list((tmp_path / "out").rglob("*.safetensors")) == [], "found before a network is trained"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "reproduce --list"),
        (["tabel1"], "did you mean 'table1'"),
        (["fig2"], "--only digits"),
        (["fig2", "--only", "nothing"], "no network has this in its name"),
        (["fig2", "--seeds", "a"], "seeds 'a': expected whole numbers or ranges"),
        (["fig2", "--limit-images", "0"], "--limit-images: expected a whole number of 1 or more"),
        ([STUDY_FILE, "--scale", "paper"], "scale 'paper': study has mini"),
        (["fig2", "--backend", "lokky"], "did you mean 'loky'"),
    ],
    ids=str,
)
def test_mistake_is_explained_and_nothing_is_written(tmp_path, arguments, expected):
    assert expected in error(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_worst_case_figure_agrees_with_the_closed_form(tmp_path):
    shows = load_experiment("fig1").shows
    assert isinstance(shows, WorstCase)
    curves = worst_case_curves(shows)
    assert largest_deviation(curves) < 1e-12
    named = {(c.title, c.clip): c for c in curves}
    outlier = named["SAMSON p=inf", 0.15]
    assert max(outlier.weights) == pytest.approx(0.15)
    assert outlier.eps[-1] == pytest.approx(0.5)  # the outlier moves by rho, whatever the range
    assert set(named["SAM", 0.1].eps) == {0.05}
    w = np.array(named["SAMSON p=2", 0.2].weights)
    by_hand = 0.5 * np.abs(w) / np.sqrt((w**2).sum())
    np.testing.assert_allclose(named["SAMSON p=2", 0.2].eps, by_hand, rtol=1e-12)
    np.testing.assert_allclose(closed_form(w, "asam", 0.5, None), 0.5 * np.abs(w))


def test_worst_case_figure_is_written_in_seconds(tmp_path):
    started = time.monotonic()
    text = call("fig1", "--out", tmp_path)
    assert time.monotonic() - started < 10
    assert "Largest deviation of the ascent step" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("fig1.csv", "fig1.md", "fig1.png", "fig1.svg", "fig1.txt", "fig1_raw.csv")
    ]
    assert len(rows(tmp_path / "fig1_raw.csv")) == 4 * 3 * 100


@pytest.mark.parametrize("out", ["nets.py", "nets.py/new"])
def test_results_are_refused_where_a_file_is(tmp_path, out):
    (tmp_path / "nets.py").write_text("kept")
    place = tmp_path / out
    for write in (
        lambda: call("fig1", "--out", place),
        lambda: write_part(place / "part.json", {}, {}),
        lambda: write_choices([], place / "choices.json"),
    ):
        with pytest.raises(RunError, match=f"{out}: cannot be made .*; choose another output folder"):
            write()
    with pytest.raises(RunError, match=r"digits_cnn_digits/sgd/seed0/training: cannot be .*Not a directory"):
        call("fig2", "--only", "digits", *TINY, "--out", place)
    assert (tmp_path / "nets.py").read_text() == "kept"


def test_killed_run_goes_on_and_ends_with_the_same_numbers(tmp_path):
    """Killed without warning as soon as the first network is finished; compared to a run that was left alone."""
    options = ["fig2", "--only", "digits_cnn_digits/samson", *TINY]
    code = "import sys; from tests_app import main; main(sys.argv[1:])"
    (tmp_path / "tests_app.py").write_text(
        "import typer\nfrom analog_samson.cli.reproduce import reproduce\n"
        "def main(arguments):\n    app = typer.Typer()\n    app.command()(reproduce)\n    app(arguments)\n"
    )
    killed = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options, "--out", str(killed)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 40
    while not list(killed.glob("*/*/seed0/run.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(killed.glob("*/*/seed0/run.json")))
    assert 1 <= done < 4
    assert f"{done} of 4 networks are finished" in call(*options, "--out", killed)
    call(*options, "--out", tmp_path / "whole")
    for suffix in ("_raw.csv", ".csv", ".txt"):
        name = f"fig2_mini{suffix}"
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_networks_are_named_by_their_settings():
    networks = networks_of(load_experiment("fig2"))
    assert {s.name for s in networks.settings} >= {s for scale in networks.own.scales.values() for s in scale.settings}
