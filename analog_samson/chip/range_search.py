"""The range of one weight's converters: candidates, and the error of the weight's output with each of them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from analog_samson import rng
from analog_samson.chip.choices import STD, percentile_of
from analog_samson.chip.input_range import InputRange, has_adjustable_adc, with_adc_bound
from analog_samson.chip.input_sample import InputSample
from analog_samson.chip.matrix import TileMatrix, powers
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import crossbar_config
from analog_samson.crossbar.operator import matrix_product
from analog_samson.crossbar.plan import Placement
from analog_samson.presets.schema import Converters, Preset
from analog_samson.runtime.devices import full_precision

QUANTILES = (1.0, 0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)
LATEST_SECONDS = 86400.0  # of the search; a range is set once and has to serve earlier and later times as well

_ROUNDING = 1e-6  # of a standard deviation, relative to the mean, that sums of squares in double precision may leave
_MOST_SORTED = 2**18  # numbers that quantiles are computed of; torch.quantile takes up to 16 million


@torch.no_grad()
def search_range(
    weight: Tensor, placement: Placement, sample: InputSample, preset: Preset, method: str | float, seed: int
) -> tuple[InputRange, InputRange] | None:
    """The candidates of a method with the smallest error of the product with the weight, the largest one of several.

    The first has the smallest error of the vectors one by one (`relative_error`), the second that of all together.
    Every candidate meets the same programmed draw, a day old, and the same noise. Where the preset's ADC is adjustable,
    candidates are pairs of an input range and an ADC range. None for a weight that met no input but 0.

    Args:
        weight: The weight.
        placement: How it lies on tiles, and by which powers of two its inputs are divided.
        sample: Its inputs.
        preset: Its hardware.
        method: As `choices.range_method` returns it, or the range itself.
        seed: Names the draws, which come from streams of their own.
    """
    assert isinstance(preset.periphery, Converters)
    vectors = divided(sample, placement.input_exponents)
    candidates = _candidates(vectors, sample, placement, preset, method)
    if not candidates:
        return None
    layout, operator = placement.layout, matrix_product(sample.groups)
    with full_precision():
        exact = operator.multiply(sample.vectors, layout.to_matrix(weight).float(), None, operator.groups)
    found = []
    for bound in _adc_bounds(preset):
        matrix = _programmed(weight, placement, preset if bound is None else with_adc_bound(preset, bound), seed)
        for value, quantile in candidates.items():
            matrix.set_input_range(value)
            with rng.stream(seed, "input range noise", placement.path):
                output = matrix.multiply(sample.vectors, operator, None)
            found.append(_Tried(relative_error(output, exact), _rms(output - exact), value, quantile, bound))
    # The relative error is NaN for every candidate where the exact output is 0.
    by_vector, together = min(found, key=lambda one: one.by_vector), min(found, key=lambda one: one.together)
    return _range(by_vector, vectors, placement, preset), _range(together, vectors, placement, preset)


class _Tried(NamedTuple):
    """A candidate and its errors: of the vectors one by one, relative, and of all together, absolute."""

    by_vector: float
    together: float
    value: float
    quantile: float | None
    bound: float | None


def _range(tried: _Tried, vectors: Tensor, placement: Placement, preset: Preset) -> InputRange:
    assert isinstance(preset.periphery, Converters)
    clipped, codes_used = code_statistics(vectors, tried.value, preset.periphery)
    return InputRange(
        tried.value,
        tried.quantile,
        None if math.isnan(tried.by_vector) else float(f"{tried.by_vector:.6g}"),
        clipped=clipped,
        codes_used=codes_used,
        adc_bound=tried.bound,
        exponents=placement.input_exponents,
    )


def _candidates(
    vectors: Tensor, sample: InputSample, placement: Placement, preset: Preset, method: str | float
) -> dict[float, float | None]:
    """Quantiles by range, the largest range first."""
    periphery = preset.periphery
    assert isinstance(periphery, Converters)
    if len(vectors) == 0:
        return {}
    if not isinstance(method, str):
        return {method: None}
    if method == STD:
        size = _size(*(sample.moments.tolist() if not placement.input_exponents else _moments(vectors)))
        return {periphery.input_range_std_multiple * size: None} if size > 0 else {}
    if (percentile := percentile_of(method)) is not None:
        quantiles: Sequence[float] = (percentile / 100,)
    else:  # a range cancels where every vector is scaled by its own maximum, but for what it clips
        own = periphery.noise_management == "abs_max" and periphery.noise_management_threshold == 0
        quantiles = QUANTILES[:1] if own else QUANTILES
    largest = sample.largest
    if placement.input_exponents and sample.by_channel is not None:
        largest = float((sample.by_channel / powers(placement.input_exponents, sample.by_channel)).max())
    return {value: quantile for quantile, value in quantile_ranges(vectors, largest, quantiles).items()}


def quantile_ranges(vectors: Tensor, largest: float, quantiles: Sequence[float] = QUANTILES) -> Mapping[float, float]:
    """Positive quantiles of the absolute inputs by quantile, the largest first, equal values once.

    1 is the largest of all inputs; the others are quantiles of the sample.
    """
    sizes = vectors.abs().flatten()
    sizes = sizes[:: max(1, -(-len(sizes) // _MOST_SORTED))]
    values = torch.quantile(sizes, torch.tensor(quantiles, dtype=sizes.dtype, device=sizes.device)).tolist()
    found: dict[float, float] = {}
    for quantile, value in zip(quantiles, values, strict=True):
        value = largest if quantile == 1 else value
        if 0 < value < float("inf") and value not in found.values():
            found[quantile] = value
    return found


def divided(sample: InputSample, exponents: Sequence[int]) -> Tensor:
    """The sampled vectors as the DAC gets them."""
    if not exponents:
        return sample.vectors
    return sample.vectors / powers(exponents, sample.vectors).repeat_interleave(sample.positions)


def code_statistics(vectors: Tensor, value: float, periphery: Converters) -> tuple[float, float | None]:
    """The share of inputs that a range clips, and the effective share of the DAC's codes, 2^entropy over their number.

    The second is None for a continuous DAC, and where each vector is divided by its own largest input.

    >>> from analog_samson.presets import load_preset
    >>> code_statistics(torch.tensor([[0.0, 1.0, 2.0, -1.0]]), 1.0, load_preset("pcm_rasch_2023").periphery)
    (0.25, 0.011092)
    """
    constant = periphery.noise_management == "constant"
    divisor = periphery.noise_management_threshold if constant else 1.0
    scaled = vectors / (value * divisor)
    edge = min(1.0, 1 / divisor)
    clipped = float((scaled.abs() > edge * (1 + 1e-6)).float().mean())
    if periphery.dac_bits == 0 or periphery.noise_management == "abs_max":
        return _short(clipped), None
    steps = 2 ** (periphery.dac_bits - 1) - 1
    codes = (scaled.clamp(-edge, edge) * steps).round().long().flatten() + steps
    shares = torch.bincount(codes, minlength=2 * steps + 1).double() / codes.numel()
    entropy = float(torch.special.entr(shares).sum())
    return _short(clipped), _short(math.exp(entropy) / len(shares))


def _adc_bounds(preset: Preset) -> Sequence[float | None]:
    """Halves of the preset's range down to one full input on a full weight, where it can be chosen; None: as it is."""
    assert isinstance(preset.periphery, Converters)
    if not has_adjustable_adc(preset):
        return (None,)
    largest = preset.periphery.adc_bound
    return [largest / 2**n for n in range(1 + max(0, math.floor(math.log2(largest))))]


def _programmed(weight: Tensor, placement: Placement, preset: Preset, seed: int) -> TileMatrix:
    matrix = TileMatrix(weight, placement.layout, crossbar_config(rpu_config(preset)), placement.input_exponents)
    program_for_ranges(matrix, preset, placement.path, seed)
    return matrix


def program_for_ranges(matrix: TileMatrix, preset: Preset, path: str, seed: int) -> None:
    """Program the draw that every candidate for the range of a weight meets, and let it drift for a day."""
    with rng.stream(seed, "input range", path):
        matrix.program()
        covered = preset.validity.max_seconds
        matrix.drift(LATEST_SECONDS if isinstance(covered, str) else min(LATEST_SECONDS, covered))


def _moments(vectors: Tensor) -> tuple[float, float, float]:
    values = vectors.double()
    return float(values.numel()), float(values.sum()), float(values.square().sum())


def _size(count: float, total: float, squares: float) -> float:
    """The standard deviation, or the size of inputs that are all the same."""
    mean = total / max(count, 1.0)
    deviation = max(squares / max(count, 1.0) - mean**2, 0.0) ** 0.5
    return deviation if deviation > _ROUNDING * abs(mean) else abs(mean)


def relative_error(output: Tensor, exact: Tensor) -> float:
    """The root mean square over vectors of each vector's error, relative to its exact output or the median one.

    A few vectors of huge outputs, as transformers have them at some tokens, count no more than the others: norm layers
    and attention, which follow, look at each token by itself. Outputs below the median count with their error alone.

    Args:
        output, exact: Of shape (vectors, columns).

    Returns:
        The error; NaN where the exact output is 0 throughout.

    >>> exact = torch.tensor([[1.0], [1.0], [100.0]])
    >>> round(relative_error(exact * 1.1, exact), 6), round(relative_error(exact - 0.5, exact), 3)
    (0.1, 0.408)
    """
    size = exact.double().flatten(1).square().mean(1)
    error = (output.double() - exact.double()).flatten(1).square().mean(1)
    if not size.any():
        return math.nan
    return float((error / size.clamp_min(size[size > 0].median())).mean().sqrt())


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _short(share: float) -> float:
    return float(f"{share:.5g}")
