"""MobileNetV2 (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474) in the form for CIFAR of kuangliu/pytorch-cifar.

Against table 2 of the paper, for 32 x 32: the stem and the second stage keep the resolution; a shortcut between
different widths is a 1 x 1 convolution; the first block has an expansion layer too; ReLU in place of ReLU6. 2,296,922
parameters with 10 classes. The paper does not name initial weights: they are PyTorch's own. Parameter names follow
that code, so that its checkpoints load key for key.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson.models.registry import register

# Expansion factor, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, filter each channel by 3 x 3, narrow by 1 x 1; a shortcut where the resolution stays."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = expansion * channels
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = _shortcut(channels, width) if stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return y if self.shortcut is None else y + self.shortcut(x)


class MobileNetV2(nn.Module):
    """Takes (N, in_channels, H, W), returns (N, num_classes) logits; made for 32 x 32."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.layers = _blocks(32)
        self.conv2, self.bn2 = nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.linear(x.mean(dim=(2, 3)))


def _shortcut(channels: int, width: int) -> nn.Module:
    if channels == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))


def _blocks(channels: int) -> nn.Sequential:
    blocks = []
    for expansion, width, count, first_stride in _STAGES:
        for stride in (first_stride, *[1] * (count - 1)):
            blocks.append(InvertedResidual(channels, width, expansion, stride))
            channels = width
    return nn.Sequential(*blocks)


@register(
    "mobilenetv2_cifar",
    num_classes=10,
    in_channels=3,
    summary="MobileNetV2 (Sandler et al. 2018) for CIFAR: depthwise convolutions",
)
def mobilenetv2_cifar(*, num_classes: int, in_channels: int) -> nn.Module:
    return MobileNetV2(num_classes=num_classes, in_channels=in_channels)
