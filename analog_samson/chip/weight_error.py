"""How far the weights on the tiles are from the ones that were asked for."""

from typing import Any

import torch
from torch import Tensor

from analog_samson.chip.state import tile_grid


def weight_error(analog: Any) -> float:
    """Relative error of the stored weights, dimensionless, as the root mean square over the layers of `analog`.

    Each layer's error is ``||a W_stored - W_target||_F / ||W_target||_F`` with the scalar `a` that fits best, so
    that a uniform loss, which drift compensation mends, does not count. Multiplicative Gaussian noise of strength
    sigma_c has an error of about ``sigma_c / sqrt(1 + sigma_c^2)``. The model must have been programmed.
    """
    errors = torch.stack([_layer_error(layer) for layer in analog.analog_layers()])
    return round(float(errors.square().mean().sqrt()), 9)  # below that it depends on the number of threads


def _layer_error(layer: Any) -> Tensor:
    """One layer's relative error; the tiles' own scales weigh them against each other."""
    target, stored = [], []
    for tile in (tile for row in tile_grid(layer.analog_module) for tile in row):
        scale = tile.get_scales().detach().cpu().reshape(-1, 1)
        target.append((tile.reference_combined_weights.cpu() * scale).flatten())
        stored.append((torch.as_tensor(tile.tile.get_weights()).cpu() * scale).flatten())
    wanted, got = torch.cat(target).double(), torch.cat(stored).double()
    fit = (wanted @ got) / (got @ got).clamp(min=torch.finfo(got.dtype).tiny)
    return torch.linalg.vector_norm(fit * got - wanted) / torch.linalg.vector_norm(wanted).clamp(min=1e-30)
