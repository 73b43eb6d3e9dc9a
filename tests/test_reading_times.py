"""When devices are read, and when networks are calibrated: once a condition or in each pass, at the test or before."""

import copy
from contextlib import contextmanager

import pytest
import torch
from device_cases import changed
from networks import seeded
from small import small_options
from torch import nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, simulate_drift
from analog_samson.analysis.labels import calibration_title
from analog_samson.chip.batchnorm import batchnorm_state
from analog_samson.chip.calibration import CALIBRATIONS, CalibrationMethod
from analog_samson.chip.device.read import read_deviation
from analog_samson.errors import OptionError
from analog_samson.report.command import make_report
from analog_samson.results.condition import Condition, calibration_parts
from analog_samson.simulation.jobs import count_cells
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation

HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0
PCM = load_preset("pcm_nandakumar_2019")
AT_DAY = Condition(stage="drift", time_seconds=DAY)
STUCK = {
    "model": "stuck",
    **dict.fromkeys(("stuck_at_g_min", "stuck_at_random", "open_rows", "open_columns"), 0.0),
    "stuck_at_g_max": 0.3,
    "occurrence": "before_verify",
    "compensation": "none",
    "spare_rows": 0,
    "spare_columns": 0,
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture(scope="module")
def model():
    return seeded(network)


@pytest.fixture(scope="module")
def batches():
    x = torch.randn(90, 6, generator=torch.Generator().manual_seed(0))
    return list(
        zip(x.split(30), torch.randint(3, (90,), generator=torch.Generator().manual_seed(1)).split(30), strict=True)
    )


@pytest.fixture
def spy(monkeypatch):
    """A calibration that notes the weights which each of its passes sees."""
    seen = []

    @contextmanager
    def within(found, data, run):
        for batch in data:
            run(found, batch)
            seen.append(found[0].weight.detach().clone())
        yield

    monkeypatch.setitem(CALIBRATIONS, "spy", CalibrationMethod(title="spy", within=within))
    return seen


def passes(device, condition=AT_DAY, *, count=3, seed=0, instance=0):
    """The first layer's weights in each of several passes."""
    found = []
    with device.program(seed, instance).at(condition) as analog:
        for _ in range(count):
            analog(torch.ones(2, 6))
            found.append(analog[0].weight.detach().clone())
    return found


def built(model, preset=PCM, **options):
    return SimulatedDevice(model, plan_conversion(model, preset), **options)


def distinct(tensors):
    return len({one.numpy().tobytes() for one in tensors})


def test_passes_when_read_anew_differ_and_repeat_whatever_was_done_before(model):
    assert distinct(passes(built(model))) == 1
    device = built(model, read_noise="per_read")
    first = passes(device)
    assert distinct(first) == 3
    passes(device, Condition(stage="drift", time_seconds=HOUR))
    assert all(torch.equal(a, b) for a, b in zip(first, passes(device, count=5)[:3], strict=True))
    assert distinct([*first, *passes(device, instance=1)]) == 6


def test_passes_when_read_anew_at_programming_are_unread(model):
    programmed = Condition(stage="drift", time_seconds=0.0)
    assert torch.equal(passes(built(model, read_noise="per_read"), programmed)[2], passes(built(model), programmed)[0])


def test_reads_when_there_are_many_have_the_spread_of_the_preset():
    single = nn.Linear(4, 200, bias=False)
    nn.init.constant_(single.weight, 1.0)
    quiet = changed("pcm_nandakumar_2019", programming={"model": "none"}, drift={"model": "none"})
    device = SimulatedDevice(single, plan_conversion(single, quiet), read_noise="per_read")
    seen = []
    with device.program(0, 0).at(AT_DAY) as analog:
        for _ in range(40):
            analog(torch.ones(1, 4))
            seen.append(analog.weight.detach().clone())
    top = torch.tensor([quiet.device.g_max_microsiemens])
    expected = read_deviation(top, top, quiet.read, quiet.device, DAY).item() / top.item()
    # 32,000 reads of equal devices; drift compensation multiplies all of them by one factor near 1.
    assert torch.stack(seen).std(0).mean().item() == pytest.approx(expected, rel=0.02)
    assert torch.stack(seen).mean(0).std().item() < expected / 5


def test_compensation_when_read_anew_has_a_reading_of_its_own_that_stays(model):
    factors = {}
    for choice in ("per_condition", "per_read"):
        device = built(model, read_noise=choice)
        with device.program(0, 0).at(AT_DAY) as analog:
            found = []
            for _ in range(2):
                analog(torch.ones(1, 6))
                found.append([float(tile.alpha) for tile in analog.analog_tiles()])
        assert found[0] == found[1]
        factors[choice] = found[0]
    assert factors["per_condition"] != factors["per_read"]


@pytest.mark.parametrize(("read_noise", "different"), [("per_condition", 1), ("per_read", 6)])
def test_calibration_when_devices_are_read_anew_sees_other_reads_than_the_test(
    model, batches, spy, read_noise, different
):
    device = built(model, calibration=batches, read_noise=read_noise)
    tested = passes(device, Condition(stage="drift", time_seconds=DAY, calibration="spy"))
    assert distinct([*spy, *tested]) == different


@pytest.mark.parametrize("name", ["reram_cmo_2024_accept_0p2", "reram_cmo_2024_accept_0p2_pair"])
def test_reads_when_made_anew_leave_relaxation_as_it_is(model, name):
    silent = changed(name, read={"model": "logarithmic_flicker", "t_read_seconds": 1e-6, "strength_microsiemens": 0.0})
    assert distinct(passes(built(model, silent, read_noise="per_read"))) == 1
    assert distinct(passes(built(model, load_preset(name), read_noise="per_read"))) == 3


def test_reads_when_made_anew_reach_the_healthy_devices_of_faulty_weights(model):
    device = built(model, changed("pcm_nandakumar_2019", faults=STUCK), read_noise="per_read")
    calm = built(model, changed("pcm_nandakumar_2019", faults=STUCK | {"stuck_at_g_max": 1.0}), read_noise="per_read")
    seen = torch.stack(passes(device))
    assert (seen.std(0) > 0).double().mean() > 0.85  # 0.3 squared of the pairs are stuck whole
    assert distinct(passes(calm)) == 1


def test_adabs_when_devices_are_read_anew_has_other_statistics(model, batches):
    found = []
    for choice in ("per_condition", "per_read"):
        device = built(model, calibration=batches, read_noise=choice)
        with device.program(0, 0).at(Condition(stage="drift", time_seconds=DAY, calibration="adabs")) as analog:
            found.append(batchnorm_state(analog)["1.running_mean"])
    assert not torch.equal(*found)


def test_calibration_when_done_earlier_is_that_time_s_on_the_later_chip(model, batches):
    device = built(model, calibration=batches)
    x = batches[0][0]
    with (
        torch.no_grad(),
        device.program(0, 0).at(Condition(stage="drift", time_seconds=HOUR, calibration="adabs")) as a,
    ):
        early = copy.deepcopy(batchnorm_state(a))
    with torch.no_grad(), device.program(0, 0).at(Condition(stage="drift", time_seconds=YEAR)) as late:
        own = late(x)
        kept = batchnorm_state(late)
        late.load_state_dict(early, strict=False)
        expected = late(x)
        late.load_state_dict(kept, strict=False)
    aged = Condition(stage="drift", time_seconds=YEAR, calibration="adabs@3600.0")
    with torch.no_grad(), device.program(0, 0).at(aged) as network:
        found = network(x)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, own, atol=1e-3)
    with torch.no_grad(), device.program(0, 0).at(Condition(stage="drift", time_seconds=YEAR)) as after:
        assert torch.equal(after(x), own)  # nothing of the calibration remains


def test_affine_correction_when_done_earlier_differs_from_that_of_the_test(model, batches):
    device, answers = built(model, calibration=batches), []
    for calibration in ("none", "affine", "affine@3600.0"):
        condition = Condition(stage="drift", time_seconds=YEAR, calibration=calibration)
        with torch.no_grad(), device.program(0, 0).at(condition) as analog:
            answers.append(analog(batches[0][0]))
    assert distinct(answers) == 3


def test_simulation_when_calibrated_earlier_tests_later_times_beside_the_others(model, batches):
    options = {"times": "1s,1h,1d", "instances": 2, "seed": 0, "calibrate": ["adabs"], "calibration": batches}
    result = simulate_drift(model, PCM, batches, calibrate_at="1h", **options)
    plain = simulate_drift(model, PCM, batches, **options)
    aged = {(r.time_seconds, r.instance) for r in result.records if r.calibration == "adabs@3600.0"}
    assert aged == {(DAY, 0), (DAY, 1)}
    assert [r for r in result.records if r.calibration != "adabs@3600.0"] == list(plain.records)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"calibrate_at": 2 * DAY}, "calibrate_at: expected a time before the last of times, got 2d"),
        ({"calibrate_at": DAY}, "calibrate_at: expected a time before the last of times, got 1d"),
        ({"calibrate_at": -1.0}, "calibrate_at: expected finite seconds of 0 or more, got -1.0"),
        ({"calibrate_at": float("nan")}, "calibrate_at: expected finite seconds of 0 or more, got nan"),
        ({"calibrate_at": HOUR, "calibrate": []}, "calibrate_at: nothing is calibrated; give calibrate as well"),
        ({"read_noise": "per_reed"}, "read_noise: expected one of per_condition, per_read, got 'per_reed'.*'per_read'"),
    ],
)
def test_simulation_when_its_times_of_reading_cannot_be_is_refused(model, batches, wrong, message):
    options = {"times": [HOUR, DAY], "instances": 1, "seed": 0, "calibrate": ["adabs"], "calibration": batches} | wrong
    with pytest.raises(OptionError, match=message):
        simulate_drift(model, PCM, batches, **options)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"calibrate_at": "1h"}, "--calibrate-at: has no effect without --calibrate"),
        ({"calibrate_at": "1y", "calibrate": "adabs"}, "--calibrate-at 1y: --times has no later time"),
        ({"calibrate_at": "soon", "calibrate": "adabs"}, "--calibrate-at: .*soon"),
        ({"read_noise": "per_read", "preset": "ideal"}, "--read-noise: has no effect on ideal, for want of read noise"),
        ({"read_noise": "often"}, "--read-noise: expected one of per_condition, per_read, got 'often'"),
    ],
)
def test_options_when_nothing_could_come_of_them_are_refused(typed, message):
    with pytest.raises(OptionError, match=message):
        SimulateOptions.from_text({"checkpoint": "net.safetensors", "data": "digits", **typed})


def test_run_when_calibrated_earlier_stores_resumes_and_names_it(tmp_path):
    options = small_options(tmp_path, images=240, tested=150, sigmas=(), instances=2)
    options = options.replace(calibrate=("adabs",), calibrate_at=1.0, read_noise="per_read")
    with run_simulation(options, tmp_path / "whole") as run:
        cells = {(r.stage, r.calibration, r.time_seconds, r.instance) for r in run.records()}
    assert len(cells) == 1 + count_cells(options)
    assert sum(calibration_parts(cell[1]) == ("adabs", 1.0) for cell in cells) == 2
    steps = iter(range(4))

    def stop(text):
        if next(steps, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_simulation(options, tmp_path / "stopped", progress=stop)
    run_simulation(options, tmp_path / "stopped").close()
    texts = [
        make_report([tmp_path / name], kind, out=None, html=False, say=lambda text: None)
        for kind in ("csv", "md")
        for name in ("whole", "stopped")
    ]
    assert texts[0] == texts[1]
    assert "AdaBS at 1s" in texts[2]
    assert "has none" not in texts[2]


def test_calibration_title_when_the_time_cannot_be_read_is_the_stored_text():
    assert calibration_title("adabs@soon") == "adabs@soon"


@pytest.mark.compiled_tile
def test_reads_when_the_engine_is_aihwkit_are_made_anew_too():
    linear = seeded(lambda: nn.Sequential(nn.Linear(6, 8, bias=False)))
    device = SimulatedDevice(linear, plan_conversion(linear, PCM), engine="aihwkit", read_noise="per_read")
    seen = []
    with device.program(0, 0).at(AT_DAY) as analog:
        for _ in range(3):
            analog(torch.ones(2, 6))
            seen.append(next(analog.analog_tiles()).tile.get_weights().clone())
    assert distinct(seen) == 3
