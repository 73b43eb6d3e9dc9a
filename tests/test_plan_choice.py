"""What the plan counts, what the user chooses in it, which weights it refuses, and what it says of outliers."""

import json
import warnings
from typing import Any

import pytest
import torch
from networks import seeded
from torch import Tensor, nn
from torch.nn import functional

from analog_samson import OutlierWarning, convert, load_preset, plan_conversion, simulate_drift
from analog_samson.chip.matrix import matrices_of
from analog_samson.cli.main import main
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import crossbar_paths
from analog_samson.errors import ConversionError, ModelError, PlanError, PresetError
from analog_samson.presets.layers import read_layer_presets
from analog_samson.sharpness.selection import crossbar_weights

IDEAL, PCM, RASCH = (load_preset(name) for name in ("ideal", "pcm_nandakumar_2019", "pcm_rasch_2023"))
COLUMNS = load_preset("pcm_nandakumar_2019_column_scaling")
IDS = torch.arange(8).view(2, 4) % 7


class LanguageModel(nn.Module):
    """Token ids (N, T) -> logits (N, T, 7); the head is the embedding's own weight, or one that it shares."""

    def __init__(self, *, by_parent: bool) -> None:
        super().__init__()
        self.table, self.block = nn.Embedding(7, 6), nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True)
        self.head = None if by_parent else nn.Linear(6, 7)
        if self.head is not None:
            self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.block(self.table(ids))
        return functional.linear(x, self.table.weight) if self.head is None else self.head(x)


def actions(plan: Any) -> dict[str, str]:
    return {row.path: row.action for row in plan.rows if row.matrix_weights}


def test_rows_add_up_to_all_parameters_and_all_macs():
    model = seeded(lambda: LanguageModel(by_parent=False)).eval()
    plan = plan_conversion(model, IDEAL, example=IDS)
    assert sum(row.parameters for row in plan.rows) == sum(p.numel() for p in model.parameters())
    assert sum(row.macs for row in plan.rows) == plan.macs
    # projections, feed-forward, head, then scores and their use: of one sequence of four tokens
    assert plan.macs == 4 * (4 * 36 + 2 * 48 + 42) + 2 * 4 * 4 * 6
    assert plan.rows[-1].path == "(between weights)"
    assert plan.rows[-1].macs == 2 * 4 * 4 * 6
    assert all(row.reason for row in plan.rows if row.action != "analog")
    assert all(row.use == "linear" for row in plan.rows if row.action == "analog")


def test_macs_are_those_of_one_sample_whatever_the_batch_and_the_form_of_the_example():
    model = nn.Sequential(nn.LSTM(5, 6, batch_first=True))
    x = torch.zeros(3, 4, 5)
    expected = 4 * (24 * 5 + 24 * 6)
    named = Example(batch={"inputs": x}, run=lambda net, batch: net(batch["inputs"]))
    for example in (x, (x,), named):
        assert plan_conversion(model, IDEAL, example=example).macs == expected
    assert plan_conversion(model, IDEAL, example=Example(batch=x, count=False)).rows[0].macs == 4 * 24 * 5


@pytest.mark.parametrize("preset", [PCM, RASCH], ids=lambda preset: preset.name)
@pytest.mark.parametrize("by_parent", [True, False], ids=["read by the parent", "shared"])
def test_head_that_is_an_embedding_too_lies_on_tiles_and_its_look_ups_stay_digital(by_parent, preset):
    model = seeded(lambda: LanguageModel(by_parent=by_parent)).eval()
    plan = plan_conversion(model, preset, example=IDS)
    on_chip = {row.path for row in plan.rows if row.action == "analog" and row.matrix_weights == 42}
    assert on_chip == {"table" if by_parent else "head"}
    assert sum(row.devices for row in plan.rows if row.matrix_weights == 42) == 2 * 42
    network = convert(model, preset, plan=plan)
    network.program_analog_weights()
    network.drift_analog_weights(3600.0)
    with torch.no_grad():
        assert torch.equal(network.table(IDS), model.table(IDS))
        assert not torch.allclose(network(IDS), model(IDS), atol=1e-3)
        ideal = convert(model, IDEAL, plan=plan_conversion(model, IDEAL, example=IDS))
        torch.testing.assert_close(ideal(IDS), model(IDS), rtol=1e-4, atol=1e-5)


def test_shortcuts_name_the_first_and_last_weights_in_the_order_of_use():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.middle, self.first_one = nn.Linear(4, 2), nn.Linear(4, 4), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.middle(self.first_one(x)))

    model = Backwards()
    ends = plan_conversion(model, IDEAL, keep_digital=["first", "head"], input_shape=(3,))
    assert actions(ends) == {"last": "digital", "middle": "analog", "first_one": "digital"}
    # "last" is the name of a layer here, so it is no shortcut; without an example the order is that of the modules
    assert actions(plan_conversion(model, IDEAL, keep_digital=["last"])) == actions(
        plan_conversion(model, IDEAL, keep_digital=["first"])
    )


def test_embeddings_go_on_the_chip_on_request_and_adapters_too():
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.base = nn.Embedding(7, 6), nn.Linear(6, 6)
            self.lora_A, self.lora_B = nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.table(ids)
            return self.base(x) + self.lora_B(self.lora_A(x))

    model = Adapted()
    default = {row.path: row for row in plan_conversion(model, IDEAL, example=IDS).rows}
    assert {path for path, row in default.items() if row.action == "analog"} == {"base"}
    assert "an adapter" in default["lora_A"].reason
    assert default["table"].reason == "a lookup table: digital by nature"
    plan = plan_conversion(model, RASCH, on_chip=["embeddings", "lora_*"], example=IDS)
    assert {row.action for row in plan.rows} == {"analog"}
    network = convert(model, RASCH, plan=plan)
    with torch.no_grad():
        assert not torch.equal(network.table(IDS), model.table(IDS))


def test_choices_that_contradict_each_other_or_fit_nothing_are_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(PlanError, match=r"0: keep_digital 'first' and on_chip '\*' both name it|0: .*both name it"):
        plan_conversion(model, IDEAL, keep_digital=["first"], on_chip=["*"])
    with pytest.raises(PlanError, match=r"keep_digital: 1 problem\n  'embeddings' fits no layer path"):
        plan_conversion(model, IDEAL, keep_digital=["embeddings"])
    with pytest.raises(PlanError, match=r"on_chip: 1 problem\n  'hed' fits no layer path; did you mean 'head'"):
        plan_conversion(model, IDEAL, on_chip=["hed"])


def test_sharpness_aware_step_moves_the_weights_that_the_plan_puts_on_tiles():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.up = nn.MultiheadAttention(4, 2), nn.ConvTranspose1d(2, 3, 2)
            self.cell, self.pair, self.norm = nn.GRU(4, 4), nn.Bilinear(2, 2, 2), nn.LayerNorm(4)

    model = Mixed()
    names = {path if path.rpartition(".")[2].startswith(("weight", "in_proj")) else f"{path}.weight" for path in
             crossbar_paths(model)}  # fmt: skip
    assert set(crossbar_weights(model)) == names


# Refusals


class Transposed(nn.Module):
    """An autoencoder that decodes with the transpose of its encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(x) @ self.code.weight


def test_weight_that_is_used_with_its_transpose_is_refused_where_products_run_through_converters():
    plan_conversion(Transposed(), PCM, input_shape=(6,)).check()
    with pytest.raises(PlanError, match=r"code \(Linear\): .*transpose.*keep_digital 'code'"):
        plan_conversion(Transposed(), RASCH, input_shape=(6,)).check()
    with pytest.raises(ConversionError, match=r"code: .*transpose"), torch.no_grad():
        convert(Transposed(), RASCH)(torch.ones(2, 6))


def test_network_without_a_weight_in_a_product_is_refused_with_what_was_seen():
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.scale = nn.Embedding(7, 3), nn.Parameter(torch.ones(4, 3))

        def forward(self, ids: Tensor) -> Tensor:
            return self.embedding(ids) * self.scale

    with pytest.raises(PlanError) as caught:
        plan_conversion(Table(), IDEAL, example=IDS).check()
    assert all(
        words in str(caught.value) for words in ("no weight", "embedding (Embedding)", "scale (Table): used in mul")
    )


def quantised() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(torch.zeros(3, 4, dtype=torch.int8), requires_grad=False)
    return layer


def packed() -> nn.Module:
    layer = nn.Module()
    layer.register_buffer("qweight", torch.zeros(2, 3, dtype=torch.int32))
    return layer


def sparse() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse(), requires_grad=False)
    return layer


def subclassed() -> nn.Module:
    class Packed(Tensor):
        """As torchao keeps its weights."""

        def dequantize(self) -> Tensor:
            return self.as_subclass(Tensor)

    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(torch.zeros(3, 4).as_subclass(Packed), requires_grad=False)
    return layer


def dynamically_quantised() -> nn.Module:
    return torch.ao.nn.quantized.dynamic.Linear(4, 3)


def dynamically_quantised_lstm() -> nn.Module:
    return torch.ao.nn.quantized.dynamic.LSTM(4, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch says that it moves to torchao
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (dynamically_quantised, "layer.weight().dequantize()"),
        (dynamically_quantised_lstm, "`_all_weight_values`"),
        (quantised, "int8 codes"),
        (packed, "`qweight`"),
        (sparse, "to_dense"),
        (subclassed, "Packed, whose values are packed; put nn.Parameter(layer.weight.dequantize())"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_refused_with_the_remedy_unless_kept_digital(build, words):
    model = nn.Sequential(nn.Linear(4, 4), build())
    with pytest.raises(PlanError) as caught:
        plan_conversion(model, IDEAL).check()
    assert "1 (" in str(caught.value)
    assert words in str(caught.value)
    assert "problems" not in str(caught.value), "once for the layer, not for what it consists of"
    plan_conversion(model, IDEAL, keep_digital=["1"]).check()


def test_layers_without_values_are_refused():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ModelError, match=r"0\.weight: on the meta device, without values; .*load_state_dict"):
        plan_conversion(model, IDEAL)


def test_parameter_that_is_the_input_of_a_module_is_counted_and_trains_on():
    class Query(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.layer = nn.Parameter(torch.ones(1, 4)), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.layer(self.token).T

    model = Query()
    plan = plan_conversion(model, IDEAL, input_shape=(4,))
    assert (plan.rows[-1].path, plan.macs) == ("(between weights)", 16 + 4)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_wrappers_are_taken_off_and_lazy_layers_refused():
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.ones(2, 4)
    compiled = nn.Module()
    compiled._orig_mod = model  # as torch.compile wraps a network, which takes seconds to import
    for wrapped in (compiled, nn.DataParallel(model)):
        network = convert(wrapped, IDEAL)
        assert list(matrices_of(network)) == ["0"]
        with torch.no_grad():
            torch.testing.assert_close(network(x), model(x))
    with pytest.raises(Exception, match="lazy layer whose weights are not made yet"):
        plan_conversion(nn.Sequential(nn.LazyLinear(3)), IDEAL)


def test_padded_sequences_meet_a_transformer_whose_first_layer_alone_is_digital():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True), 2).eval()
    x, padding = torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    network = convert(encoder, RASCH, keep_digital=["layers.0"])
    for tile in network.analog_tiles():
        tile.set_input_range(4.0)
    with torch.no_grad():
        assert network(x, src_key_padding_mask=padding)[~padding].isfinite().all()


# Outliers


def spiked() -> nn.Module:
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 3))
    with torch.no_grad():
        model[0].weight[0, 0] = 100 * model[0].weight.std()
    return model


def test_outliers_are_named_under_one_scale_a_layer_and_not_under_one_a_column():
    model = seeded(spiked)
    rows = {row.path: row for row in plan_conversion(model, PCM).rows}
    expected = model[0].weight.abs().max() / model[0].weight.std(correction=0)
    assert rows["0"].largest_over_std == pytest.approx(expected.item(), rel=1e-3)
    assert rows["2"].largest_over_std < 3
    text = plan_conversion(model, PCM).text()
    assert all(words in text for words in ("one scale a layer", "0 (", "scale a column", "clip", "SAMSON"))
    assert "one scale a layer" not in plan_conversion(model, COLUMNS).text()
    data = [(torch.randn(6, 64), torch.arange(6) % 3)]
    with pytest.warns(OutlierWarning, match=r"1 weight has outliers"):
        simulate_drift(model, PCM, data, times=[1.0], instances=1, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_drift(model, COLUMNS, data, times=[1.0], instances=1, seed=0)


# Presets of single layers


@pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # a layer of eight inputs
def test_layers_with_a_preset_of_their_own_lie_on_its_tiles(tmp_path):
    (tmp_path / "layers.toml").write_text('"0" = "ideal"\n"head" = "pcm_rasch_2023"\n')
    model = nn.Sequential(nn.Linear(600, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    layers = read_layer_presets(tmp_path / "layers.toml")
    plan = plan_conversion(model, PCM, layer_presets=layers)
    assert [row.preset for row in plan.rows] == ["ideal", "", "pcm_rasch_2023"]
    assert [row.tiles for row in plan.rows] == [1, 1, 1]
    x, data = torch.randn(4, 600), [(torch.randn(4, 600), torch.arange(4) % 3)]
    network = convert(model, PCM, plan=plan)
    network.program_analog_weights()
    network.drift_analog_weights(86400.0)
    with torch.no_grad():
        torch.testing.assert_close(network[0](x), model[0](x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network[2].weight, model[2].weight)
    assert type(network[2].weight) is nn.Parameter
    assert type(network[4].weight) is not nn.Parameter
    result = simulate_drift(model, PCM, data, times=[1.0], instances=1, seed=0, plan=plan, calibration=data)
    assert set(result.input_ranges) == {"4"}


def test_layer_presets_that_cannot_be_read_are_refused(tmp_path):
    for text, words in (
        ("", "maps no layer"),
        ("head = 3", "head: expected the name or file of a preset"),
        ('head = "idael"', "did you mean 'ideal'"),
        ("= 3", "no TOML file"),
    ):
        (tmp_path / "layers.toml").write_text(text)
        with pytest.raises(PresetError) as caught:
            read_layer_presets(tmp_path / "layers.toml")
        assert words in str(caught.value)
        assert "layers.toml" in str(caught.value)
    with pytest.raises(PresetError, match=r"missing\.toml: cannot be read"):
        read_layer_presets(tmp_path / "missing.toml")
    with pytest.raises(PlanError, match="'tail' fits no layer path"):
        plan_conversion(nn.Sequential(nn.Linear(2, 2)), PCM, layer_presets={"tail": IDEAL})


def test_convert_command_takes_layer_presets_and_layers_for_the_chip(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))\n"
    )
    (tmp_path / "layers.toml").write_text('last = "ideal"\n')
    command = ["convert", "--model", "tables:build", "--on-chip", "embeddings", "--layer-presets", "layers.toml"]
    assert main([*command, "--out", "plan.json"]) == 0
    rows = json.loads((tmp_path / "plan.json").read_text())["plan"]
    assert [(row["action"], row["preset"]) for row in rows] == [("analog", ""), ("analog", "ideal")]
    assert "look-ups read the tiles" in capsys.readouterr().out
