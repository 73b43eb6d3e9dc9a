"""Input ranges of the digital-to-analog converters, set once from data."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.errors import DataError
from analog_samson.evaluation import eval_mode
from analog_samson.presets.schema import Converters, Preset
from analog_samson.tiles.state import tile_grid

_ROUNDING = 1e-6  # of a standard deviation, relative to the mean, that sums of squares in double precision may leave


def needs_calibration(preset: Preset) -> bool:
    """Whether the preset has converters, whose input ranges data must set."""
    return isinstance(preset.periphery, Converters)


@torch.no_grad()
def calibrate_input_ranges(
    model: nn.Module, analog: Any, batches: Iterable[tuple[Tensor, Tensor]] | None, preset: Preset
) -> dict[str, float]:
    """Set every tile's input range to the preset's multiple of the standard deviation of its layer's inputs.

    model: the digital model that `analog` was converted from; it sees all `batches` once, in eval mode.
    Returns the range of each layer path. A layer that no image reached, or that met zeros only, keeps its range and is
    left out; inputs that are all the same count with their size. aihwkit starts its learned ranges from the same
    statistic; its own calibration takes signed quantiles, which clip inputs that are mostly negative. Raises DataError
    without data.
    """
    layers = {path: layer for path, layer in analog.named_analog_layers()}
    moments = {path: torch.zeros(3, dtype=torch.float64) for path in layers}

    def watch(path: str) -> Any:
        def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double()
            moments[path] += torch.stack([torch.tensor(x.numel()), x.sum().cpu(), x.square().sum().cpu()])

        return add

    hooks = [model.get_submodule(path).register_forward_pre_hook(watch(path)) for path in layers]
    try:
        with eval_mode(model):
            for x, _ in batches or ():
                model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not any(count for count, _, _ in moments.values()):
        raise DataError("calibration: no images reached the layers; give at least one batch")
    assert isinstance(preset.periphery, Converters)
    multiple = preset.periphery.input_range_std_multiple
    sizes = {path: _size(*m.tolist()) for path, m in moments.items()}
    ranges = {path: multiple * size for path, size in sizes.items() if size > 0}
    for path, reach in ranges.items():
        for tile in (tile for row in tile_grid(layers[path].analog_module) for tile in row):
            tile.set_input_range(reach)
    return ranges


def _size(count: float, total: float, squares: float) -> float:
    """The standard deviation, or the size of inputs that are all the same."""
    mean = total / max(count, 1.0)
    deviation = max(squares / max(count, 1.0) - mean**2, 0.0) ** 0.5
    return deviation if deviation > _ROUNDING * abs(mean) else abs(mean)
