"""DenseNet-40 with growth 12 for CIFAR (Huang et al. 2017, doi 10.1109/CVPR.2017.243), no bottleneck, no compression.

Sections 3 and 4.2 of the paper: a 3 x 3 stem of 16 channels, three dense blocks of 12 layers, transitions that keep
their channels, He initialisation. 1,019,722 parameters with 10 classes; table 2 of the paper has 1.0 M.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson.models.initialization import he_initialize
from analog_samson.models.registry import register

GROWTH, LAYERS_A_BLOCK, BLOCKS, STEM = 12, 12, 3, 16


class DenseLayer(nn.Module):
    """Batch-norm, ReLU, a 3 x 3 convolution to `GROWTH` channels, which are appended to the input's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.conv(F.relu(self.norm(x)))), dim=1)


class Transition(nn.Module):
    """Batch-norm, ReLU, a 1 x 1 convolution that keeps the channels, 2 x 2 average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet40(nn.Module):
    """Takes (N, in_channels, H, W), returns (N, num_classes) logits; made for 32 x 32."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = STEM
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.layers = nn.Sequential()
        for block in range(BLOCKS):
            if block:
                self.layers.append(Transition(channels))
            for _ in range(LAYERS_A_BLOCK):
                self.layers.append(DenseLayer(channels))
                channels += GROWTH
        self.norm = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.layers(self.stem(x))))
        return self.linear(x.mean(dim=(2, 3)))


@register(
    "densenet40",
    num_classes=10,
    in_channels=3,
    summary="DenseNet-40 for CIFAR (Huang et al. 2017), growth 12, no bottleneck",
)
def densenet40(*, num_classes: int, in_channels: int) -> nn.Module:
    return DenseNet40(num_classes=num_classes, in_channels=in_channels)
