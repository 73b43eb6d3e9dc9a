"""How far the weights on the tiles are from the ones that were asked for."""

import torch
from torch import Tensor, nn

from analog_samson.chip.matrix import TileMatrix, matrices_of


def weight_error(network: nn.Module) -> float:
    """Relative error of the stored weights, dimensionless, as the root mean square over a converted network.

    Each weight's error is ``||a W_stored - W_target||_F / ||W_target||_F`` with the scalar `a` that fits best, so
    that a uniform loss, which drift compensation corrects, does not count. Multiplicative Gaussian noise of strength
    sigma_c has an error of about ``sigma_c / sqrt(1 + sigma_c^2)``. The weights must have been programmed.
    """
    errors = torch.stack([_error(matrix) for matrix in matrices_of(network).values()])
    return round(float(errors.square().mean().sqrt()), 9)  # below that it depends on the number of threads


def _error(matrix: TileMatrix) -> Tensor:
    """One weight's relative error; the tiles' own scales weigh them against each other."""
    if (error := matrix.released_error) is not None:
        return error
    target, stored = [], []
    for slices in zip(*matrix.tiles_by_slice, strict=True):
        scales = [tile.get_scales().detach().cpu().reshape(-1, 1) for tile in slices]
        pairs = list(zip(slices, scales, strict=True))
        target.append(sum((tile.reference_combined_weights.cpu() * scale).flatten() for tile, scale in pairs))
        stored.append(sum((torch.as_tensor(tile.tile.get_weights()).cpu() * s).flatten() for tile, s in pairs))
    wanted, got = torch.cat(target).double(), torch.cat(stored).double()
    fit = (wanted @ got) / (got @ got).clamp(min=torch.finfo(got.dtype).tiny)
    return torch.linalg.vector_norm(fit * got - wanted) / torch.linalg.vector_norm(wanted).clamp(min=1e-30)
