"""Initial weights that a paper asks for."""

from torch import nn


def he_initialize(model: nn.Module) -> None:
    """Draw all 2-d convolution weights as He et al. 2015 (doi 10.1109/ICCV.2015.123) do, in the form for outputs.

    Normal with variance 2 / (out_channels * kernel positions); draws from torch's global stream.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
