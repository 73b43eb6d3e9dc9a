"""What clipping makes of the methods: SAMSON with p = inf is then ASAM with another radius."""

import math

import pytest
import torch
from torch import Tensor, nn

from analog_samson.sharpness.optimizers import ASAM, SAMSON
from analog_samson.training.weight_noise import clip_weights

C, RHO = 0.2, 0.1
SGD = {"lr": 0.05, "momentum": 0.9}


def clipped_network() -> nn.Module:
    """Convolution and linear layer with an outlier each, cut to C."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)).double()
    nn.init.normal_(model[4].weight, std=0.3)
    clip_weights(model, C)
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    """Steps with clipping after each; returns all parameters. Every layer has to keep its largest weight at C."""
    draws = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(16, 1, 6, 6, dtype=torch.float64, generator=draws)
        y = torch.randint(5, (16,), generator=draws)

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        assert [layer.weight.abs().max().item() for layer in (model[0], model[4])] == [C, C]
        optimizer.step(closure)
        clip_weights(model, C)
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("eta", [None, 0.0, 0.1])
def test_samson_of_the_outlier_on_weights_clipped_to_c_is_asam_with_radius_rho_over_c(steps, eta):
    """T = (|w| + eta) / c is ASAM's T over c. Float64, so that ten steps still agree to rounding."""
    samson, asam, other, sgd = (clipped_network() for _ in range(4))
    found = train(samson, SAMSON(samson, torch.optim.SGD, rho=RHO, p=math.inf, eta=eta, **SGD), steps)
    expected = train(asam, ASAM(asam, torch.optim.SGD, rho=RHO / C, eta=eta, **SGD), steps)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    another_radius = train(other, ASAM(other, torch.optim.SGD, rho=RHO, eta=eta, **SGD), steps)
    without = train(sgd, torch.optim.SGD(sgd.parameters(), **SGD), steps)
    for different in (another_radius, without):
        assert (found - different).norm() > 1e-4 * found.norm()
