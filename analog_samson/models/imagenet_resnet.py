"""ResNet-18, -34 and -50 in the form for CIFAR: the ImageNet networks of He et al. 2016 with a stem for 32 x 32.

torchvision's networks (He initialisation included) with a 3 x 3 stem of stride 1 and without the max-pool. With 10
classes they have 11,173,962, 21,282,122 and 23,520,842 parameters, as in kuangliu/pytorch-cifar. The names of the
parameters are torchvision's.
"""

from functools import partial

from torch import nn

from analog_samson.models.initialization import he_initialize
from analog_samson.models.registry import register


def cifar_form(name: str, *, num_classes: int, in_channels: int) -> nn.Module:
    """torchvision's network `name` with a small stem; (N, in_channels, H, W) -> (N, num_classes), made for 32 x 32."""
    from torchvision import models

    network = models.get_model(name, weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    he_initialize(network.conv1)
    return network


for _depth in (18, 34, 50):
    register(
        f"resnet{_depth}_cifar",
        num_classes=10,
        in_channels=3,
        summary=f"ResNet-{_depth} (He et al. 2016) with a 3 x 3 stem for CIFAR",
    )(partial(cifar_form, f"resnet{_depth}"))
