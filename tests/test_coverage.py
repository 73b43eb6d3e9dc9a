"""Nothing is digital without a word: matrix weights on tiles, multiply-accumulates, and the warnings about both."""

import logging
import warnings

import numpy as np
import pytest
import torch
from networks import seeded
from small import SMALL, Small
from synthetic_runs import META, synthetic_run
from torch import Tensor, nn
from torch.nn import functional

from analog_samson import CoverageWarning, convert, load_preset, open_run, plan_conversion, simulate_drift
from analog_samson.analysis.runs import read_runs
from analog_samson.cli.main import main
from analog_samson.crossbar.coverage import Coverage, LeftOut, tiles_warning
from analog_samson.crossbar.matrices import weight_matrices
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.contents import Contents
from analog_samson.report.headline import headline
from analog_samson.sharpness.optimizers import ASAM, SAM, SAMSON
from analog_samson.simulation.conversion import summary_text

IDEAL = load_preset("ideal")


class Conv1D(nn.Module):
    """The linear layer of GPT-2 in transformers: its weight lies the other way round."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class Recurrent(nn.Module):
    """x (N, T, 4) -> logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    """Single-head attention with fused scores, a positional embedding and a class token; x (N, 5, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, 6, 4))
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.qkv = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.pos_embedding
        q, k, v = self.qkv(x).chunk(3, -1)
        return functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])


class Bare(nn.Module):
    """A matrix of its own, whose use nothing but a forward shows; x (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(4, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.mixing


class Mixed(nn.Module):
    """x (N, ..., 4) -> (N, ..., 3), most of its weights in a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(4, 96))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x @ self.mixing).unflatten(-1, (8, 12)).mean(-1))


UNKNOWN = {"HF Conv1D": (Conv1D(6, 4), 24, "odd"), "bare parameter": (Bare(), 24, "odd.mixing")}
BY_NATURE = [nn.BatchNorm2d(4), nn.LayerNorm([3, 4]), nn.GroupNorm(2, 4), nn.Embedding(5, 4), nn.PReLU(4)]


@pytest.mark.parametrize("name", UNKNOWN)
def test_plan_when_the_use_of_a_matrix_is_unknown_counts_it_as_left_out(name):
    layer, weights, path = UNKNOWN[name]
    plan = plan_conversion(nn.ModuleDict({"odd": layer, "head": nn.Linear(2, 3)}), IDEAL)
    row = plan.rows[0]
    assert (row.path, row.action, row.matrix_weights) == (path, "digital", weights)
    assert "by nature" not in row.reason
    assert plan.summary().matrix_weights == weights + 6
    assert plan.summary().analog_matrix_weights_percent == pytest.approx(100 * 6 / (weights + 6))
    assert all(word in plan.text() for word in ("warning: only", f"{path} ({type(layer).__name__}, {weights} weights)"))
    shown = plan_conversion(layer, IDEAL, input_shape=(4,)).rows[0]
    assert (shown.action, shown.rows, shown.columns, shown.macs) == ("analog", 4, 6, 24)


@pytest.mark.parametrize("layer", BY_NATURE, ids=lambda layer: type(layer).__name__)
def test_plan_when_a_layer_is_digital_by_nature_says_so_and_does_not_warn(layer):
    plan = plan_conversion(nn.Sequential(layer, nn.Linear(2, 3)), IDEAL)
    assert (plan.rows[0].action, plan.rows[0].matrix_weights) == ("digital", 0)
    assert plan.rows[0].reason.endswith("digital by nature")
    assert plan.summary().analog_matrix_weights_percent == 100
    assert "warning" not in plan.text()


def test_bare_parameter_counts_as_a_matrix_unless_it_is_added():
    model = nn.Module()
    for name, shape in {
        "mixing": (4, 5),
        "in_proj": (1, 4, 5),
        "pos_embedding": (1, 6, 4),
        "cls_token": (2, 4),
        "relative_position_bias_table": (9, 2),
        "layer_scale": (7, 1, 1),
    }.items():
        model.register_parameter(name, nn.Parameter(torch.zeros(shape)))
    assert list(weight_matrices(model)) == ["mixing", "in_proj"]


class Named(nn.Module):
    """Parameters whose names end alike: one is multiplied by, one is added, one is the input of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing_table = nn.Parameter(torch.randn(4, 6))
        self.pos = nn.Parameter(torch.randn(3, 6))
        self.query_tokens = nn.Parameter(torch.randn(3, 6))
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x @ self.mixing_table + self.pos) + self.head(self.query_tokens)


def test_what_an_example_shows_of_a_parameter_wins_over_its_name():
    model = Named()
    named = {row.path: row for row in plan_conversion(model, IDEAL).rows}
    assert {path for path, row in named.items() if row.action == "analog"} == {"head"}
    assert all("name" in named[path].reason for path in ("mixing_table", "pos", "query_tokens"))
    plan = plan_conversion(model, IDEAL, input_shape=(3, 4))
    shown = {row.path: row for row in plan.rows}
    assert {path for path, row in shown.items() if row.action == "analog"} == {"mixing_table", "head"}
    assert "add" in shown["pos"].reason
    assert "in no product" in shown["query_tokens"].reason
    assert shown["head"].macs == 2 * 3 * 12  # of the input and of the learned queries
    assert sum(row.macs for row in plan.rows) == plan.macs
    with torch.no_grad():
        torch.testing.assert_close(convert(model, IDEAL, plan=plan)(torch.ones(2, 3, 4)), model(torch.ones(2, 3, 4)))


def test_plan_when_layers_are_kept_digital_says_by_whom():
    plan = plan_conversion(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2)), IDEAL, keep_digital=["0"])
    assert plan.summary().analog_matrix_weights_percent == 20
    assert "0 (Linear, 64 weights, kept digital by you)" in plan.text()
    assert "keep fewer layers digital" in plan.text()
    assert "register a rule" not in plan.text()


def test_coverage_warns_below_90_percent_alone_and_names_the_largest():
    layers = tuple(LeftOut(path=f"l{size}", layer_type="LSTM", weights=size) for size in (1, 2, 3, 4))
    assert tiles_warning(Coverage(90, layers)) == ""
    text = tiles_warning(Coverage(89, layers))
    assert "89.8 %" in text
    assert text.index("l4 ") < text.index("l3 ") < text.index("l2 ") < text.index("and 1 more")
    assert Coverage(0, ()).percent == 100
    assert Coverage(8999, (LeftOut(path="a", layer_type="B", weights=1001),)).percent_text == "89.9 %"


LAYERS = {
    "Linear": (nn.Linear(5, 7), (3, 5), 3 * 35),
    "grouped Conv2d": (nn.Conv2d(8, 12, 3, groups=4, padding=1), (8, 10, 10), 10 * 10 * 12 * 2 * 9),
    "depthwise Conv2d": (nn.Conv2d(8, 8, 3, groups=8, stride=2), (8, 9, 9), 16 * 8 * 9),
    "Conv1d": (nn.Conv1d(8, 12, 3), (8, 10), 8 * 12 * 8 * 3),
    "grouped Conv3d": (nn.Conv3d(2, 4, 3, groups=2), (2, 5, 5, 5), 27 * 4 * 27),
    "LSTM": (nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True), (3, 5), 3 * 2 * 28 * (5 + 7 + 14 + 7)),
    "GRU": (nn.GRU(5, 7, batch_first=True), (3, 5), 3 * 21 * 12),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5), 25 * 4 * 3 * 9),
    "attention layer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (6, 8),
        6 * 4 * 8 * 8 + 2 * 6 * 6 * 8 + 6 * 2 * 8 * 16,  # projections, scores and their product, two linear layers
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_macs_agree_with_the_formula(name):
    layer, shape, macs = LAYERS[name]
    plan = plan_conversion(nn.Sequential(layer), IDEAL, input_shape=shape)
    assert plan.macs == macs
    if len(plan.rows) == 1:
        assert plan.rows[0].macs == macs


def test_macs_when_products_stand_between_layers_are_in_the_total():
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.matrix = nn.Bilinear(3, 3, 4), nn.Parameter(torch.ones(5, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.matrix @ self.pair(x, x)[0] + torch.dot(x[0], x[0])

    assert plan_conversion(Products(), IDEAL, input_shape=(3,)).macs == 3 * 3 * 4 + 5 * 4 + 3


def test_macs_when_attention_scores_are_digital_are_not_all_on_tiles():
    plan = plan_conversion(Attention(), IDEAL, input_shape=(5, 4))
    assert [(row.path, row.action) for row in plan.rows] == [
        ("pos_embedding", "digital"), ("qkv", "analog"), ("(between weights)", "digital")
    ]  # fmt: skip
    assert plan.rows[0].reason.endswith("in no product: digital by nature")
    assert [row.macs for row in plan.rows] == [0, 288, 288]
    assert plan.summary().macs == 6 * 48 + 2 * 6 * 6 * 4
    assert plan.summary().analog_macs_percent == pytest.approx(100 * 288 / 576)
    assert "50.0 % on analog tiles" in summary_text(plan)


def test_counting_leaves_model_backends_and_random_stream_alone():
    model = seeded(Recurrent).train()
    flags = torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.mha.get_fastpath_enabled()
    state = torch.get_rng_state()
    plan_conversion(nn.Sequential(model), IDEAL, input_shape=(3, 4))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    after = torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.mha.get_fastpath_enabled()
    assert after == flags


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning")  # a user may still have such a part
def test_macs_when_a_part_is_scripted_are_in_the_total():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(8, 16), nn.ReLU())), nn.Linear(16, 3))
    plan = plan_conversion(model, IDEAL, input_shape=(8,))
    assert (plan.macs, plan.summary().matrix_weights) == (8 * 16 + 16 * 3, 8 * 16 + 16 * 3)
    assert [row.path for row in plan.with_action("analog")] == ["1"]


def test_vit_has_all_but_its_attention_scores_on_tiles():
    torchvision = pytest.importorskip("torchvision")
    vit = torchvision.models.VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=3)
    plan = plan_conversion(vit, IDEAL, input_shape=(3, 16, 16))
    assert {row.path for row in plan.rows if row.macs and row.action == "digital"} == {"(between weights)"}
    assert plan.rows[-1].macs == 2 * 2 * 5 * 5 * 16  # layers, scores and their product, tokens, width
    assert sum(row.macs for row in plan.rows) == plan.macs
    assert plan.summary().analog_matrix_weights_percent == 100


def test_simulate_drift_when_most_matrices_are_digital_warns():
    data = [(torch.randn(6, 3, 4), torch.arange(6) % 3)]
    largest = r"only 5\.8 % of the matrix weights.*lstm\.weight_hh_l0 \(LSTM, 256 weights"
    with pytest.warns(CoverageWarning, match=largest):
        simulate_drift(seeded(Recurrent), IDEAL, data, times=[1.0], instances=1, seed=0, keep_digital=["lstm"])


@pytest.mark.parametrize("optimizer", [SAM, ASAM, SAMSON])
def test_sharpness_aware_optimizer_when_it_leaves_matrices_out_warns_once(optimizer):
    model = Mixed()
    with pytest.warns(CoverageWarning) as caught:
        optimizer(model, lr=0.1)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert all(
        part in text for part in (optimizer.__name__, "5.8 %", "(model) (Mixed, 384 weights)", "selection='paper'")
    )
    assert caught[0].filename == __file__


def test_sharpness_aware_optimizer_when_it_perturbs_all_matrices_is_silent():
    SAMSON(Mixed(), lr=0.1, selection="paper")
    SAMSON(Mixed(), lr=0.1, rho=0.0)
    SAMSON(nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 2), nn.LayerNorm(2)), lr=0.1)
    frozen = Mixed()
    frozen.mixing.requires_grad_(False)
    SAMSON(frozen, lr=0.1)


def test_share_log_when_matrices_are_left_out_says_how_many_move(caplog):
    model = Mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = SAMSON(model, lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 3, 4)).square().mean()
        loss.backward()
        return loss

    with caplog.at_level(logging.INFO):
        optimizer.step(closure)
    assert caplog.messages[0].endswith("5.8 % of the matrix weights are perturbed")


def plan_record(path: str, layer_type: str, weights: int, *, analog: bool) -> dict:
    return META["plan"][0] | {
        "path": path,
        "layer_type": layer_type,
        "action": "analog" if analog else "digital",
        "reason": "",
        "matrix_weights": weights,
        "shared_with": "",
    }


def test_headline_when_most_matrices_are_digital_says_so(tmp_path):
    plan = [plan_record("lstm", "LSTM", 900, analog=False), plan_record("head", "Linear", 100, analog=True)]
    with open_run(synthetic_run(tmp_path / "low", meta={"plan": plan})) as folder:
        low = headline(Contents(read_runs([folder]))).second
    assert "only 10.0 % of the matrix weights are on analog tiles" in low
    assert "lstm (LSTM, 900 weights)" in low
    with open_run(synthetic_run(tmp_path / "old")) as folder:
        assert "matrix weights" not in headline(Contents(read_runs([folder]))).second


def test_headline_when_outliers_waste_the_conductance_range_says_so(tmp_path):
    row = plan_record("up", "Linear", 900, analog=True) | {"largest_over_std": 175.2, "weight_scaling": "per_layer"}
    for scaling, said in (("per_layer", True), ("per_column", False)):
        plan = [row | {"weight_scaling": scaling}]
        with open_run(synthetic_run(tmp_path / scaling, meta={"plan": plan})) as folder:
            assert ("up (175)" in headline(Contents(read_runs([folder]))).second) is said


def test_convert_and_simulate_commands_print_the_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("net.safetensors", seeded(Small), SMALL)
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    np.savez("data.npz", images=images, labels=np.arange(6) % 3)
    assert main(["convert", "--model", "small:Small", "--checkpoint", "net.safetensors", "--keep-digital", "body"]) == 0
    assert "warning: only" in capsys.readouterr().out
    short = [
        "--times",
        "1s",
        "--instances",
        "1",
        "--sigmas",
        "none",
        "--no-html",
        "--normalization",
        "half",
        "--keep-digital",
        "body",
    ]
    assert (
        main(
            ["simulate", "--model", "small:Small", "--checkpoint", "net.safetensors", "--data", "npz:data.npz", *short]
        )
        == 0
    )
    printed = capsys.readouterr()
    assert printed.err.count("warning: ") == 1
    assert "body.0 (Conv2d" in printed.err
    assert "kept digital by you" in printed.err
    assert "of the matrix weights are on analog tiles" in printed.out
