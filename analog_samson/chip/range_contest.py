"""Which of several sets of input ranges brings the outputs of the whole network closest to the digital ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import mount
from analog_samson.chip.input_range import InputRange, with_input_ranges
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.chip.output_error import output_errors
from analog_samson.chip.range_search import program_for_ranges
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.runtime.devices import full_precision
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch import Run, tensors_of

Ranges = Mapping[str, InputRange]


@torch.no_grad()
def best_ranges(
    model: nn.Module, plan: ConversionPlan, sets: Sequence[Ranges], batches: Iterable[Any], *, seed: int, run: Run
) -> Ranges:
    """The set with the smallest error of the network's outputs, relative to their size; the first of equals.

    All sets meet the same programmed draw, a day old, and the same noise; they are tried one after the other, for two
    networks on tiles may not fit into memory. A network without outputs to compare gets the first.

    Args:
        model: The digital network.
        plan: Of its conversion.
        sets: Ranges by path.
        batches: Calibration batches, which can be gone through again and again.
        seed: Names the draws, which come from streams of their own.
        run: How the network is run on a batch.
    """
    with full_precision(), eval_mode(model):
        return min(sets, key=lambda ranges: _error(model, _programmed(model, plan, ranges, seed), batches, run))


def _error(model: nn.Module, network: nn.Module, batches: Iterable[Any], run: Run) -> float:
    """The mean over samples of the error of a network's outputs."""
    found: list[torch.Tensor] = []
    for batch in batches:
        found += output_errors(tensors_of(run(network, batch)), tensors_of(run(model, batch)))
    return float(torch.cat(found).mean()) if found else 0.0


def _programmed(model: nn.Module, plan: ConversionPlan, ranges: Ranges, seed: int) -> nn.Module:
    mounted = mount(model, with_input_ranges(plan, ranges))
    assert isinstance(mounted, CrossbarNetwork)
    for placement in plan.placements:
        path, matrix = placement.path, mounted.matrices[placement.path]
        program_for_ranges(matrix, placement.preset or plan.preset, path, seed)
        if path in ranges:
            matrix.set_input_range(ranges[path].value)
        mounted.refresh(path)
        matrix.converter_noise = rng.ContinuedStream(seed, "input range noise", path, "network", device=matrix.device)
    return mounted.network
