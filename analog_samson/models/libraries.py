"""`torchvision:NAME` and `timm:NAME`: architectures of other libraries, without pretrained weights."""

from types import ModuleType
from typing import Any

from torch import nn

from analog_samson.errors import ModelError, did_you_mean


def build_torchvision(name: str, *, num_classes: int | None, in_channels: int | None) -> nn.Module:
    """A classification network of torchvision; its networks take three channels and nothing else."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ModelError(
            f"torchvision:{name}: torchvision has no such classification network{did_you_mean(name, known)}"
        )
    if in_channels not in (None, 3):
        raise ModelError(
            f"torchvision:{name}: takes 3 input channels, {in_channels} are needed; "
            "use package.module:callable with a network whose first layer takes them"
        )
    return models.get_model(name, weights=None, **({} if num_classes is None else {"num_classes": num_classes}))


def build_timm(name: str, *, num_classes: int | None, in_channels: int | None) -> nn.Module:
    """A network of timm."""
    timm = _timm(name)
    known = timm.list_models()
    if name not in known:
        raise ModelError(f"timm:{name}: timm {timm.__version__} has no such network{did_you_mean(name, known)}")
    given: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels}
    return timm.create_model(name, pretrained=False, **{key: v for key, v in given.items() if v is not None})


def timm_normalization(name: str) -> str | None:
    """The normalisation that timm states for its own checkpoints of a network, as `m1,m2,m3/s1,s2,s3`."""
    config = _timm(name).get_pretrained_cfg(name)
    if config is None:
        return None
    return "/".join(",".join(f"{value:g}" for value in values) for values in (config.mean, config.std))


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ModelError(f"timm:{name}: timm is not installed; pip install 'analog-samson[timm]'") from error
    return timm
