"""A convolutional network for 8 x 8 digits that trains in seconds on one core."""

from torch import Tensor, nn

from analog_samson.models.registry import register


class DigitsCNN(nn.Module):
    """Three 3 x 3 convolutions with batch-norm, two poolings, one linear head.

    Takes (N, in_channels, 8, 8), returns (N, num_classes) logits.
    """

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.block1 = _block(in_channels, 16)
        self.block2 = _block(16, 32)
        self.block3 = _block(32, 32)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(32 * 2 * 2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.block2(self.block1(x)))
        return self.head(self.pool(self.block3(x)).flatten(1))


def _block(channels: int, width: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


@register("digits_cnn", num_classes=10, in_channels=1, summary="small CNN for 8 x 8 digits")
def digits_cnn(*, num_classes: int, in_channels: int) -> nn.Module:
    return DigitsCNN(num_classes=num_classes, in_channels=in_channels)
