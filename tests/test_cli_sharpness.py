"""`analog-samson sharpness`: tables, the raw rows, runs matched to checkpoints, and mistakes named before the work."""

import csv
import math

import numpy as np
import pytest
import torch
import typer
from synthetic_runs import synthetic_records, synthetic_run
from typer.testing import CliRunner

from analog_samson.analysis.robustness import robustness_of
from analog_samson.cli.sharpness import sharpness
from analog_samson.data import choose_normalization, open_data
from analog_samson.data.batches import Batches
from analog_samson.errors import AnalogSamsonError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.simulation import sharpness_study

app = typer.Typer()
app.command()(sharpness)
LOST, YEAR = "accuracy lost at sigma_c 0.4 [points]", "accuracy after 1y on pcm_nandakumar_2019 [%]"


def checkpoint(path, seed):
    """A digits network with weights drawn from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_checkpoint(path, build_model("digits_cnn"), {"model": "digits_cnn", "num_classes": 10, "in_channels": 1})
    return path


@pytest.fixture
def networks(tmp_path):
    return [checkpoint(tmp_path / f"net{seed}.safetensors", seed) for seed in range(5)]


def run_of(path, network, *, fall, sha256=None, label=None):
    """A run folder of one of the networks."""
    stored = {"path": str(network), "sha256": sha256 or load_checkpoint(network).sha256, "metadata": {}}
    return synthetic_run(path, label or network.stem, fall=fall, meta={"checkpoint": stored})


def call(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def error(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert isinstance(result.exception, AnalogSamsonError), (result.output, result.exception)
    assert result.output == ""
    return str(result.exception)


def options(networks, *more):
    named = [part for network in networks for part in ("--checkpoint", network)]
    return [*named, "--data", "digits", "--limit", "40", "--batch-size", "16", *more]


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_table_and_rows_hold_what_measure_sharpness_gives(networks, tmp_path):
    out = tmp_path / "rows.csv"
    text = call(*options(networks[:2], "--method", "samson", "--method", "keskar", "--p", "2", "--out", out))
    assert "40 images of digits train, selection weights_only, climbing steps 1" in text
    assert "the last minibatch has 8 of 16 images; minibatches count by their images" in text
    found = rows(out)
    assert [(row["checkpoint"], row["method"]) for row in found] == [
        (name, method) for name in ("net0", "net1") for method in ("samson", "keskar")
    ]
    for row in found:
        stored = load_checkpoint(tmp_path / f"{row['checkpoint']}.safetensors")
        images = open_data("digits", "train", limit=40)
        normalization, _ = choose_normalization(data_spec="digits", channels=1)
        batches = Batches(images, normalization, batch_size=16, device="cpu")
        expected = measure_sharpness(restore_model(stored), batches, method=row["method"], p=2.0)
        assert (float(row["value"]), float(row["loss"])) == (expected.value, expected.loss)
        assert (row["sha256"], row["samples"], row["batches"], row["batch_size"]) == (stored.sha256, "40", "3", "16")
        assert f"{expected.value:.5g}" in text


OPTIONS = {
    "--rho": "0.1",
    "--p": "2",
    "--selection": "paper",
    "--steps": "3",
    "--batch-size": "8",
    "--limit": "24",
    "--split": "test",
    "--normalization": "unit",
    "--method": "sam",
}


@pytest.mark.parametrize(("option", "value"), OPTIONS.items())
def test_every_option_matters(networks, tmp_path, option, value):
    call(*options(networks[:1]), "--out", tmp_path / "default.csv")
    call(*options(networks[:1]), option, value, "--out", tmp_path / "changed.csv")
    (default,), (changed,) = rows(tmp_path / "default.csv"), rows(tmp_path / "changed.csv")
    assert changed["value"] != default["value"]


def test_file_without_parts_is_not_called_the_training_part(networks, tmp_path):
    digits = open_data("digits", "test", limit=20)
    np.savez(tmp_path / "some.npz", images=digits.images.numpy()[:, 0], labels=digits.labels.numpy(), num_classes=10)
    text = call("--checkpoint", networks[0], "--data", f"npz:{tmp_path}/some.npz", "--out", tmp_path / "rows.csv")
    assert "20 images of npz:some.npz, selection weights_only" in text
    assert rows(tmp_path / "rows.csv")[0]["data"] == "npz:some.npz"


def test_same_command_gives_the_same_text_and_bytes(networks, tmp_path):
    texts = [call(*options(networks[:2], "--out", tmp_path / f"{i}.csv")).replace(f"{i}.csv", "") for i in range(2)]
    assert texts[0] == texts[1]
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()


def test_runs_give_robustness_and_correlations(networks, tmp_path):
    falls = (4.0, 8.0, 12.0, 16.0, 20.0)
    runs = [
        run_of(tmp_path / f"run{i}", net, fall=fall) for i, (net, fall) in enumerate(zip(networks, falls, strict=True))
    ]
    named = [part for run in runs for part in ("--robustness", run)]
    out = tmp_path / "rows.csv"
    text = call(*options(networks, "--method", "sam", *named, "--out", out))
    found = rows(out)
    expected = [robustness_of(synthetic_records(f"net{i}", fall=fall)) for i, fall in enumerate(falls)]
    for measure in (LOST, YEAR):
        assert [float(row[measure]) for row in found] == [each[measure] for each in expected]
        assert measure in text
    assert "Correlation over checkpoints, with its 95 % interval" in text
    assert "95 % intervals by Fisher's z" in text
    assert "of 6 are significant" in text
    line = next(line for line in text.splitlines() if line.startswith(f"  sam        {LOST}"))
    assert line.endswith(" 5")
    assert line.count("[") == 4  # one in the name of the measure, three intervals


def test_robustness_is_the_mean_accuracy_lost_between_0_and_0_4():
    records = synthetic_records(fall=10.0)
    by_sigma = {
        sigma: [r.value for r in records if r.sigma_c == sigma and r.metric == "accuracy_percent"]
        for sigma in (0.0, 0.4)
    }
    means = {sigma: math.fsum(values) / len(values) for sigma, values in by_sigma.items()}
    assert robustness_of(records)[LOST] == pytest.approx(means[0.0] - means[0.4])
    assert set(robustness_of(records)) == {LOST, YEAR}


def test_adabs_is_a_measure_of_its_own():
    records = [*synthetic_records(fall=10.0), *synthetic_records(fall=2.0, adabs=True)]
    found = robustness_of(records)
    assert set(found) == {LOST, YEAR, f"{LOST}, AdaBS", f"{YEAR}, AdaBS"}
    assert found[f"{LOST}, AdaBS"] < found[LOST]


def test_three_checkpoints_have_no_interval_and_it_is_said(networks, tmp_path):
    named = []
    for i in range(3):
        named += ["--robustness", run_of(tmp_path / f"run{i}", networks[i], fall=4.0 + i)]
    text = call(*options(networks[:3]), *named)
    assert "No correlation has an interval: too few checkpoints to say anything." in text
    assert "fewer than 4 checkpoints: no interval: every row" in text


def test_checkpoint_without_a_run_is_said_and_left_out(networks, tmp_path):
    run = run_of(tmp_path / "run", networks[0], fall=4.0)
    text = call(*options(networks[:2]), "--robustness", run, "--out", tmp_path / "rows.csv")
    assert "no run for net1: left out of the correlations" in text
    assert [row[LOST] == "" for row in rows(tmp_path / "rows.csv")] == [False, True]


def test_content_tells_a_run_even_where_its_label_is_another(networks, tmp_path):
    run = run_of(tmp_path / "run", networks[0], fall=4.0, label="net1")
    call(*options(networks[:2]), "--robustness", run, "--out", tmp_path / "rows.csv")
    assert [row[LOST] == "" for row in rows(tmp_path / "rows.csv")] == [False, True]


def test_label_tells_a_run_of_another_file_and_it_is_said(networks, tmp_path):
    run = run_of(tmp_path / "run", networks[1], fall=4.0, sha256="ab" * 32)
    text = call(*options(networks[:2]), "--robustness", run, "--out", tmp_path / "rows.csv")
    assert "matched to net1 by its label; it was made with another file (sha256 abab" in text
    assert [row[LOST] == "" for row in rows(tmp_path / "rows.csv")] == [True, False]


def test_checkpoints_in_run_folders_are_named_by_the_folder(tmp_path):
    networks = []
    for seed, name in enumerate(("sgd", "samson")):
        (tmp_path / name).mkdir()
        networks.append(checkpoint(tmp_path / name / "checkpoint.safetensors", seed))
    text = call(*options(networks))
    assert "\n  sgd         samson" in text
    assert "\n  samson      samson" in text


def test_mistakes_are_named_before_anything_is_measured(networks, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr(sharpness_study, "measure_sharpness", never)
    one, stranger = networks[:1], checkpoint(tmp_path / "stranger.safetensors", 9)
    empty = synthetic_run(tmp_path / "empty", "net0", records=synthetic_records("net0")[:2])
    foreign = run_of(tmp_path / "foreign", stranger, fall=4.0)
    first, second = (run_of(tmp_path / f"run{i}", networks[0], fall=4.0) for i in range(2))
    for arguments, words in (
        (options([]), "--checkpoint: missing"),
        (options(one, "--rho", "-1"), "--rho: expected a finite number of 0 or more, got '-1'"),
        (options(one, "--p", "0.5"), "--p: expected a number of 1 or more, got '0.5'"),
        (options(one, "--p", "2", "--method", "sam"), "p: has no effect with sam; leave it out or measure samson"),
        (options(one, "--selection", "weights"), "did you mean 'weights_only'"),
        (options(one, "--rho", "1", "--method", "sam", "--method", "asam"), "rho: one radius for 2 methods"),
        (options(one, "--method", "sam", "--method", "sam"), "method 'sam': given twice"),
        (options([networks[0], networks[0]]), "given twice"),
        (options([tmp_path / "none.pt"]), "no such file"),
        (options(one, "--model", "resnet20"), "does not fit the model"),
        (options(one, "--device", "tpu"), "device 'tpu'"),
        (options(one, "--robustness", tmp_path / "none"), "no such folder"),
        (options(one, "--robustness", foreign), "is of none of the checkpoints (net0)"),
        (options(one, "--robustness", empty), "holds neither sigma_c = 0 and 0.4 nor one year"),
        (options(one, "--robustness", first, "--robustness", second), f"net0 has '{YEAR}' from another run"),
        (options(one, "--out", tmp_path), "is a folder"),
        (options(one, "--out", tmp_path / "rows.txt"), "ends in .csv"),
        (options(one, "--out", tmp_path / "no" / "rows.csv"), "there is no folder"),
    ):
        assert words in error(*arguments)


def test_same_content_under_two_names_is_refused(networks, tmp_path):
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(networks[0].read_bytes())
    assert "checkpoints net0 and twin: the same content twice" in error(*options([networks[0], twin]))


def test_several_faults_are_named_at_once(networks):
    text = error(*options(networks[:1], "--rho", "1", "--method", "sam", "--method", "sam"))
    assert text.splitlines()[0] == "sharpness: 2 problems"
