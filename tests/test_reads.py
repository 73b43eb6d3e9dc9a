"""Networks whose modules read the weights of others: facts are told, products are refused with the remedy."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson import convert, load_preset, plan_conversion, simulate_drift
from analog_samson.crossbar.reads import TileWeight
from analog_samson.errors import PlanError

IDEAL = load_preset("ideal")


class PatchEmbedding(nn.Module):
    """As in transformers' ViT: the input takes the dtype of the projection's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, 8, 4, stride=4)
        self.head = nn.Linear(8, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.projection.weight
        assert weight.shape == (8, 3, 4, 4)
        assert (weight.ndim, weight.numel(), weight.device, len(weight)) == (4, 384, x.device, 8)
        x = self.projection(x.to(weight.dtype)).flatten(2).mean(2)
        return self.head(x.to(self.head.weight))


class Attention(nn.Module):
    """As in timm's EVA-02: the projection's weight is multiplied here, its layer never called."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = functional.linear(x, weight=self.qkv.weight, bias=self.qkv.bias).chunk(3, -1)
        return x + self.proj(functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0])


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Attention(), Attention())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(1))


X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(6) % 3
PATTERN = "layers.*.qkv"


def test_facts_of_a_weight_are_told_and_outputs_equal_the_digital_ones():
    model = PatchEmbedding().eval()
    analog = convert(model, IDEAL)
    with torch.no_grad():
        torch.testing.assert_close(analog(X), model(X), rtol=1e-4, atol=1e-5)
    assert plan_conversion(model, IDEAL, input_shape=(3, 8, 8)).summary().analog_matrix_weights_percent == 100
    assert simulate_drift(model, IDEAL, [(X, Y)], times=[1.0], instances=1, seed=0).records


def test_stand_in_has_the_facts_of_the_weight_and_no_values():
    analog = convert(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 2, bias=False)), IDEAL)
    assert analog[0].weight.shape == (6, 2, 3, 3)
    assert analog[0].bias.shape == (6,)
    assert analog[2].bias is None
    assert isinstance(copy.deepcopy(analog)[2].weight, TileWeight)
    assert "2.weight" in repr(analog[2].weight)
    assert not [name for name in analog.state_dict() if name.endswith(("0.weight", "2.weight"))]
    for compute in (
        lambda weight: weight + 1,
        lambda weight: weight.t(),
        lambda weight: weight.sum(),
        lambda weight: functional.linear(torch.ones(1, 24), weight),
        lambda weight: torch.ones(1, 24) @ weight.T,
        lambda weight: weight.detach(),
        lambda weight: weight.data,
        lambda weight: weight.copy_(torch.ones(2, 24)),
        lambda weight: float(weight[0, 0]),
    ):
        with pytest.raises(PlanError, match=r"2 \(Linear\).*exclude '2'"):
            compute(analog[2].weight)


def test_plan_with_a_shape_names_every_layer_that_is_bypassed_with_one_pattern():
    with pytest.raises(PlanError) as caught:
        plan_conversion(Blocks(), IDEAL, input_shape=(4, 8)).check()
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("2 problems")
    assert [line.split()[0] for line in lines] == ["layers.0.qkv", "layers.1.qkv"]
    assert all(f"exclude {PATTERN!r}" in line for line in lines)
    plan = plan_conversion(Blocks(), IDEAL, input_shape=(4, 8), exclude=[PATTERN])
    plan.check()
    assert [row.path for row in plan.with_action("analog")] == ["layers.0.proj", "layers.1.proj", "head"]


def test_simulation_of_a_bypassed_layer_is_refused_before_any_result():
    kept = []
    with pytest.raises(PlanError, match=r"layers\.0\.qkv \(Linear\).*\n.*layers\.1\.qkv"):
        simulate_drift(Blocks(), IDEAL, [(TOKENS, Y)], times=[1.0], instances=1, seed=0, progress=kept.append)
    assert not kept


@pytest.mark.filterwarnings("ignore::analog_samson.CoverageWarning")
def test_pattern_of_the_message_makes_it_run():
    model = Blocks().eval()
    with torch.no_grad():
        torch.testing.assert_close(
            convert(model, IDEAL, exclude=[PATTERN])(TOKENS), model(TOKENS), rtol=1e-4, atol=1e-5
        )
    found = simulate_drift(model, IDEAL, [(TOKENS, Y)], times=[1.0], instances=1, seed=0, exclude=[PATTERN])
    assert found.records


def test_converted_model_that_computes_with_a_weight_names_layer_and_remedy():
    analog = convert(Blocks(), IDEAL)
    with pytest.raises(PlanError, match=r"layers\.0\.qkv \(Linear\).*exclude 'layers\.0\.qkv', or 'layers\.\*\.qkv'"):
        analog(TOKENS)


def test_layer_that_is_called_where_its_weight_is_tied_is_not_bypassed():
    class TiedHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(5, 8), nn.Linear(8, 5, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.table(x.long()).mean(1))

    plan_conversion(TiedHead(), IDEAL, input_shape=(3,)).check()


def test_swin_is_refused_with_two_patterns_and_runs_without_these_layers():
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        swin = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3).eval()
    plan = plan_conversion(swin, IDEAL, input_shape=(3, 16, 16))
    patterns = {row.reason.rpartition("exclude ")[2].strip("'") for row in plan.with_action("blocked")}
    assert patterns == {"features.*.*.attn.qkv", "features.*.*.attn.proj"}
    analog, x = convert(swin, IDEAL, exclude=sorted(patterns)), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(analog(x), swin(x), rtol=1e-3, atol=1e-4)
