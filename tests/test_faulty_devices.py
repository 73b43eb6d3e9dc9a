"""Devices that fail: where, at what, what the weights become, and what compensation and spare lines do about it."""

import copy

import numpy as np
import pytest
import torch
from device_cases import changed, weights
from torch import nn

from analog_samson import convert, load_preset, plan_conversion, rng, simulate_drift
from analog_samson.chip.device import weight_on_chip
from analog_samson.chip.device.faulty import compensated, damage, draw_stuck
from analog_samson.chip.noise import noise_model
from analog_samson.errors import PresetError
from analog_samson.presets import parse_preset
from analog_samson.presets.ablation import effects, only, without
from analog_samson.presets.device_faults import StuckDevices
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.variants import remedy_variants

DAY = 86400.0
NONE = {
    "model": "stuck",
    "stuck_at_g_min": 0.0,
    "stuck_at_g_max": 0.0,
    "stuck_at_random": 0.0,
    "open_rows": 0.0,
    "open_columns": 0.0,
    "occurrence": "before_verify",
    "compensation": "none",
    "spare_rows": 0,
    "spare_columns": 0,
}
SOME = NONE | {"stuck_at_g_min": 0.05, "stuck_at_g_max": 0.03, "stuck_at_random": 0.04}
LINES = SOME | {"open_rows": 0.08, "open_columns": 0.06}
SPARED = LINES | {"compensation": "pair", "spare_rows": 3, "spare_columns": 2}
WITH_G_MIN = {"device": {"g_min_microsiemens": 2.0}}


def faulty(name, faults, **sections):
    return changed(name, faults=faults, **sections)


def on_chip(preset, matrix, times=(), seed=3):
    """What a tile holds as programmed and at each time, with healthy devices and faults from separate streams."""
    model = noise_model(preset)
    model.fault_stream = rng.generator(seed, "faults")
    with rng.stream(seed, "devices"):
        programmed, kept = model.apply_programming_noise(matrix)
        return [programmed, *(model.apply_drift_noise(programmed, kept, t) for t in times)], kept


class SlowTile:
    """The weights of a tile with stuck devices and no noise, device by device, in numpy and loops."""

    def __init__(self, matrix, preset, seed):
        self.matrix, self.faults, (self.out, self.rows) = matrix, preset.faults, matrix.shape
        self.low, self.high = preset.device.g_min_microsiemens, preset.device.g_max_microsiemens
        self.draws = rng.generator(seed, "faults")
        torch.randint(2**62, (), generator=self.draws)
        self.states = self.draw()

    def uniform(self, *shape):
        return torch.rand(shape, generator=self.draws).double().numpy()

    def state(self, kind, level):
        faults = self.faults
        if kind < faults.stuck_at_g_min:
            return self.low
        if kind < faults.stuck_at_g_min + faults.stuck_at_g_max:
            return self.high
        return self.low + level * (self.high - self.low) if kind < faults.stuck else None

    def block(self, *shape):
        kind, level = self.uniform(*shape), self.uniform(*shape)
        return {place: self.state(kind[place], level[place]) for place in np.ndindex(*shape)}

    def draw(self):
        out, rows, faults = self.out, self.rows, self.faults
        found = self.block(2, out, rows)
        row, column = self.uniform(rows), self.uniform(2, out, 1)[..., 0]
        if more := faults.spare_columns:
            found |= {(d, out + c, r): state for (d, c, r), state in self.block(2, more, rows).items()}
            column = np.concatenate([column, self.uniform(2, more, 1)[..., 0]], axis=1)
        if more := faults.spare_rows:
            found |= {(d, c, rows + r): s for (d, c, r), s in self.block(2, column.shape[1], more).items()}
            row = np.concatenate([row, self.uniform(more)])
        opened = {
            (d, c, r): 0.0 for d, c, r in found if row[r] < faults.open_rows or column[d, c] < faults.open_columns
        }
        return found | opened

    def held(self, column, row, place):
        """What becomes of a weight at a place (column, row) of the tile with its spares."""
        unit = np.abs(self.matrix).max() / (self.high - self.low)
        current = self.matrix[column, row] / unit
        goal = [self.low + max(current, 0.0), self.low + max(-current, 0.0)]
        stuck = [self.states[(0, *place)], self.states[(1, *place)]]
        g = [goal[d] if stuck[d] is None else stuck[d] for d in (0, 1)]
        if self.faults.compensation == "pair" and (stuck[0] is None) != (stuck[1] is None):
            lost, works = (1, 0) if stuck[0] is None else (0, 1)
            g[works] = min(max(g[lost] + (goal[works] - goal[lost]), self.low), self.high)
        return (g[0] - g[1]) * unit

    @staticmethod
    def choose(count, spares, loss):
        """Where each line lies: the worst on the first spare, where it loses less there."""
        own, chosen = [loss(line, line) for line in range(count)], list(range(count))
        for spare, line in enumerate(sorted(range(count), key=lambda line: -own[line])[:spares]):
            if loss(line, count + spare) < own[line]:
                chosen[line] = count + spare
        return chosen

    def weights(self):
        def lost(c, r, place):
            return (self.held(c, r, place) - self.matrix[c, r]) ** 2

        columns = self.choose(
            self.out, self.faults.spare_columns, lambda c, at: sum(lost(c, r, (at, r)) for r in range(self.rows))
        )
        rows = self.choose(
            self.rows, self.faults.spare_rows, lambda r, at: sum(lost(c, r, (columns[c], at)) for c in range(self.out))
        )
        return np.array([[self.held(c, r, (columns[c], rows[r])) for r in range(self.rows)] for c in range(self.out)])


@pytest.mark.parametrize("sections", [{}, WITH_G_MIN], ids=["g_min 0", "g_min 2"])
@pytest.mark.parametrize("faults", [SOME, LINES, LINES | {"compensation": "pair"}, SPARED], ids=range(4))
def test_faulty_weights_when_nothing_is_noisy_equal_a_loop_over_devices(faults, sections):
    preset, matrix = faulty("ideal", faults, **sections), weights(9, 14)
    (programmed, aged), _ = on_chip(preset, matrix, [DAY])
    expected = SlowTile(matrix.double().numpy(), preset, 3).weights()
    assert not np.allclose(expected, matrix, atol=0.1)
    assert np.allclose(programmed, expected, atol=1e-5 * float(matrix.abs().max()))
    assert torch.equal(aged, programmed)


@pytest.mark.parametrize(
    "name",
    [
        "pcm_nandakumar_2019",
        "pcm_nandakumar_2019_two_pairs",
        "pcm_mackin_2022_two_pairs",
        "reram_wan_2022",
        "reram_cmo_2024_accept_0p2",
    ],
)
def test_healthy_weights_when_others_fail_are_those_of_the_chip_without_faults(name):
    matrix = weights()
    healthy, _ = on_chip(load_preset(name), matrix, [0.0, 1.0, DAY])
    found, kept = on_chip(faulty(name, LINES), matrix, [0.0, 1.0, DAY])
    spoiled = torch.zeros(matrix.numel(), dtype=torch.bool)
    spoiled[kept[-1].places] = True
    spoiled = spoiled.view(matrix.shape)
    assert 0.05 < spoiled.float().mean() < 0.8
    for before, after in zip(healthy, found, strict=True):
        assert torch.equal(before[~spoiled], after[~spoiled])
        assert (before[spoiled] - after[spoiled]).abs().mean() > 0.1 * matrix.std()


def test_fractions_when_drawn_for_many_devices_are_those_of_the_preset():
    preset = faulty("ideal", LINES | {"open_rows": 0.1, "open_columns": 0.2})
    device, faults = preset.device, preset.faults
    stuck = draw_stuck((2, 400, 500), faults, device, rng.generator(0, "fractions"))
    open_rows = (stuck == 0.0).all(1).all(0)
    open_columns = (stuck == 0.0).all(2)
    inside = stuck[:, :, ~open_rows][~open_columns]
    top = device.g_max_microsiemens
    between = inside[(inside > 0) & (inside < top)]
    # 200,000 devices or more: a fraction of 0.05 has a standard error below 0.0005; lines are 500 and 800.
    assert (inside == 0).double().mean().item() == pytest.approx(0.05, abs=0.003)
    assert (inside == top).double().mean().item() == pytest.approx(0.03, abs=0.002)
    assert len(between) / inside.numel() == pytest.approx(0.04, abs=0.003)
    assert between.mean().item() / top == pytest.approx(0.5, abs=0.02)
    assert between.std().item() / top == pytest.approx(12**-0.5, abs=0.02)
    assert open_rows.double().mean().item() == pytest.approx(0.1, abs=0.06)
    assert open_columns.double().mean().item() == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("leaf", [name for name, value in NONE.items() if isinstance(value, float)])
def test_a_fraction_when_raised_spoils_more_weights(leaf):
    matrix = weights()
    levels = [on_chip(faulty("pcm_nandakumar_2019", NONE | {leaf: f}), matrix)[0][0] for f in (0.0, 0.1, 0.3)]
    none, some, more = ((one - matrix).square().sum().item() for one in levels)
    assert 1.5 * none < some
    assert 1.5 * some < more


@pytest.mark.parametrize("change", [{"compensation": "pair"}, {"spare_rows": 4}, {"spare_columns": 4}])
def test_a_mitigation_when_faults_are_known_brings_weights_nearer(change):
    matrix = weights()
    before, after = (on_chip(faulty("pcm_nandakumar_2019", f), matrix, [DAY])[0] for f in (LINES, LINES | change))
    for one, other in zip(before, after, strict=True):
        assert ((other - matrix).square().sum() < 0.98 * (one - matrix).square().sum()).item()


def test_compensation_when_a_device_is_stuck_keeps_the_difference_as_far_as_the_range_allows():
    device = changed("ideal", **WITH_G_MIN).device
    low, high = device.g_min_microsiemens, device.g_max_microsiemens
    targets = torch.tensor([[low + 3.0, low + 3.0, low, low + 5.0], [low, low, low + 4.0, low]])
    stuck = torch.tensor([[low + 7.0, torch.nan, low, high], [torch.nan, high, torch.nan, low]])
    found = compensated(targets, stuck, device)
    assert found[1].tolist()[:1] == [low + 4.0]  # 7 - 4 = 3
    assert found[0].tolist()[1] == high  # out of reach: 3 above g_max
    assert found[1].tolist()[2] == low + 4.0  # nothing to do
    faults = StuckDevices(**(NONE | {"compensation": "pair"}))
    lost = damage(targets.T[:, :, None].permute(1, 0, 2), stuck.T[:, :, None].permute(1, 0, 2), faults, device)
    assert lost.tolist() == pytest.approx([0.0, 9.0, 0.0, (high - low - 5.0) ** 2])


def test_faults_when_found_after_verify_equal_those_before_it_without_mitigation():
    matrix = weights()
    before, after = (
        on_chip(faulty("pcm_nandakumar_2019", LINES | {"occurrence": when}), matrix, [DAY])[0]
        for when in ("before_verify", "after_verify")
    )
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_faults_when_the_tile_gets_spares_stay_where_they_were():
    device = load_preset("ideal").device
    own, spared = (
        draw_stuck((2, 6, 8), StuckDevices(**f), device, rng.generator(1, "x"))
        for f in (LINES, LINES | {"spare_rows": 3, "spare_columns": 2})
    )
    assert spared.shape == (2, 8, 11)
    assert torch.equal(own.nan_to_num(-1), spared[:, :6, :8].nan_to_num(-1))


def test_a_failed_device_when_the_chip_ages_stays_while_its_partner_drifts():
    preset = faulty("pcm_nandakumar_2019", NONE | {"stuck_at_g_max": 0.5}, read={"model": "none"})
    (programmed, aged), kept = on_chip(preset, weights(), [DAY])
    count = kept[-1].works.sum(0)
    before, after = (one.flatten()[kept[-1].places] for one in (programmed, aged))
    assert set(count.tolist()) == {0, 1}
    assert torch.equal(before[count == 0], after[count == 0])  # both are stuck
    # A device at g_max against one that loses conductance: the difference grows.
    moved = before[count == 1].abs() < after[count == 1].abs()
    assert moved.double().mean() > 0.6
    assert (after[count == 1].abs() >= before[count == 1].abs()).all()


def test_seed_when_a_chip_is_programmed_names_its_faults_on_any_layer_and_preset():
    torch.manual_seed(0)
    small, large = nn.Linear(6, 5), nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    large[0].load_state_dict(small.state_dict())
    preset = faulty("pcm_nandakumar_2019", SOME)
    plan = plan_conversion(large, preset)
    device = SimulatedDevice(large, plan)
    device.program(seed=1, instance=0)
    first = [matrix.values().clone() for matrix in device._mounted.matrices.values()]
    device.program(seed=1, instance=1)
    other = [matrix.values().clone() for matrix in device._mounted.matrices.values()]
    device.program(seed=1, instance=0)
    again = [matrix.values() for matrix in device._mounted.matrices.values()]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    calm = SimulatedDevice(large, plan_conversion(large, without(preset, "faulty devices")))
    calm.program(seed=1, instance=0)
    healthy = [matrix.values() for matrix in calm._mounted.matrices.values()]
    same = torch.cat([(a == b).flatten() for a, b in zip(first, healthy, strict=True)])
    assert 0.5 < same.double().mean() < 1


def test_faults_when_no_stream_is_given_differ_between_layers_and_chips():
    """aihwkit's own calls draw from torch's global stream: nothing else is drawn there, yet no two are alike."""
    network = nn.Sequential(nn.Linear(30, 30, bias=False), nn.Linear(30, 30, bias=False))
    for layer in network:
        nn.init.eye_(layer.weight)
    analog = convert(network, faulty("ideal", SOME))
    found = []
    with rng.stream(0, "chips"):
        for _ in range(2):
            analog.program_analog_weights()
            found += [layer.weight.clone() for layer in analog]
    assert len({one.numpy().tobytes() for one in found}) == 4


@pytest.mark.parametrize("name", ["pcm_nandakumar_2019", "reram_wan_2022", "ideal"])
def test_training_noise_when_devices_fail_has_the_error_of_the_tiles(name):
    matrix = weights(120, 80)
    preset = faulty(name, SOME, compensation={"kind": "none", "reads": 1})
    tile = [on_chip(preset, matrix, [DAY], seed)[0][1] for seed in range(6)]
    ours = [weight_on_chip(matrix, preset, DAY, generator=rng.generator(seed, "training")) for seed in range(6)]
    expected, found = (sum((one - matrix).square().mean().item() for one in held) for held in (tile, ours))
    assert found == pytest.approx(expected, rel=0.08)


def test_effects_when_devices_fail_can_take_faults_away_or_leave_them_alone():
    preset = faulty("pcm_nandakumar_2019", SOME)
    assert "faulty devices" in effects(preset)
    assert without(preset, "faulty devices") == changed("pcm_nandakumar_2019")
    alone = only(preset, "faulty devices")
    matrix = weights()
    (_, aged), kept = on_chip(alone, matrix, [DAY])
    healthy = torch.ones(matrix.numel(), dtype=torch.bool)
    healthy[kept[-1].places] = False
    assert torch.allclose(aged.flatten()[healthy], matrix.flatten()[healthy], atol=1e-5)
    assert not torch.allclose(aged, matrix, atol=1e-2)


@pytest.mark.parametrize(
    ("faults", "names"),
    [
        (SOME, ["failed devices compensated by their pair", "8 spare rows and columns of each tile"]),
        (SPARED, ["failed devices not compensated", "no spare rows and columns of each tile"]),
        (SOME | {"occurrence": "after_verify"}, []),
    ],
)
def test_mitigations_when_devices_fail_are_those_that_can_act(faults, names):
    model, preset = nn.Linear(4, 3), faulty("pcm_nandakumar_2019", faults)
    found = remedy_variants(preset, plan_conversion(model, preset), (), ())
    own = remedy_variants(without(preset, "faulty devices"), plan_conversion(model, preset), (), ())
    assert [v.subject for v in found if v.subject not in {one.subject for one in own}] == names
    assert all(parse_preset(v.preset.model_dump(mode="json"), "variant") == v.preset for v in found)


def test_simulation_when_most_devices_are_stuck_loses_the_answer():
    model = nn.Linear(16, 16, bias=False)
    nn.init.eye_(model.weight)
    data = [(torch.eye(16), torch.arange(16))]
    most = faulty("ideal", NONE | {"stuck_at_g_min": 0.5})
    result = simulate_drift(model, most, data, times=[1.0], instances=4, seed=0)
    values = [r.value for r in result.records if r.metric == "accuracy_percent" and r.stage == "drift"]
    assert sum(values) / 4 == pytest.approx(50 + 50 / 16, abs=20)
    assert len(set(values)) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stuck_at_g_max": 0.97}, r"faults\.stuck_at_g_max: expected fractions .* at most 1.*0\.05.*got 0\.97"),
        ({"stuck_at_random": 1.1}, r"faults\.stuck_at_random: expected a number from 0 to 1, got 1\.1"),
        ({"open_rows": -0.1}, r"faults\.open_rows: expected a number from 0 to 1, got -0\.1"),
        ({"open_rows": float("nan")}, r"faults\.open_rows: expected a number from 0 to 1, got nan"),
        ({"stuck_at_gmin": 0.1}, r"faults\.stuck_at_gmin: unknown key; did you mean 'stuck_at_g_min'"),
        ({"spare_rows": -1}, r"faults\.spare_rows: expected a whole number"),
        ({"occurrence": "later"}, r"faults\.occurrence: expected one of 'before_verify', 'after_verify', got 'later'"),
        (
            {"occurrence": "after_verify", "compensation": "pair"},
            r"faults\.compensation: expected 'none' for faults after_verify",
        ),
        ({"occurrence": "after_verify", "spare_rows": 2}, r"faults\.spare_rows: expected 0 for faults after_verify"),
    ],
)
def test_faults_when_wrong_are_refused_with_place_and_expectation(change, message):
    with pytest.raises(PresetError, match=message):
        faulty("pcm_nandakumar_2019", SOME | change)


def test_pair_compensation_when_there_are_no_pairs_is_refused():
    with pytest.raises(PresetError, match=r"faults: expected compensation 'none' for devices without pairs"):
        faulty("reram_cmo_2024_accept_0p2", SOME | {"compensation": "pair"})


def test_fingerprint_when_a_preset_has_no_faults_ignores_the_section():
    plain = load_preset("pcm_nandakumar_2019")
    mapping = plain.model_dump(mode="json")
    assert "faults" not in mapping
    spelled = parse_preset(copy.deepcopy(mapping) | {"faults": {"model": "none"}}, "spelled")
    assert spelled.fingerprint == plain.fingerprint
    assert faulty("pcm_nandakumar_2019", SOME).fingerprint != plain.fingerprint
