"""A run from end to end: folder, resumption, repetition."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from networks import seeded
from small import SMALL, Small, small_options
from torch import nn

from analog_samson.errors import AnalogSamsonError, DataError, OptionError, PlanError, RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.command import make_report
from analog_samson.results.runfile import repeated_run
from analog_samson.results.store import open_run
from analog_samson.simulation.jobs import count_cells
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config


@pytest.fixture
def options(tmp_path):
    return small_options(tmp_path, images=240, tested=150, sigmas=(0.0, 0.2), instances=2)


def csv(folder: Path) -> str:
    return make_report([folder], "csv", out=None, html=False, say=lambda text: None)


@pytest.mark.parametrize(
    "wrong",
    [{"target_halfwidth": 0.5, "instances": 1}, {"target_halfwidth": -1.0}, {"times": ()}],
    ids=["pilot", "width", "times"],
)
def test_run_when_its_extent_is_wrong_is_refused_before_there_is_a_folder(options, wrong):
    with pytest.raises(OptionError):
        options.replace(**wrong)


def test_run_when_finished_holds_every_cell_and_describes_itself(options, tmp_path):
    with run_simulation(options, tmp_path / "run", command="analog-samson simulate ...") as run:
        accuracies = [r for r in run.records() if r.metric == "accuracy_percent"]
        assert len(accuracies) == 1 + 4 + 3
        assert [r.value for r in accuracies if r.stage == "digital"] == [100.0]
        assert run.meta("hardware")["analog_parameters_percent"] == pytest.approx(100 * 228 / 243)
        assert [row["action"] for row in run.meta("plan")] == ["analog", "digital", "analog"]
        assert run.meta("data")["count"] == 150
        assert run.meta("preset")["name"] == "pcm_nandakumar_2019"
        assert run.meta("checkpoint")["normalization"].startswith("half")


def test_run_when_repeated_elsewhere_exports_the_same_bytes(options, tmp_path):
    for name in ("a", "b"):
        run_simulation(options, tmp_path / name).close()
    run_simulation(read_config(tmp_path / "a" / "run.toml", SMALL.values()), tmp_path / "c").close()
    assert csv(tmp_path / "a") == csv(tmp_path / "b") == csv(tmp_path / "c")


def test_run_when_interrupted_anywhere_continues_to_the_same_bytes(options, tmp_path):
    run_simulation(options, tmp_path / "whole").close()
    for stop in range(count_cells(options)):
        steps = iter(range(stop))

        def progress(text, steps=steps):
            if next(steps, None) is None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_simulation(options, tmp_path / f"stopped{stop}", progress=progress)
        run_simulation(options, tmp_path / f"stopped{stop}").close()
        assert csv(tmp_path / f"stopped{stop}") == csv(tmp_path / "whole")


@pytest.mark.parametrize("changed", ["checkpoint", "data", "calibration"])
def test_run_when_a_file_has_new_contents_is_not_continued_with_them(options, tmp_path, changed):
    options = options.replace(calibrate=("adabs",))
    with run_simulation(options, tmp_path / "run") as run:
        before, stored = csv(tmp_path / "run"), run.meta(changed)
    if changed == "checkpoint":
        save_checkpoint(tmp_path / "net.safetensors", seeded(Small, 1), SMALL)
    else:
        path = tmp_path / ("test.npz" if changed == "data" else "train.npz")
        arrays = dict(np.load(path))
        arrays["images"][0] += 1
        np.savez(path, **arrays)
    with pytest.raises(RunError, match=rf"other contents.*\n  {changed}: the run there has \w{{12}}, this one"):
        run_simulation(options, tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert run.meta(changed) == stored
    assert csv(tmp_path / "run") == before


def test_simulate_when_killed_continues_to_the_same_bytes(options, tmp_path):
    options = options.replace(instances=60)
    run_simulation(options, tmp_path / "whole").close()
    code = (
        "import sys; from pathlib import Path; from analog_samson.simulation.options import SimulateOptions; "
        "from analog_samson.simulation.run import run_simulation; "
        f"run_simulation({options!r}, Path({str(tmp_path / 'killed')!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not _has_drift(tmp_path / "killed"):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it finished before it could be killed"
    with open_run(tmp_path / "killed") as run:
        assert len(run.records()) < 60 * 2 * 3
    run_simulation(options, tmp_path / "killed").close()
    assert csv(tmp_path / "killed") == csv(tmp_path / "whole")


def _has_drift(folder: Path) -> bool:
    try:
        with open_run(folder) as run:
            return any(record.stage == "drift" for record in run.records())
    except AnalogSamsonError:
        return False


def test_run_when_folder_holds_another_run_names_the_difference(options, tmp_path):
    run_simulation(options, tmp_path / "run").close()
    with pytest.raises(RunError, match="seed"):
        run_simulation(options.replace(seed=1), tmp_path / "run")


@pytest.mark.parametrize("preset", ["pcm_rasch_2023", "gaussian_joshi_2020", "ideal"])
def test_run_when_other_preset_repeats_bit_for_bit(preset, options, tmp_path):
    options = options.replace(preset=preset, sigmas=(), calibrate=("adabs",))
    for name in ("a", "b"):
        run_simulation(options, tmp_path / name).close()
    assert csv(tmp_path / "a") == csv(tmp_path / "b")


@pytest.mark.compiled_tile
def test_run_when_engine_is_aihwkit_agrees_within_sampling_error(options, tmp_path):
    """Perfect converters: the same programmed weights, so the same predictions up to rounding."""
    means = []
    for engine in ("fast", "aihwkit"):
        with run_simulation(options.replace(engine=engine, sigmas=()), tmp_path / engine) as run:
            means.append([r.value for r in run.records() if r.metric == "loss"])
    assert means[0] == pytest.approx(means[1], rel=1e-4)


def test_run_when_data_does_not_fit_leaves_nothing_behind(options, tmp_path):
    images = np.zeros((4, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "colour.npz", images=images, labels=np.array([0, 1, 2, 0]))
    with pytest.raises(DataError, match="3 channels"):
        run_simulation(options.replace(data=f"npz:{tmp_path / 'colour.npz'}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_when_class_count_disagrees_is_refused(options, tmp_path):
    np.savez(tmp_path / "many.npz", images=np.zeros((4, 4, 4), np.uint8), labels=np.array([0, 1, 2, 6]))
    with pytest.raises(DataError, match="3 outputs but the data has 7 classes"):
        run_simulation(options.replace(data=f"npz:{tmp_path / 'many.npz'}"), tmp_path / "run")


def test_run_when_options_are_wrong_lists_all_faults(options):
    with pytest.raises(AnalogSamsonError, match="2 problems"):
        options.replace(instances=0, batch_size=0)


def test_read_config_when_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"run\.toml: no such file; expected the run\.toml of a run"):
        read_config(tmp_path / "run.toml")
    (tmp_path / "mine.toml").write_text("seed =")
    with pytest.raises(RunError, match=r"mine\.toml: cannot be read as TOML"):
        read_config(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('adabs = "no"', "adabs: unknown option"),
        ('calibrate = ["no"]', "calibrate: expected one of adabs, affine, got 'no'"),
        ("instances = 2.5", "instances: expected a whole number of 1 or more, got 2.5"),
        ("instances = true", "instances: expected a whole number of 1 or more, got True"),
        ("times = 3600.0", "times: expected a list of 1 or more, each a finite number of 0 or more, got 3600.0"),
        ('threads = "1"', "threads: expected a whole number of 1 or more, got '1'"),
        ("seed = 2020-01-01", "seed: expected a whole number, got datetime.date(2020, 1, 1)"),
        ("checkpoint", "checkpoint: missing"),
    ],
)
def test_config_of_another_kind_is_told_by_option(line, told, options, tmp_path):
    run_simulation(options, tmp_path / "a").close()
    text = (tmp_path / "a" / "run.toml").read_text()
    kept = [one for one in text.splitlines() if not one.startswith(line.split(" = ")[0] + " = ")]
    copy = tmp_path / "mine.toml"
    copy.write_text("\n".join([*kept, line if "=" in line else ""]))
    if line.startswith("times"):
        copy.write_text(re.sub(r"times = \[[^]]*\]", line, text))
    with pytest.raises(RunError, match=re.escape(told)):
        read_config(copy)


def test_run_when_it_goes_on_keeps_what_its_values_were_made_with(options, tmp_path):
    run_simulation(options, tmp_path / "run", command="the first").close()
    with run_simulation(options, tmp_path / "run", command="another") as run:
        assert run.meta("command") == "the first"


def test_run_when_the_code_of_the_model_changed_is_refused(options, tmp_path, monkeypatch):
    run_simulation(options, tmp_path / "run").close()
    monkeypatch.setattr(Small, "forward", lambda self, x: 1.1 * self.head(self.body(x).reshape(len(x), -1)))
    with pytest.raises(RunError, match=r"of other contents: 1 problem\n  outputs: the run there has "):
        run_simulation(options, tmp_path / "run")
    with pytest.raises(RunError, match="outputs: the run there has"):
        run_simulation(options, tmp_path / "again", repeats=tmp_path / "run")
    assert not (tmp_path / "again").exists()


def test_run_in_which_nothing_was_measured_gives_way_to_another(options, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise PlanError("no such layer")

    with monkeypatch.context() as patch:
        patch.setattr("analog_samson.simulation.device.mount", fail)
        with pytest.raises(PlanError):
            run_simulation(options.replace(seed=3), tmp_path / "run", command="the first")
    with run_simulation(options, tmp_path / "run", command="another") as run:
        assert (run.options["seed"], run.meta("command"), run.is_empty()) == (options.seed, "another", False)
    run_simulation(options, tmp_path / "clean").close()
    assert csv(tmp_path / "run") == csv(tmp_path / "clean")


def test_run_with_adabs_but_no_batch_norm_leaves_nothing_behind(options, tmp_path):
    model = seeded(Plain)
    save_checkpoint(tmp_path / "norm.safetensors", model, {"model": "test_simulation:Plain"})
    plain = options.replace(
        checkpoint=str(tmp_path / "norm.safetensors"), model="test_simulation:Plain", calibrate=("adabs",)
    )
    with pytest.raises(OptionError, match="no batch-norm layer"):
        run_simulation(plain, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_of_a_network_that_answers_with_nan_is_refused(options, tmp_path, monkeypatch):
    monkeypatch.setattr(Small, "forward", lambda self, x: self.head(self.body(x).reshape(len(x), -1)).mul(-1).log())
    with pytest.raises(DataError, match=r"answers npz:test\.npz with NaN"):
        run_simulation(options, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_config_may_be_a_folder_its_file_or_a_copy_of_any_name(options, tmp_path):
    run_simulation(options, tmp_path / "a").close()
    copy = tmp_path / "mine.toml"
    copy.write_bytes((tmp_path / "a" / "run.toml").read_bytes())
    read = [read_config(path, SMALL.values()) for path in (tmp_path / "a", tmp_path / "a" / "run.toml", copy)]
    assert read[0] == read[1] == read[2]
    assert (repeated_run(tmp_path / "a"), repeated_run(copy)) == (tmp_path / "a", None)


def test_real_resnet20_when_simulated_scores_as_published_and_falls_over_a_year(shared, tmp_path):
    """The published checkpoint on 300 real images, one chip: digital near 91.7 %, below it after a year."""
    options = SimulateOptions(
        checkpoint=str(shared / "checkpoints/resnet20-12fca82f.th"),
        model="resnet20",
        data=f"npz:{shared / 'data/cifar10_test.npz'}",
        preset="pcm_nandakumar_2019",
        times=(31536000.0,),
        sigmas=(),
        instances=1,
        limit=300,
        threads=1,
    )
    with run_simulation(options, tmp_path / "run") as run:
        accuracy = {r.stage: r.value for r in run.records() if r.metric == "accuracy_percent"}
    assert accuracy["digital"] == pytest.approx(91.7, abs=3)
    assert 60 < accuracy["drift"] < accuracy["digital"]


def test_run_when_calibration_is_coloured_sees_it_as_training_does(tmp_path):
    """Augmented by default, the same way each time; plain on demand; and it changes what AdaBS finds."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", images=pixels[:30], labels=np.arange(30) % 3)
    np.savez(tmp_path / "train.npz", images=pixels[30:], labels=np.arange(60) % 3)
    save_checkpoint(tmp_path / "net.safetensors", seeded(Coloured), {"model": "test_simulation:Coloured"})
    options = SimulateOptions(
        checkpoint=str(tmp_path / "net.safetensors"),
        model="test_simulation:Coloured",
        data=f"npz:{tmp_path / 'test.npz'}",
        calibration_data=f"npz:{tmp_path / 'train.npz'}",
        preset="ideal",
        times=(1.0,),
        sigmas=(),
        instances=1,
        calibrate=("adabs",),
    )
    for name, changes in (("a", {}), ("b", {}), ("plain", {"calibration_augment": False})):
        run_simulation(options.replace(**changes), tmp_path / name).close()
    assert csv(tmp_path / "a") == csv(tmp_path / "b") != csv(tmp_path / "plain")


class Plain(Small):
    """Without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body[1] = nn.GroupNorm(1, 4)


class Coloured(Small):
    """Three classes of 3 x 8 x 8 images."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.head = nn.Linear(256, 3)
