"""Input ranges of the digital-to-analog converters, chosen once from data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.choices import InputRangeMethod
from analog_samson.chip.input_sample import InputSample, watch_inputs
from analog_samson.chip.matrix import TileMatrix, matrices_of
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import crossbar_config
from analog_samson.crossbar.foreign import unwrapped
from analog_samson.crossbar.materialize import with_plain_weights
from analog_samson.crossbar.operator import matrix_product
from analog_samson.crossbar.plan import ConversionPlan, Placement, crossbar_placements
from analog_samson.crossbar.use import Use
from analog_samson.errors import DataError, OptionError, did_you_mean
from analog_samson.presets.schema import Converters, Preset
from analog_samson.runtime.devices import full_precision
from analog_samson.runtime.renamed import renamed_keyword
from analog_samson.tasks.batch import Run, feed

OUTPUT_ERROR, STD = "output_error", "std"
METHODS = get_args(InputRangeMethod)
QUANTILES = (1.0, 0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)
LATEST_SECONDS = 86400.0  # of the search; a range is set once and has to serve earlier and later times as well

_ROUNDING = 1e-6  # of a standard deviation, relative to the mean, that sums of squares in double precision may leave
_MOST_SORTED = 2**18  # numbers that quantiles are computed of; torch.quantile takes up to 16 million


@dataclass(frozen=True)
class InputRange:
    """The input range of a layer's tiles.

    value: the largest |input| that is not clipped. quantile: that of the absolute inputs which it is. relative_error:
    RMS error of the layer's output over the RMS of the exact output, bias aside, with this range. Both are None for
    the method "std", the error also where all outputs are 0.
    """

    value: float
    quantile: float | None = None
    relative_error: float | None = None


def needs_calibration(hardware: Preset | ConversionPlan) -> bool:
    """Whether a preset, or one of the presets of a plan, has converters, whose input ranges data must set."""
    presets = [hardware] if isinstance(hardware, Preset) else hardware.presets
    return any(isinstance(preset.periphery, Converters) for preset in presets)


def check_method(method: str) -> str | None:
    """What is wrong with the name of a method for input ranges; None if it is one."""
    if method in METHODS:
        return None
    return f"input_range: expected one of {', '.join(METHODS)}, got {method!r}{did_you_mean(method, METHODS)}"


@renamed_keyword("exclude", "keep_digital")
def choose_input_ranges(
    model: nn.Module,
    preset: Preset,
    batches: Iterable[Any] | None,
    *,
    seed: int,
    method: str = OUTPUT_ERROR,
    keep_digital: Sequence[str] = (),
    plan: ConversionPlan | None = None,
    run: Run = feed,
) -> dict[str, InputRange]:
    """Choose the input range of every layer that goes on tiles under `preset`. `model` is not changed.

    "output_error" takes, for each layer by itself, the candidate with the smallest error of the layer's output.
    Candidates are quantiles of its absolute inputs, 0.8 to 1. The output is that of the fast forward with everything
    the preset has (DAC, ADC, noise, IR drop), on one programmed draw of the layer's weights that drifted for a day, or
    to the end of the preset's validity if that is earlier. Every candidate meets the same draws. Where noise management
    scales each vector by its own maximum, the range only clips: the largest input is taken.

    "std" takes the preset's multiple of the standard deviation of the layer's inputs; inputs that are all equal count
    with their size. Rasch et al. 2023, the source of that multiple, only start from it and learn the ranges.

    Args:
        model: The digital network, with its layers on one device; it runs on all batches once, in eval mode.
        preset: A preset with converters.
        batches: Calibration batches: inputs alone, or with targets, which are not used.
        seed: Names the draws, which come from streams of their own: (seed, path of the layer).
        method: "output_error" or "std".
        keep_digital: Layers that stay digital, as for `convert`.
        plan: A plan made before, in the place of `keep_digital`.
        run: How the network is run on a batch.

    Returns:
        The ranges by path of the weight. A layer that no input reached, or that was given zeros only, has none.

    Raises:
        DataError: No input reached any layer.
        OptionError: The method is unknown.
        PlanError: As `convert`.
    """
    if problem := check_method(method):
        raise OptionError(problem)
    model = unwrapped(model)
    if plan is not None:
        plan.check()
    placements = crossbar_placements(model, keep_digital, preset=preset) if plan is None else plan.placements
    placements = tuple(one for one in placements if needs_calibration(one.preset or preset))
    plain = with_plain_weights(model, [module for placement in placements for module, _ in placement.slots(model)])
    chosen = _from_deviation if method == STD else _from_output_error
    ranges = chosen(plain, placements, preset, batches or (), seed, run)
    if ranges is None:
        raise DataError("calibration: no images reached the layers; give at least one batch")
    return ranges


def set_input_ranges(network: nn.Module, ranges: Mapping[str, float]) -> None:
    """Set the input ranges of a converted network's tiles, by layer path; other layers keep theirs."""
    for path, matrix in matrices_of(network).items():
        if path in ranges:
            matrix.set_input_range(ranges[path])


def _from_deviation(
    model: nn.Module, placements: Sequence[Placement], preset: Preset, batches: Iterable[Any], _: int, run: Run
) -> dict[str, InputRange] | None:
    moments = {placement.path: torch.zeros(3, dtype=torch.float64) for placement in placements}

    def adding(moment: Tensor) -> Callable[[Use], None]:
        def add(use: Use) -> None:
            x = use.input.double()
            moment.add_(torch.stack([torch.tensor(x.numel()), x.sum().cpu(), x.square().sum().cpu()]))

        return add

    watch_inputs(model, [(placement, adding(moments[placement.path])) for placement in placements], batches, run)
    if not any(count for count, _, _ in moments.values()):
        return None
    sizes = {path: _size(*moment.tolist()) for path, moment in moments.items()}
    presets = {placement.path: placement.preset or preset for placement in placements}
    return {path: InputRange(_multiple(presets[path]) * size) for path, size in sizes.items() if size > 0}


def _multiple(preset: Preset) -> float:
    assert isinstance(preset.periphery, Converters)
    return preset.periphery.input_range_std_multiple


def _size(count: float, total: float, squares: float) -> float:
    """The standard deviation, or the size of inputs that are all the same."""
    mean = total / max(count, 1.0)
    deviation = max(squares / max(count, 1.0) - mean**2, 0.0) ** 0.5
    return deviation if deviation > _ROUNDING * abs(mean) else abs(mean)


def _from_output_error(
    model: nn.Module, placements: Sequence[Placement], preset: Preset, batches: Iterable[Any], seed: int, run: Run
) -> dict[str, InputRange] | None:
    samples = {
        placement.path: InputSample(
            placement.layout.rows, placement.parameter(model).device, seed=seed, path=placement.path
        )
        for placement in placements
    }
    watch_inputs(model, [(placement, samples[placement.path].add) for placement in placements], batches, run)
    if not any(len(sample.vectors) for sample in samples.values()):
        return None
    found = {
        placement.path: _search(
            placement.parameter(model), placement, samples.pop(placement.path), placement.preset or preset, seed
        )
        for placement in placements
    }
    return {path: one for path, one in found.items() if one is not None}


@torch.no_grad()
def _search(weight: Tensor, placement: Placement, sample: InputSample, preset: Preset, seed: int) -> InputRange | None:
    """The candidate with the smallest error of the product with the weight, the largest one of several."""
    candidates = candidate_ranges(sample, _quantiles(preset)) if len(sample.vectors) else {}
    if not candidates:
        return None
    path, layout = placement.path, placement.layout
    matrix = TileMatrix(weight, layout, crossbar_config(rpu_config(preset)))
    with rng.stream(seed, "input range", path):
        matrix.program()
        matrix.drift(min(LATEST_SECONDS, preset.validity.max_seconds))
    operator = matrix_product(sample.groups)
    with full_precision():
        exact = operator.multiply(sample.vectors, layout.to_matrix(weight).float(), None, operator.groups)
    size, errors = _rms(exact), []
    for value in candidates.values():
        matrix.set_input_range(value)
        with rng.stream(seed, "input range noise", path):
            errors.append(_rms(matrix.multiply(sample.vectors, operator, None) - exact))
    best = min(range(len(errors)), key=errors.__getitem__)
    quantile, value = list(candidates.items())[best]
    return InputRange(value, quantile, float(f"{errors[best] / size:.6g}") if size > 0 else None)


def candidate_ranges(sample: InputSample, quantiles: Sequence[float] = QUANTILES) -> dict[float, float]:
    """Positive quantiles of the absolute inputs by quantile, the largest first, equal values once.

    1 is the maximum of all inputs; the others are quantiles of the sample.
    """
    sizes = sample.vectors.abs().flatten()
    sizes = sizes[:: max(1, -(-len(sizes) // _MOST_SORTED))]
    values = torch.quantile(sizes, torch.tensor(quantiles, dtype=sizes.dtype, device=sizes.device)).tolist()
    found: dict[float, float] = {}
    for quantile, value in zip(quantiles, values, strict=True):
        value = sample.largest if quantile == 1 else value
        if 0 < value < float("inf") and value not in found.values():
            found[quantile] = value
    return found


def _quantiles(preset: Preset) -> Sequence[float]:
    """Only the maximum where every vector is scaled by its own: a range then cancels but for what it clips."""
    assert isinstance(preset.periphery, Converters)
    management, threshold = preset.periphery.noise_management, preset.periphery.noise_management_threshold
    return QUANTILES[:1] if management == "abs_max" and threshold == 0 else QUANTILES


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())
