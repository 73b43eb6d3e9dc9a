"""ResNet-8 of the MLPerf Tiny benchmark (image classification), as converted from Keras.

Keras pads "same" at stride 2 on the right and bottom only, uses batch-norm eps 1e-3, and the network takes RGB in
0..255. The module names are those of the converted checkpoint.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson.models.registry import register


class MlperfResNet8(nn.Module):
    """Takes (N, in_channels, 32, 32), returns (N, num_classes) logits (the benchmark's softmax is left out)."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, 16, 3, padding=1), _norm(16)
        self.c1a, self.b1a = nn.Conv2d(16, 16, 3, padding=1), _norm(16)
        self.c1b, self.b1b = nn.Conv2d(16, 16, 3, padding=1), _norm(16)
        self.c2a, self.b2a = nn.Conv2d(16, 32, 3, stride=2), _norm(32)
        self.c2b, self.b2b = nn.Conv2d(32, 32, 3, padding=1), _norm(32)
        self.c2s = nn.Conv2d(16, 32, 1, stride=2)
        self.c3a, self.b3a = nn.Conv2d(32, 64, 3, stride=2), _norm(64)
        self.c3b, self.b3b = nn.Conv2d(64, 64, 3, padding=1), _norm(64)
        self.c3s = nn.Conv2d(32, 64, 1, stride=2)
        self.fc = nn.Linear(64, num_classes)
        self.same = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.b1a(self.c1a(x)))
        x = F.relu(x + self.b1b(self.c1b(y)))
        y = F.relu(self.b2a(self.c2a(self.same(x))))
        x = F.relu(self.c2s(x) + self.b2b(self.c2b(y)))
        y = F.relu(self.b3a(self.c3a(self.same(x))))
        x = F.relu(self.c3s(x) + self.b3b(self.c3b(y)))
        return self.fc(x.mean(dim=(2, 3)))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


@register(
    "resnet8_mlperf",
    num_classes=10,
    in_channels=3,
    summary="ResNet-8 of MLPerf Tiny (CIFAR-10), input RGB 0..255",
    normalization="rgb255",
)
def resnet8_mlperf(*, num_classes: int, in_channels: int) -> nn.Module:
    return MlperfResNet8(num_classes=num_classes, in_channels=in_channels)
