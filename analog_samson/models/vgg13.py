"""VGG-13 with batch-norm in the form for CIFAR: the convolutions of Simonyan and Zisserman 2015 and one linear head.

Configuration B of the paper's table 1 (arXiv 1409.1556), batch-norm after each convolution; five poolings bring
32 x 32 to one position, so that 512 -> num_classes is all that follows, as in kuangliu/pytorch-cifar, whose parameter
names are kept. 9,416,010 parameters with 10 classes. The paper's initial weights are for networks without
batch-norm; here they are PyTorch's own, as in that code.
"""

from torch import Tensor, nn

from analog_samson.models.registry import register

_WIDTHS = (64, 128, 256, 512, 512)  # two convolutions each, then a pooling


class VGG13(nn.Module):
    """Takes (N, in_channels, 32, 32), returns (N, num_classes) logits; larger maps are averaged at the end."""

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in _WIDTHS:
            layers += [*_convolution(in_channels, width), *_convolution(width, width), nn.MaxPool2d(2)]
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def _convolution(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]


@register(
    "vgg13_bn",
    num_classes=10,
    in_channels=3,
    summary="VGG-13 with batch-norm for CIFAR (Simonyan and Zisserman 2015), one linear head",
)
def vgg13_bn(*, num_classes: int, in_channels: int) -> nn.Module:
    return VGG13(num_classes=num_classes, in_channels=in_channels)
