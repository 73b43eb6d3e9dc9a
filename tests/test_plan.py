"""The plan of a conversion."""

import pytest
import torch
from networks import Block, Tied, seeded
from torch import nn
from torch.nn.utils import prune

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.crossbar.layout import outputs_first
from analog_samson.crossbar.plan import crossbar_paths, plan_conversion
from analog_samson.crossbar.registry import Rule, register_rule
from analog_samson.errors import PlanError
from analog_samson.presets.search import load_preset

IDEAL = load_preset("ideal")
RASCH = load_preset("pcm_rasch_2023")


def rows_of(model, preset=IDEAL, **options):
    return {row.path: row for row in plan_conversion(model, preset, **options).rows}


def test_plan_when_every_known_layer_names_each_with_parameters():
    rows = rows_of(seeded(Block))
    assert {path for path, row in rows.items() if row.action == "analog"} == {
        "plain", "same", "grouped", "depthwise", "line", "volume", "head"
    }  # fmt: skip
    assert rows["norm"].action == "digital"
    assert rows["norm"].parameters == 16


def test_plan_when_grouped_gives_each_group_its_own_rows_and_columns():
    row = rows_of(seeded(Block))["grouped"]
    assert (row.rows, row.columns, row.weights) == (8 * 9, 12, 12 * 2 * 9)
    assert (row.tiles, row.cells, row.devices) == (1, 72 * 12, 2 * 216)


def test_plan_when_rows_are_limited_counts_tiles_and_groups_per_tile():
    tall = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(96, 96, 3, groups=96))
    rows = rows_of(tall, RASCH)
    assert (rows["0"].rows, rows["0"].tiles) == (576, 2)
    assert rows["1"].tiles == 2  # 56 groups of 9 rows fit into 512


DEPTHWISE, GROUPED, DENSE = nn.Conv2d(192, 192, 3, groups=192), nn.Conv2d(1800, 21, 1, groups=3), nn.Linear(600, 7)


@pytest.mark.parametrize(
    ("layer", "limits", "tiles", "cells"),
    [
        (DEPTHWISE, (512, 0), 4, 512 * 192),  # three tiles of 56 groups, one of 24
        (DEPTHWISE, (0, 64), 3, 9 * 192 * 64),
        (DEPTHWISE, (512, 512), 4, 4 * 512 * 512),
        (DEPTHWISE, (0, 0), 1, 9 * 192 * 192),
        (GROUPED, (512, 0), 6, 2 * 512 * 21),  # two tiles a group
        (GROUPED, (512, 4), 12, 12 * 512 * 4),
        (DENSE, (0, 4), 2, 600 * 8),
        (DENSE, (512, 0), 2, 2 * 512 * 7),
    ],
)
def test_plan_when_a_side_has_no_limit_counts_the_cells_that_exist(layer, limits, tiles, cells):
    tile = IDEAL.tile.model_copy(update={"max_rows": limits[0], "max_columns": limits[1]})
    row = rows_of(nn.Sequential(layer), IDEAL.model_copy(update={"tile": tile}))["0"]
    assert (row.tiles, row.cells) == (tiles, cells)


def test_plan_when_input_shape_is_given_counts_multiply_accumulates():
    plan = plan_conversion(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2)), IDEAL, input_shape=(3, 6, 6)
    )
    assert [row.macs for row in plan.rows] == [16 * 27 * 4, 128]
    summary = plan.summary()
    assert summary.macs == 16 * 27 * 4 + 128
    assert summary.analog_macs_percent == 100
    assert summary.parameters == 27 * 4 + 4 + 128 + 2
    assert summary.analog_parameters_percent == pytest.approx(100 * 236 / 242)


def test_plan_when_layer_stands_under_two_names_counts_it_once():
    plan = plan_conversion(seeded(Tied), IDEAL, input_shape=(6,))
    assert [(row.path, row.shared_with) for row in plan.rows] == [("first", ""), ("again", "first"), ("head", "")]
    assert plan.summary().devices == 2 * (36 + 18)
    assert plan.summary().macs == 2 * 36 + 18


def test_plan_when_a_layer_is_a_subclass_or_pads_and_dilates_puts_it_on_tiles():
    class Scaled(nn.Linear):
        pass

    layers = [
        Scaled(2, 2),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(2, 2, 4, padding="same"),
        nn.Conv1d(2, 2, 3, dilation=2),
    ]
    assert [row.action for row in plan_conversion(nn.Sequential(*layers), IDEAL).rows] == ["analog"] * 4


def test_plan_when_attention_has_a_row_for_each_projection():
    rows = rows_of(nn.TransformerEncoderLayer(8, 2, 16))
    assert (rows["self_attn.in_proj_weight"].rows, rows["self_attn.in_proj_weight"].columns) == (8, 24)
    assert {path for path, row in rows.items() if row.action == "analog"} == {
        "self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2"
    }  # fmt: skip
    assert rows["self_attn.in_proj_weight"].parameters == 8 * 24 + 24


def test_plan_when_pattern_fits_nothing_is_refused():
    with pytest.raises(PlanError, match=r"'nowhere\.\*' fits no layer path"):
        plan_conversion(seeded(Block), IDEAL, keep_digital=["nowhere.*"])


def test_plan_when_a_module_is_kept_digital_leaves_out_what_it_holds():
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.Linear(4, 4))), nn.Linear(4, 3))
    plan = plan_conversion(model, IDEAL, keep_digital=["0"])
    assert {row.path: row.action for row in plan.rows} == {"0.0": "digital", "0.1.0": "digital", "1": "analog"}
    assert crossbar_paths(model, ["0"]) == ["1"]


@pytest.mark.parametrize("name", ["first", "again"])
def test_plan_when_one_name_of_a_tied_layer_is_kept_digital_leaves_it_out_under_each(name):
    model = Tied()
    plan = plan_conversion(model, IDEAL, keep_digital=[name])
    assert [row.path for row in plan.with_action("analog")] == crossbar_paths(model, [name]) == ["head"]
    assert type(convert(model, IDEAL, keep_digital=[name]).again) is nn.Linear


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    "change",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
    ids=["weight_norm", "spectral_norm", "parametrized", "pruned"],
)
def test_plan_when_weights_are_computed_in_every_forward_puts_the_result_on_tiles(change):
    model = nn.Sequential(change(nn.Linear(8, 4)), nn.Linear(4, 2))
    row = plan_conversion(model, IDEAL).rows[0]
    assert (row.action, row.weights, row.reason[:21]) == ("analog", 32, "holds the weight that")
    assert crossbar_paths(model) == ["0", "1"]


def test_plan_when_shape_does_not_fit_is_refused_and_leaves_the_model_alone():
    model = seeded(Block).train()
    with pytest.raises(PlanError, match=r"cannot run on one sample of shape \(3, 6, 6\)"):
        plan_conversion(model, IDEAL, input_shape=(3, 6, 6))
    assert model.training
    assert all(not module._forward_hooks for module in model.modules())


def test_plan_when_nothing_is_analog_is_refused():
    with pytest.raises(PlanError, match="no weight that goes on a crossbar"):
        plan_conversion(nn.Sequential(nn.BatchNorm1d(2)), IDEAL).check()


def test_crossbar_paths_agree_with_the_plan():
    model = seeded(Block)
    analog = [row.path for row in plan_conversion(model, IDEAL, keep_digital=["head"]).with_action("analog")]
    assert crossbar_paths(model, ["head"]) == analog


def test_register_rule_when_type_has_one_is_refused():
    with pytest.raises(ValueError, match="Linear has a rule already"):
        register_rule(nn.Linear, Rule(outputs_first))


def test_plan_text_is_one_line_a_layer():
    text = plan_conversion(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)), IDEAL).text().splitlines()
    assert text[0].split()[:3] == ["path", "layer_type", "use"]
    assert text[1].split()[:5] == ["0", "Linear", "-", "analog", "2"]
    assert text[2].split()[:4] == ["1", "LayerNorm", "-", "digital"]


@pytest.mark.parametrize("name", ["StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"])
def test_standardised_convolution_of_timm_goes_on_tiles_as_it_computes(name):
    """Devices hold the standardised weight, so that no standardisation takes their errors away."""
    layers = pytest.importorskip("timm.layers.std_conv", reason="timm is not installed")
    with rng.stream(0, name):
        model = nn.Sequential(getattr(layers, name)(4, 6, 3, stride=2)).eval()
        x = torch.randn(2, 4, 9, 9)
    (row,) = [row for row in plan_conversion(model, IDEAL).rows if row.path == "0"]
    assert (row.action, row.rows, row.columns) == ("analog", 36, 6)
    assert torch.allclose(convert(model, IDEAL)(x), model(x), atol=1e-5)
    chip = convert(model, load_preset("pcm_nandakumar_2019"))
    raw, held = model[0].weight.detach(), chip[0].weight.detach()
    assert held.shape == raw.shape
    means = held.flatten(1).mean(1)
    assert means.abs().max() < 1e-5  # standardised
    assert not torch.allclose(held, raw, atol=1e-2)
    with rng.stream(1, name), torch.no_grad():
        chip.program_analog_weights()
        chip.drift_analog_weights(86400.0)
    noisy = chip[0].weight.detach()
    assert (noisy.flatten(1).mean(1) - means).abs().max() > 1e-4  # errors are left as they are
