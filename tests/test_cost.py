"""What an inference costs: published peak figures, a computation by hand, and how costs scale."""

import copy
import json

import pytest
from commands import error_of, output_of
from safetensors.torch import save_file
from torch import nn

from analog_samson import load_preset, plan_conversion
from analog_samson.analysis.cost import cost_of
from analog_samson.analysis.cost_figures import cost_figures
from analog_samson.cli.main import app
from analog_samson.errors import OptionError, PresetError
from analog_samson.models.build import build_model
from analog_samson.presets import list_presets, parse_preset
from analog_samson.presets.tiling import tile_grid

HERMES = load_preset("pcm_hermes_2023_two_devices")
PRICED = [preset for preset in list_presets() if preset.cost is not None]
READ, ENERGY = 2 * 256 * 256 * 64 / 63.1e12, 2 * 256 * 256 / 9.76e12  # of one read in the one-phase mode [s, J]


def priced(network, shape, preset=HERMES, **options):
    plan = plan_conversion(network, preset, input_shape=shape, keep_digital=options.pop("keep_digital", ()))
    return cost_of(plan.records(), preset, **{"mode": "one_phase", **options})


def with_cost(**changes):
    """HERMES with other keys in its section [cost]; None removes a key."""
    mapping = copy.deepcopy(HERMES.model_dump(mode="json"))
    mapping["cost"] = {key: value for key, value in (mapping["cost"] | changes).items() if value is not None}
    return parse_preset(mapping, "changed")


@pytest.mark.parametrize(
    ("preset", "mode"), [(preset.name, mode.name) for preset in PRICED for mode in preset.cost.modes]
)
def test_cost_when_all_arrays_are_full_gives_the_published_peak_figures(preset, mode):
    preset = load_preset(preset)
    figures = preset.cost
    side = round(figures.arrays**0.5)
    assert side * side == figures.arrays, "as many arrays as a square layer takes"
    full = nn.Linear(side * figures.array_rows, side * figures.array_columns, bias=False)
    cost = priced(full, (side * figures.array_rows,), preset, mode=mode)
    (published,) = [each for each in figures.modes if each.name == mode]
    assert (cost.tiles, cost.chips, cost.utilisation_percent) == (figures.arrays, 1, 100.0)
    assert cost.tile_tops_per_watt == pytest.approx(published.peak_tops_per_watt, rel=1e-12)
    assert cost.tops_per_watt == cost.tile_tops_per_watt
    assert cost.sequential_tops == pytest.approx(published.peak_tops, rel=1e-12)
    assert cost.pipelined_tops == cost.sequential_tops
    if published.peak_tops_per_mm2:
        assert cost.sequential_tops / cost.area_mm2 == pytest.approx(published.peak_tops_per_mm2, rel=1e-12)


def test_hermes_when_set_beside_the_publication_of_its_core_agrees_to_a_few_percent():
    """HERMES-Core (10.1109/JSSC.2022.3140414): 1.008 TOPS, 1.59 TOPS/mm2, 10.5 TOPS/W a core, a read of 130 ns."""
    mode = next(mode for mode in HERMES.cost.modes if mode.name == "one_phase")
    assert HERMES.cost.read_seconds(mode) == pytest.approx(130e-9, rel=0.03)
    assert HERMES.cost.array_mm2 == pytest.approx(1.008 / 1.59, rel=0.02)
    assert mode.peak_tops_per_watt == pytest.approx(10.5, rel=0.08)


def test_hermes_when_modes_are_compared_takes_the_same_power():
    """Two independent published pairs: throughput over efficiency is the power of the chip."""
    four, one = (mode.peak_tops / mode.peak_tops_per_watt for mode in HERMES.cost.modes)
    assert four == pytest.approx(one, rel=0.01)


def test_cost_when_computed_by_hand_agrees():
    """A convolution with 27 x 8 weights at 6 x 6 places, then 288 x 300 weights once: 2 x 2 arrays."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 300))
    cost = priced(network, (3, 8, 8))
    assert (cost.tiles, cost.chips, cost.devices) == (5, 1, 2 * (27 * 8 + 288 * 300))
    assert cost.reads == 36 * 1 + 1 * 4
    assert (cost.analog_macs, cost.digital_macs) == (36 * 27 * 8 + 288 * 300, 0)
    assert cost.utilisation_percent == pytest.approx(100 * (27 * 8 + 288 * 300) / (5 * 256 * 256))
    assert cost.tile_joules == pytest.approx(40 * ENERGY)
    assert cost.joules == cost.tile_joules
    assert cost.sequential_seconds == pytest.approx(37 * READ)
    assert cost.pipelined_seconds == pytest.approx(36 * READ)
    assert cost.area_mm2 == pytest.approx(5 * 16.1 / 64 / 0.4)
    assert cost.tops_per_watt == pytest.approx(2e-12 * cost.analog_macs / (40 * ENERGY))
    assert cost.pipelined_tops / cost.sequential_tops == pytest.approx(37 / 36)


def test_cost_when_a_group_convolution_fills_one_array_reads_all_groups_at_once():
    assert priced(nn.Conv2d(8, 8, 3, groups=8, bias=False), (8, 5, 5)).reads == 9


def test_cost_when_recurrent_reads_each_weight_once_a_step():
    plan = plan_conversion(nn.LSTM(8, 16, batch_first=True), HERMES, input_shape=(7, 8))
    cost = cost_of(plan.records(), HERMES, mode="one_phase")
    assert (cost.tiles, cost.reads) == (2, 2 * 7)
    assert cost.sequential_seconds == pytest.approx(14 * READ)
    assert cost.pipelined_seconds == pytest.approx(7 * READ)


@pytest.mark.parametrize("groups", [1, 2])
def test_cost_when_a_convolution_is_transposed_reads_once_an_input_position(groups):
    assert priced(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups, bias=False), (4, 5, 5)).reads == 25


def test_cost_when_weights_are_shared_counts_tiles_once_and_reads_twice():
    layer = nn.Linear(64, 64, bias=False)
    cost = priced(nn.Sequential(layer, layer), (64,))
    assert (cost.tiles, cost.reads, cost.devices) == (1, 2, 2 * 64 * 64)


def test_cost_when_twice_as_many_vectors_pass_doubles_energy_and_time_alone():
    network = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 4))
    one, two = priced(network, (5, 32)), priced(network, (10, 32))
    for name in ("tile_joules", "sequential_seconds", "pipelined_seconds", "reads", "analog_macs"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))
    for name in ("tiles", "area_mm2", "devices", "tops_per_watt", "sequential_tops"):
        assert getattr(two, name) == pytest.approx(getattr(one, name))


def test_tiles_when_a_side_of_the_tile_grows_are_never_more():
    for rows, columns, groups in ((300, 700, 1), (9, 1, 64), (40, 30, 6)):
        for side in range(1, 400, 3):
            for bigger in ((side + 3, side), (side, side + 3)):
                assert tile_grid(rows, columns, groups, *bigger)[0] <= tile_grid(rows, columns, groups, side, side)[0]


def test_cost_when_the_tile_of_the_simulation_is_smaller_takes_an_array_for_each():
    mapping = HERMES.model_dump(mode="json")
    small = parse_preset(mapping | {"tile": mapping["tile"] | {"max_rows": 128}}, "small")
    assert priced(nn.Linear(256, 10), (256,), small).tiles == 2
    assert priced(nn.Linear(256, 10), (256,)).tiles == 1


def test_cost_when_the_preset_has_spare_lines_leaves_room_for_them():
    mapping = HERMES.model_dump(mode="json")
    faults = {f"stuck_at_{place}": 0.0 for place in ("g_min", "g_max", "random")} | {"open_rows": 0.0}
    faults |= {"model": "stuck", "open_columns": 0.01, "occurrence": "before_verify", "compensation": "none"}
    spared = parse_preset(mapping | {"faults": faults | {"spare_rows": 0, "spare_columns": 6}}, "spared")
    assert (priced(nn.Linear(8, 250), (8,), spared).tiles, priced(nn.Linear(8, 251), (8,), spared).tiles) == (1, 2)
    none_left = parse_preset(mapping | {"faults": faults | {"spare_rows": 256, "spare_columns": 0}}, "none left")
    with pytest.raises(PresetError, match="256 x 256"):
        priced(nn.Linear(8, 8), (8,), none_left)


def test_cost_when_a_layer_is_digital_needs_its_own_price():
    network = nn.Sequential(nn.Linear(256, 256, bias=False), nn.Linear(256, 10, bias=False))
    cost = priced(network, (256,), keep_digital=["1"])
    assert (cost.digital_macs, cost.digital_joules, cost.joules, cost.tops_per_watt) == (2560, None, None, None)
    assert cost.tile_tops_per_watt == pytest.approx(9.76)
    (told,) = [figure for figure in cost_figures(cost) if figure.name == "joules"]
    assert str(told) == "not given"
    assert "2,560 digital MACs" in told.assumption
    assert "--digital-pj-per-mac" in told.assumption
    known = priced(network, (256,), keep_digital=["1"], digital_pj_per_mac=2.0)
    assert known.joules == pytest.approx(ENERGY + 2560 * 2e-12)


def test_attention_when_scores_are_products_of_activations_is_digital():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    cost = priced(layer.eval(), (6, 16))
    assert cost.digital_macs == 2 * 6 * 6 * 16
    assert cost.analog_macs == 6 * (4 * 16 * 16 + 2 * 16 * 32)


def test_cost_when_the_plan_has_no_macs_gives_tiles_and_area_alone():
    cost = cost_of(plan_conversion(nn.Linear(300, 10), HERMES).records(), HERMES)
    assert (cost.tiles, cost.reads, cost.joules, cost.sequential_seconds) == (2, None, None, None)
    assert cost.area_mm2 > 0
    assert {figure.assumption for figure in cost_figures(cost) if figure.value is None} == {
        "not counted: the plan has no multiply-accumulates (MACs)"
    }


@pytest.mark.parametrize(
    ("changes", "lost", "missing"),
    [
        ({"arrays": None}, {"chips", "area_mm2", "sequential_seconds", "pipelined_seconds"}, ("cost.arrays",)),
        (
            {"modes": [{"name": "only", "peak_tops": 1.0}]},
            {"area_mm2", "tile_joules"},
            ("cost.modes.only.peak_tops_per_watt", "cost.modes.peak_tops_per_mm2"),
        ),
        (
            {"modes": [{"name": "only", "peak_tops_per_watt": 1.0, "peak_tops_per_mm2": 1.0}]},
            {"area_mm2", "sequential_seconds", "pipelined_seconds"},
            ("cost.modes.only.peak_tops",),
        ),
    ],
)
def test_cost_when_the_source_lacks_figures_says_which(changes, lost, missing):
    cost = priced(nn.Linear(8, 8), (8,), with_cost(**changes), mode=None)
    stated = {"chips", "area_mm2", "tile_joules", "sequential_seconds", "pipelined_seconds"}
    assert {name for name in stated if getattr(cost, name) is None} == lost
    assert cost.missing == missing
    told = [figure for figure in cost_figures(cost) if figure.name in lost]
    assert all(key in figure.assumption for figure in told for key in missing)


def test_cost_when_the_preset_has_none_names_the_missing_figures_and_presets_that_have_them():
    told = error_of(app, "cost", "--model", "digits_cnn", "--preset", "ideal", "--input-shape", "1,8,8")
    for fact in ("ideal", "array_rows", "peak_tops", "peak_tops_per_watt", "peak_tops_per_mm2", HERMES.name):
        assert fact in told
    with pytest.raises(PresetError, match="ideal"):
        cost_of([], load_preset("ideal"))


def test_cost_when_the_mode_is_unknown_names_those_of_the_preset():
    with pytest.raises(OptionError, match=r"'one_fase'.*four_phase, one_phase.*did you mean 'one_phase'"):
        priced(nn.Linear(8, 8), (8,), mode="one_fase")


def test_cost_when_a_weight_lies_on_another_preset_is_refused():
    plan = plan_conversion(
        nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), HERMES, layer_presets={"1": load_preset("ideal")}
    )
    with pytest.raises(PresetError, match="1: lies on preset ideal"):
        cost_of(plan.records(), HERMES)


def test_command_when_it_writes_json_holds_the_figures_with_their_assumptions(tmp_path):
    out = tmp_path / "cost.json"
    options = ("--model", "digits_cnn", "--input-shape", "1,8,8", "--read-mode", "one_phase", "--out", out)
    shown = output_of(app, "cost", *options)
    stored = json.loads(out.read_text())
    assert stored["cost"]["mode"] == "one_phase"
    assert all(figure["assumption"] for figure in stored["figures"])
    assert all(figure["title"] in shown for figure in stored["figures"])


def test_command_when_given_data_counts_the_products_of_its_samples(tmp_path):
    """The same network and samples of the same shape: the same figures."""
    file = tmp_path / "digits.safetensors"
    save_file(build_model("digits_cnn").state_dict(), file)
    network = ("cost", "--checkpoint", file, "--model", "digits_cnn")
    assert output_of(app, *network, "--data", "digits") == output_of(app, *network, "--input-shape", "1,8,8")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--model", "digits_cnn"), ("--input-shape", "--data")),
        (("--model", "digits_cnn", "--data", "digits"), ("--checkpoint",)),
        (("--model", "digits_cnn", "--input-shape", "1,8,8", "--data", "digits"), ("--input-shape", "--data")),
        (("--model", "digits_cnn", "--input-shape", "1,8,8", "--digital-pj-per-mac", "-1"), ("-1", "pJ")),
        (("--model", "digits_cnn", "--input-shape", "1,8,8", "--layer-presets", "x.toml"), ("--layer-presets",)),
    ],
)
def test_command_when_options_do_not_fit_says_which(options, facts):
    told = error_of(app, "cost", *options)
    assert all(fact in told for fact in facts)


def test_convert_when_the_preset_has_a_cost_shows_it(tmp_path):
    out = tmp_path / "plan.json"
    shown = output_of(
        app, "convert", "--model", "digits_cnn", "--input-shape", "1,8,8", "--preset", HERMES.name, "--out", out
    )
    figures = {figure["name"]: figure for figure in json.loads(out.read_text())["cost"]}
    assert f"{figures['tile_joules']['value']:.2f} uJ" in shown
    assert "not given" in output_of(app, "convert", "--model", "digits_cnn", "--out", out)
    assert json.loads(out.read_text())["cost"] is None


@pytest.mark.parametrize("key", ["array_rows", "array_columns", "arrays"])
def test_cost_keys_when_changed_change_the_cost(key):
    layer = nn.Linear(257, 255)
    value = getattr(HERMES.cost, key)
    assert priced(layer, (257,), with_cost(**{key: value + 1})) != priced(layer, (257,))


@pytest.mark.parametrize("place", [0, 1])
def test_mode_keys_when_changed_change_the_cost(place):
    modes = HERMES.model_dump(mode="json")["cost"]["modes"]
    before = priced(nn.Linear(8, 8), (8,), mode=modes[place]["name"])
    for key, value in modes[place].items():
        if isinstance(value, float):
            changed = copy.deepcopy(modes)
            changed[place][key] = 1.1 * value
            assert priced(nn.Linear(8, 8), (8,), with_cost(modes=changed), mode=modes[place]["name"]) != before, key


def test_fingerprint_when_only_the_cost_differs_is_the_same():
    bare = {key: value for key, value in HERMES.model_dump(mode="json").items() if key != "cost"}
    assert parse_preset(bare, "bare").fingerprint == HERMES.fingerprint
    assert "cost" not in parse_preset(bare, "bare").model_dump(mode="json")


def test_section_when_faulty_names_every_key():
    with pytest.raises(PresetError) as caught:
        with_cost(arays=3, array_rows=0, modes=[{"name": "a", "peak_tops": -1.0}])
    for fact in ("cost.array_rows", "cost.modes[0].peak_tops", "cost.arays", "did you mean 'arrays'"):
        assert fact in str(caught.value)
    with pytest.raises(PresetError, match=r"cost\.modes: expected a name of its own"):
        with_cost(modes=[{"name": "a"}, {"name": "a"}])
