"""Trained networks that are not image classifiers: all of their matrices are on tiles, and the plan adds up."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.results.condition import Condition

DAY = Condition(stage="drift", time_seconds=86400.0)


def inputs(name: str) -> tuple[torch.Tensor, ...]:
    with rng.stream(0, name):
        return {
            "minilm": lambda: (torch.randint(0, 30000, (2, 8)), torch.ones(2, 8, dtype=torch.long)),
            "kwt1": lambda: (torch.randn(2, 98, 40),),
            "chargpt": lambda: (torch.randint(0, 27, (2, 16)),),
            "g2pm": lambda: (torch.randint(0, 5000, (2, 12)),),
            "dtln": lambda: (torch.randn(1, 2048) / 10,),
        }[name]()


def load(shared: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location("nets", shared / "networks" / "nets.py")
    assert spec is not None
    assert spec.loader is not None
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    return nets.load(name)


@pytest.mark.parametrize(
    ("name", "most"), [("minilm", 174.7), ("kwt1", 10.9), ("chargpt", 4.4), ("g2pm", 9.2), ("dtln", 26.1)]
)
def test_trained_network_is_on_tiles_with_all_of_its_matrices(shared, name, most):
    """`most`: the largest weight of its worst matrix, in standard deviations."""
    model, x = load(shared, name), inputs(name)
    plan = plan_conversion(model, load_preset("ideal"), example=x)
    assert plan.summary().analog_matrix_weights_percent == 100
    assert sum(row.parameters for row in plan.rows) == sum(p.numel() for p in model.parameters())
    assert sum(row.macs for row in plan.rows) == plan.macs
    assert max(row.largest_over_std for row in plan.rows) == pytest.approx(most, rel=0.01)
    with torch.no_grad():
        digital = model(*x)
        with SimulatedDevice(model, plan).program(0, 0).at(DAY) as network:
            torch.testing.assert_close(network(*x), digital, rtol=1e-4, atol=1e-4 * digital.abs().max().item())
