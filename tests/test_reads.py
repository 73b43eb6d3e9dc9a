"""Networks whose modules read or multiply by the weights of others."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson import convert, load_preset, plan_conversion, simulate_drift

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


def test_facts_of_a_weight_are_told_and_outputs_equal_the_digital_ones():
    model = PatchEmbedding().eval()
    analog = convert(model, IDEAL)
    with torch.no_grad():
        torch.testing.assert_close(analog(X), model(X), rtol=1e-4, atol=1e-5)
    assert plan_conversion(model, IDEAL, input_shape=(3, 8, 8)).summary().analog_matrix_weights_percent == 100
    assert simulate_drift(model, IDEAL, [(X, Y)], times=[1.0], instances=1, seed=0).records


RASCH = load_preset("pcm_rasch_2023")


@pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # layers of eight inputs
@pytest.mark.parametrize("preset", [IDEAL, RASCH], ids=lambda preset: preset.name)
def test_layer_whose_weight_its_parent_multiplies_by_is_on_tiles_like_any_other(preset):
    model = Blocks().eval()
    plan = plan_conversion(model, preset, input_shape=(4, 8))
    assert [row.action for row in plan.rows] == [*["analog"] * 5, "digital"]  # the last: attention scores
    assert plan.rows[0].macs == 4 * 8 * 24
    assert plan.rows[-1].macs == 2 * 2 * 4 * 4 * 8  # attention scores and their use
    assert plan.macs == sum(row.macs for row in plan.rows)
    result = simulate_drift(model, preset, [(TOKENS, Y)], times=[1.0], instances=1, seed=0, calibration=[(TOKENS, Y)])
    assert result.records
    assert set(result.input_ranges) == ({row.path for row in plan.rows[:-1]} if preset is RASCH else set())


def test_outputs_of_a_parent_that_multiplies_by_a_weight_equal_the_digital_ones():
    model = Blocks().eval()
    with torch.no_grad():
        torch.testing.assert_close(convert(model, IDEAL)(TOKENS), model(TOKENS), rtol=1e-4, atol=1e-5)


def test_layer_that_is_called_where_its_weight_is_tied_is_converted():
    class TiedHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(5, 8), nn.Linear(8, 5, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.table(x.long()).mean(1))

    model, x = TiedHead().eval(), torch.tensor([[0, 3, 4]])
    plan_conversion(model, IDEAL, input_shape=(3,)).check()
    for preset in (IDEAL, load_preset("pcm_nandakumar_2019")):
        analog = convert(model, preset)
        assert torch.equal(analog.table.weight, model.table.weight)  # the look-up stays digital
    with torch.no_grad():
        torch.testing.assert_close(convert(model, IDEAL)(x), model(x))


def test_swin_is_converted_whole():
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        swin = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3).eval()
    plan = plan_conversion(swin, IDEAL, input_shape=(3, 16, 16))
    assert plan.summary().analog_matrix_weights_percent > 99
    analog, x = convert(swin, IDEAL), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(analog(x), swin(x), rtol=1e-3, atol=1e-4)
