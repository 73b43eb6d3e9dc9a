"""The residual networks for CIFAR of He et al. 2016 (section 4.2), depth 6n + 2, with parameter-free shortcuts.

Parameter names follow the widespread checkpoints of resnet20 .. resnet110, so those load key for key.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson.models.initialization import he_initialize
from analog_samson.models.registry import register


class PadShortcut(nn.Module):
    """Option A of He et al.: take every second pixel, pad the new channels with zeros; no parameters."""

    def __init__(self, new_channels: int) -> None:
        super().__init__()
        self.before = new_channels // 2
        self.after = new_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity() if stride == 1 else PadShortcut(width - channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class CifarResNet(nn.Module):
    """Stem of 16 channels, three stages of n blocks with 16, 32 and 64, global average, linear head.

    Takes (N, in_channels, H, W), returns (N, num_classes) logits; made for 32 x 32.
    """

    def __init__(self, blocks: int, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16)
        self.layer2 = _stage(blocks, 16, 32)
        self.layer3 = _stage(blocks, 32, 64)
        self.linear = nn.Linear(64, num_classes)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def _stage(blocks: int, channels: int, width: int) -> nn.Sequential:
    first = BasicBlock(channels, width, stride=1 if channels == width else 2)
    return nn.Sequential(first, *(BasicBlock(width, width, stride=1) for _ in range(blocks - 1)))


for _depth in (20, 32, 44, 56, 110):
    register(
        f"resnet{_depth}",
        num_classes=10,
        in_channels=3,
        summary=f"ResNet-{_depth} for CIFAR (He et al. 2016), option-A shortcuts",
        normalization="imagenet",
    )(partial(CifarResNet, (_depth - 2) // 6))
