"""Where device noise is drawn, and batches that are fetched while the one before is in use."""

import threading
from pathlib import Path

import pytest
import torch
from networks import seeded
from small import SMALL, Small, small_options
from torch import nn

from analog_samson import load_preset, plan_conversion
from analog_samson.analysis.comparison import compare, refuse_unequal
from analog_samson.analysis.runs import read_runs
from analog_samson.chip.matrix import TileMatrix
from analog_samson.chip.noise import noise_model
from analog_samson.crossbar.plan import crossbar_placements
from analog_samson.data import Normalization, open_data
from analog_samson.data.ahead import ahead
from analog_samson.data.batches import Batches
from analog_samson.errors import OptionError, RunError
from analog_samson.report.provenance import settings
from analog_samson.results.condition import Condition
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import RunFolder, open_run
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.gaussian import noisy_weights
from analog_samson.simulation.options import VOLATILE
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config, stored_options

PCM = load_preset("pcm_nandakumar_2019")
DAY = Condition(stage="drift", time_seconds=86400.0)


def chip_weights(model: nn.Module, preset=PCM, **options) -> list[torch.Tensor]:
    """The weights of a chip after a day, on the CPU."""
    device = SimulatedDevice(model, plan_conversion(model, preset), **options)
    with device.program(seed=3, instance=1).at(DAY) as network:
        return [weight.detach().cpu().clone() for weight in network.parameters() if weight.ndim > 1]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", [PCM.name, "reram_wan_2022_stuck_devices"])
@pytest.mark.parametrize("read_noise", ["per_condition", "per_read"])
def test_every_draw_of_device_noise_follows_the_stream_of_its_device(monkeypatch, name, read_noise) -> None:
    """The stream of a GPU stands for any other than the CPU's global one."""
    model, preset = seeded(Small), load_preset(name)
    usual = chip_weights(model, preset, read_noise=read_noise)
    monkeypatch.setattr(TileMatrix, "_stream", lambda self: torch.default_generator)
    assert same(chip_weights(model, preset, read_noise=read_noise), usual)
    others = []
    for seed in (0, 0, 1):
        own = torch.Generator().manual_seed(seed)
        monkeypatch.setattr(TileMatrix, "_stream", lambda self, own=own: own)
        others.append(chip_weights(model, preset, read_noise=read_noise))
    assert same(others[0], others[1])
    assert not same(others[0], others[2])
    assert not same(others[0], usual)


def test_noise_model_with_a_stream_leaves_that_of_the_cpu_alone() -> None:
    noise = noise_model(PCM)
    noise.stream = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    programmed, kept = noise.apply_programming_noise(torch.linspace(-1, 1, 40).view(4, 10))
    noise.apply_drift_noise(programmed, kept, 3600.0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_noise_of_a_gpu_without_one_is_refused_and_nothing_is_written(tmp_path: Path, device) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    options = small_options(tmp_path, images=30, tested=20, device=device, noise_device="cuda")
    expected = "give --device cuda too" if device == "cpu" else "torch sees no CUDA device here; use cpu"
    with pytest.raises(OptionError, match=expected):
        run_simulation(options, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    model = seeded(Small)
    with pytest.raises(OptionError, match="on the GPU that has the network, which is on cpu"):
        SimulatedDevice(model, plan_conversion(model, PCM), noise_device="cuda")
    placements = crossbar_placements(model)
    with (
        pytest.raises(OptionError, match="on the GPU that has the network"),
        noisy_weights(model, placements, 0.1, 0, 0, "cuda"),
    ):
        pass


def test_run_says_where_its_noise_was_drawn_and_is_not_continued_with_other_noise(tmp_path: Path) -> None:
    options, trusted = small_options(tmp_path, images=30, tested=20, instances=1), [SMALL["model"]]
    run_simulation(options, tmp_path / "cpu").close()
    assert "noise_device" not in (tmp_path / "cpu" / RUN_FILE).read_text()  # as runs before the option
    assert read_config(tmp_path / "cpu", trusted).noise_device == "cpu"
    on_gpu = stored_options(options.model_copy(update={"noise_device": "cuda"}), [PCM])
    with pytest.raises(RunError, match="noise_device: the run there has none, this one 'cuda'"):
        RunFolder.create(tmp_path / "cpu", on_gpu, volatile=VOLATILE)
    run_simulation(options, tmp_path / "gpu").close()
    file = tmp_path / "gpu" / RUN_FILE  # stands for a run with noise of a GPU, which there is none of here
    file.write_text(file.read_text() + 'noise_device = "cuda"\nlabel = "other"\n')
    assert read_config(tmp_path / "gpu", trusted).noise_device == "cuda"
    with open_run(tmp_path / "cpu") as first, open_run(tmp_path / "gpu") as second:
        runs = read_runs([first, second])
    assert {one.name: one.values for one in settings(runs)}["noise_device"] == ("not given", "cuda")
    with pytest.raises(RunError, match="noise_device differs: cpu and cuda"):
        refuse_unequal(runs)
    assert all(pair.obstacles and not pair.steps for pair in compare(runs))


def test_items_come_in_order_and_the_next_is_made_while_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in ahead(items()):
        assert made[min(number + 1, 2)].wait(30)
    assert list(ahead([])) == []


def test_error_in_an_item_is_raised_where_it_is_due() -> None:
    found = ahead(1 // number for number in (1, 0))
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_ahead_that_is_left_early_ends_its_thread() -> None:
    before = threading.active_count()
    for _ in ahead(range(10)):
        break
    assert threading.active_count() == before


@pytest.mark.gpu
@pytest.mark.parametrize("read_noise", ["per_condition", "per_read"])
def test_chips_of_the_cpu_are_the_same_on_a_gpu_and_those_of_the_gpu_are_others(read_noise) -> None:
    model = seeded(Small)
    usual = chip_weights(model, read_noise=read_noise)
    on_gpu = seeded(Small).cuda()
    for mine, other in zip(chip_weights(on_gpu, read_noise=read_noise), usual, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
    drawn = [chip_weights(on_gpu, read_noise=read_noise, noise_device="cuda") for _ in range(2)]
    assert same(*drawn)
    assert not any(torch.allclose(mine, other, atol=1e-4) for mine, other in zip(drawn[0], usual, strict=True))


@pytest.mark.gpu
def test_gaussian_noise_of_a_gpu_is_named_by_the_seed() -> None:
    model = seeded(Small).cuda()
    placements, found = crossbar_placements(model), []
    for device in ("cuda", "cuda", "cpu"):
        with noisy_weights(model, placements, 0.1, 0, 0, device):
            found.append([weight.detach().cpu().clone() for weight in model.parameters()])
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.gpu
def test_batches_that_are_fetched_ahead_are_those_of_the_cpu(monkeypatch) -> None:
    images, normalization = open_data("digits", "test"), Normalization((0.5,), (0.5,))
    expected = list(Batches(images, normalization, batch_size=64, device="cpu"))
    monkeypatch.setattr("analog_samson.data.batches._KEPT_ON_DEVICE", 0)
    found = list(Batches(images, normalization, batch_size=64, device="cuda"))
    assert len(found) == len(expected)
    for (x, y), (mine, label) in zip(expected, found, strict=True):
        assert mine.device.type == "cuda"
        torch.testing.assert_close(mine.cpu(), x)
        assert torch.equal(label.cpu(), y)
