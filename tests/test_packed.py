"""Products with a matrix that is prepared once: oneDNN's order of memory, and recurrent layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.chip import execute
from analog_samson.crossbar.packed import packed_linear
from analog_samson.results.condition import Condition


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 5, 3), (0, 4, 2), (70, 300, 17), (3, 1, 1)])
def test_packed_product_equals_linear(count, rows, columns):
    with rng.stream(0, count, rows, columns), torch.no_grad():
        x, weight = torch.randn(count, rows), torch.randn(columns, rows)
        for strided in (x, x.T.contiguous().T):
            expected = functional.linear(x, weight)
            torch.testing.assert_close(packed_linear(weight)(strided), expected, rtol=1e-4, atol=1e-4)
        turned = weight.T.contiguous().T
        torch.testing.assert_close(packed_linear(turned)(x), functional.linear(x, weight), rtol=1e-4, atol=1e-4)


def test_packed_product_with_gradients_has_them():
    x = torch.ones(2, 3, requires_grad=True)
    packed_linear(torch.full((4, 3), 0.5))(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full((2, 3), 2.0))


def test_recurrent_layer_prepares_its_tiles_once_a_forward_and_anew_after_drift(monkeypatch):
    rasch = load_preset("pcm_rasch_2023")
    with rng.stream(0, "layer"):
        model, x = nn.LSTM(4, 4), torch.randn(7, 2, 4)
    plan = plan_conversion(model, rasch, example=x)
    device = SimulatedDevice(model, plan, input_ranges={row.path: 2.0 for row in plan.rows})
    chip, outputs = device.program(0, 0), []
    prepared, prepare = [], execute.prepare_static
    monkeypatch.setattr(execute, "prepare_static", lambda *a: prepared.append(a[0].weight) or prepare(*a))
    for time in (1.0, 1e6):
        with chip.at(Condition(stage="drift", time_seconds=time)) as network, torch.no_grad():
            outputs.append(network(x)[0])
    assert len(prepared) == 4  # two weights at two times, whatever the number of steps
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)
