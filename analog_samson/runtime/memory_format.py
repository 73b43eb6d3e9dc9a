"""The memory layout in which convolutions are fast."""

from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.runtime.eval_mode import eval_mode


@torch.no_grad()
def takes_channels_last(model: nn.Module, sample: Any) -> bool:
    """Whether a convolutional network gives the same outputs in channels-last layout, which is the faster one.

    A network that calls ``view`` on a feature map runs on contiguous maps only.

    Args:
        model: The digital network.
        sample: A few inputs; other inputs than (N, C, H, W) have no such layout.
    """
    if not isinstance(sample, Tensor) or sample.ndim != 4 or not len(sample) or not _convolves(model):
        return False
    with eval_mode(model), torch.random.fork_rng(devices=[]):
        try:
            expected, found = model(sample), model(sample.contiguous(memory_format=torch.channels_last))
        except Exception:  # the forward is the user's: it may raise anything, and is run again where that is told
            return False
    return isinstance(found, Tensor) and torch.allclose(found, expected, rtol=1e-3, atol=1e-5, equal_nan=True)


def call_in_channels_last(network: nn.Module) -> None:
    """Convert inputs (N, C, H, W) of a network to channels-last layout whenever it is called."""
    network.register_forward_pre_hook(_converted)


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _converted(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        x.contiguous(memory_format=torch.channels_last) if isinstance(x, Tensor) and x.ndim == 4 else x for x in inputs
    )
