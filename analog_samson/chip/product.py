"""The product of one tile with many vectors, non-idealities included, as aihwkit's compiled tile computes it.

The order of the steps is that of ``rpu_forward_backward_pass.cpp`` in aihwkit's sources: scale, DAC, input noise,
product, IR drop, weight noise, output noise, ADC. Rounding is half to even. In formulas: z inputs in units of the
input range, w (out, rows) in -1..1, y = w z, n = rows of the tile. All draws come from torch's global stream.
"""

from typing import Any

import torch
from aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from torch import Tensor

_NOISE_MANAGEMENT = (NoiseManagementType.NONE, NoiseManagementType.ABS_MAX, NoiseManagementType.CONSTANT)
_BOUND_MANAGEMENT = (BoundManagementType.NONE, BoundManagementType.ITERATIVE)
_UNCOVERED = (
    "inp_asymmetry", "inp_sto_round", "out_asymmetry", "out_noise_std", "out_nonlinearity", "out_sto_round",
    "slope_calibration", "v_offset_std", "r_series", "w_read_asymmetry_dtod",
)  # fmt: skip


def covers(io: Any) -> bool:
    """Whether every option of these aihwkit IOParameters is one that this module computes."""
    return io.is_perfect or (
        io.mv_type == AnalogMVType.ONE_PASS
        and io.noise_management in _NOISE_MANAGEMENT
        and io.bound_management in _BOUND_MANAGEMENT
        and io.v_offset_w_min <= 0
        and not any(getattr(io, name) > 0 for name in _UNCOVERED)
    )


def is_static(io: Any) -> bool:
    """Whether all vectors are treated alike, without noise of their own before the product.

    Then a layer is a few convolutions over the whole map; otherwise each vector has to be made.
    """
    return io.is_perfect or (
        io.noise_management != NoiseManagementType.ABS_MAX
        and io.bound_management == BoundManagementType.NONE
        and io.inp_noise <= 0
    )


def step(resolution: float, bound: float) -> float:
    """Width of one converter step; 0 for a continuous converter. aihwkit takes steps or one over steps."""
    if resolution <= 0:
        return 0.0
    return 2 * bound * (1 / resolution if resolution > 1 else resolution)


def convert_(values: Tensor, resolution: float, bound: float) -> Tensor:
    """A converter, in place: round to its steps, then cut at its bound."""
    width = step(resolution, bound)
    if width:
        values.div_(width).round_().mul_(width)
    return values.clamp_(-bound, bound) if bound > 0 else values


def wire_profile(rows: int, *, device: torch.device | str) -> Tensor:
    """(rows,) share of the IR drop that input j contributes, 1 - (1 - j / n)^2: the first is farthest."""
    return 1 - (1 - torch.arange(rows, device=device) / rows).square()


def wire_factor(current: Tensor, rows: int, io: Any) -> Tensor:
    """Fraction of the profiled product that is lost, from the total current |w| |z| of each output."""
    a = current * (rows / io.ir_drop_g_ratio)
    return io.ir_drop * (a * (a * (0.05 * a - 0.2) + 0.5))


def vector_product(weight: Tensor, vectors: Tensor, io: Any) -> Tensor:
    """y (B, out) of vectors (B, rows) on a tile with weights (out, rows); neither is changed."""
    if io.is_perfect:
        return vectors @ weight.T
    scale = _management_scale(vectors, io)
    if io.bound_management == BoundManagementType.NONE:
        output = _one_pass(weight, vectors / scale, io)[0] * scale
    else:
        output = _bound_managed(weight, vectors, scale, io)
    if io.noise_management == NoiseManagementType.ABS_MAX and io.inp_noise <= 0:
        output *= vectors.any(dim=1, keepdim=True)  # zeros are sent only where the DAC adds noise
    return output


def one_hot_product(weight: Tensor, io: Any) -> Tensor:
    """(rows, out) of all one-hot vectors, elementwise: what drift compensation reads, without the identity matrix."""
    if io.is_perfect:
        return weight.T.clone()
    if io.inp_noise > 0 or io.bound_management != BoundManagementType.NONE:
        return vector_product(weight, torch.eye(weight.shape[1], device=weight.device, dtype=weight.dtype), io)
    full = _management_scale(torch.ones(1, 1, device=weight.device, dtype=weight.dtype), io)
    level = convert_(1 / full, io.inp_res, io.inp_bound)
    output = weight.T * level
    if io.ir_drop > 0:
        lost = wire_factor(output.abs(), weight.shape[1], io)
        output = output * (1 - lost * wire_profile(weight.shape[1], device=weight.device)[:, None])
    variance = io.out_noise**2 + _read_variance(weight.abs().T * level**2, level**2, io)
    return convert_(_add_noise_(output, variance), io.out_res, io.out_bound) * full


def _management_scale(vectors: Tensor, io: Any) -> Tensor:
    """(B, 1) or (1, 1): what the vectors are divided by before the DAC and the outputs multiplied by after."""
    if io.noise_management == NoiseManagementType.ABS_MAX:
        largest = vectors.abs().amax(dim=1, keepdim=True)
        largest = largest.clamp(max=io.nm_thres) if io.nm_thres > 0 else largest
        return torch.where(largest > 0, largest, 1.0)
    constant = io.noise_management == NoiseManagementType.CONSTANT and io.nm_thres > 0
    return vectors.new_full((1, 1), io.nm_thres if constant else 1.0)


def _bound_managed(weight: Tensor, vectors: Tensor, scale: Tensor, io: Any) -> Tensor:
    """Repeat with halved inputs every vector of which an output was cut, until none is or the limit is reached."""
    output = vectors.new_zeros(len(vectors), len(weight))
    scale = scale.expand(len(vectors), 1).clone()
    pending, reduction = torch.arange(len(vectors), device=vectors.device), 1.0
    dac_step = step(io.inp_res, io.inp_bound)
    while len(pending):
        factor = scale[pending] * reduction
        result, cut = _one_pass(weight, vectors[pending] / factor, io)
        output[pending] = result * factor
        exhausted = int(reduction) > io.max_bm_factor or (dac_step > 0 and reduction > io.max_bm_res / dac_step)
        pending = pending[:0] if exhausted else pending[cut]
        reduction *= 2
    return output


def _one_pass(weight: Tensor, scaled: Tensor, io: Any) -> tuple[Tensor, Tensor]:
    """One product of scaled vectors (B, rows), and which vectors had an output beyond the ADC's bound."""
    z = convert_(scaled, io.inp_res, io.inp_bound)
    if io.inp_noise > 0:
        z = z + io.inp_noise * torch.randn_like(z)
    output, strength = z @ weight.T, weight.abs().T
    if io.ir_drop > 0:
        profile = wire_profile(weight.shape[1], device=weight.device)
        output -= wire_factor(z.abs() @ strength, weight.shape[1], io) * ((z * profile) @ weight.T)
    squares = z.square()
    variance = io.out_noise**2 + _read_variance(
        squares @ strength if io.w_noise_type == WeightNoiseType.PCM_READ else squares,
        squares.sum(dim=1, keepdim=True),
        io,
    )
    output = _add_noise_(output, variance)
    width = step(io.out_res, io.out_bound)
    rounded = output.div(width).round_().mul_(width) if width else output
    cut = (rounded > io.out_bound) | ((rounded < -io.out_bound) if io.bm_test_negative_bound else False)
    return rounded.clamp(-io.out_bound, io.out_bound), cut.any(dim=1)


def _read_variance(strength: Tensor, energy: Tensor, io: Any) -> Tensor | float:
    """Variance of the weight noise of a product: w_noise^2 times |w| z^2 (PCM) or |z|^2 (constant)."""
    if io.w_noise_type == WeightNoiseType.NONE or io.w_noise <= 0:
        return 0.0
    return io.w_noise**2 * (strength if io.w_noise_type == WeightNoiseType.PCM_READ else energy)


def normal_like(values: Tensor) -> Tensor:
    """Standard normals in the shape and layout of a dense tensor.

    Drawn flat: on other layouts than the contiguous one torch draws number by number, ten times slower.
    """
    flat = torch.randn(values.numel(), device=values.device, dtype=values.dtype)
    return flat.as_strided(values.shape, values.stride())


def _add_noise_(output: Tensor, variance: Tensor | float) -> Tensor:
    """Weight noise and output noise are independent and Gaussian: one draw of their summed variance."""
    if isinstance(variance, float):
        return output.add_(normal_like(output), alpha=variance**0.5) if variance > 0 else output
    return output.addcmul_(normal_like(output), variance.sqrt().expand_as(output))
