"""Input ranges from data: layers that no image reaches, inputs without spread, modes left as they were."""

import pytest
import torch
from torch import Tensor, nn

from analog_samson.errors import DataError
from analog_samson.presets.search import load_preset
from analog_samson.tiles.calibrate import calibrate_input_ranges
from analog_samson.tiles.convert import convert

RASCH = load_preset("pcm_rasch_2023")
MULTIPLE = RASCH.periphery.input_range_std_multiple


class Headed(nn.Module):
    """A second head that answers in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.extra = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.extra(x) if self.training else self.body(x)


class Shifted(nn.Module):
    """A layer whose inputs are relu(x + shift) of another's outputs."""

    def __init__(self, shift: float, slope: float = 1.0) -> None:
        super().__init__()
        self.first, self.second, self.shift, self.slope = nn.Linear(8, 4), nn.Linear(4, 3), shift, slope

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.slope * self.first(x) + self.shift))


def calibrated(model: nn.Module) -> tuple[nn.Module, dict[str, float]]:
    analog = convert(model, RASCH)
    batches = [(torch.randn(50, 8, generator=torch.Generator().manual_seed(seed)), torch.zeros(50)) for seed in (0, 1)]
    return analog, calibrate_input_ranges(model, analog, batches, RASCH)


def test_layer_that_no_image_reaches_keeps_its_range():
    _, ranges = calibrated(Headed())
    assert list(ranges) == ["body"]


def test_layer_that_meets_zeros_only_keeps_its_range_and_gives_numbers():
    analog, ranges = calibrated(Shifted(-100.0))
    assert list(ranges) == ["first"]
    assert analog(torch.randn(3, 8)).isfinite().all()


def test_inputs_without_spread_count_with_their_size():
    _, ranges = calibrated(Shifted(0.1, slope=0.0))
    assert ranges["second"] == pytest.approx(0.1 * MULTIPLE)


def test_range_is_the_multiple_of_the_standard_deviation_over_all_batches():
    model = Shifted(0.0)
    _, ranges = calibrated(model)
    inputs = torch.cat([torch.randn(50, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)])
    assert ranges["first"] == pytest.approx(MULTIPLE * inputs.std(correction=0).item(), rel=1e-6)


def test_model_keeps_the_mode_of_each_of_its_modules():
    model = Shifted(0.0).train()
    model.second.eval()
    calibrated(model)
    assert (model.training, model.first.training, model.second.training) == (True, True, False)


def test_no_images_at_all_are_refused():
    model = Headed()
    with pytest.raises(DataError, match="no images reached the layers"):
        calibrate_input_ranges(model, convert(model, RASCH), [], RASCH)
