"""A network from the name that a user gives: NAME, torchvision:NAME, timm:NAME or package.module:callable."""

from torch import nn

# Imported for the networks that they enter in the table.
import analog_samson.models.cifar_resnet
import analog_samson.models.densenet40
import analog_samson.models.digits_cnn
import analog_samson.models.imagenet_resnet
import analog_samson.models.mlperf_resnet8
import analog_samson.models.mobilenetv2
import analog_samson.models.vgg13  # noqa: F401
from analog_samson.errors import ModelError, did_you_mean
from analog_samson.models.imported import call_with_known, import_callable
from analog_samson.models.libraries import build_timm, build_torchvision, timm_normalization
from analog_samson.models.own_code import MODEL_LIBRARIES, is_code
from analog_samson.models.registry import MODELS
from analog_samson.models.size_guard import SizeGuard

_LIBRARIES = dict(zip(MODEL_LIBRARIES, (build_torchvision, build_timm), strict=True))


def build_model(
    name: str, *, num_classes: int | None = None, in_channels: int | None = None, most_values: int | None = None
) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's global stream (`rng.stream` makes them repeatable).

    Where an argument is None the network's own default holds; a callable of the user's gets those that it takes.

    Args:
        most_values: A tensor of more values is refused before it is made; None takes what memory allows.

    Raises:
        ModelError: The name is unknown, or the network cannot be built or is too large.

    >>> sum(p.numel() for p in build_model("resnet20").parameters())
    269722
    """
    _check_counts(name, num_classes=num_classes, in_channels=in_channels)
    with SizeGuard(name, {"num_classes": num_classes, "in_channels": in_channels}, most_values):
        return _build(name, num_classes, in_channels)


def _build(name: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    scheme, _, rest = name.partition(":")
    if is_code(name, MODEL_LIBRARIES):
        return _build_imported(name, num_classes, in_channels)
    if rest:
        return _LIBRARIES[scheme](rest, num_classes=num_classes, in_channels=in_channels)
    if name not in MODELS:
        raise ModelError(_unknown(name))
    entry = MODELS[name]
    return entry.build(num_classes=num_classes or entry.num_classes, in_channels=in_channels or entry.in_channels)


def stated_normalization(name: str) -> str | None:
    """The normalisation that checkpoints published for this network were trained with, if that is known.

    >>> stated_normalization("resnet20"), stated_normalization("digits_cnn")
    ('imagenet', None)
    """
    scheme, _, rest = name.partition(":")
    if scheme == "torchvision":
        return "imagenet"
    if scheme == "timm":
        return timm_normalization(rest)
    return MODELS[name].normalization if name in MODELS else None


def _check_counts(name: str, **counts: int | None) -> None:
    wrong = [f"{key}={value}" for key, value in counts.items() if value is not None and value < 1]
    if wrong:
        raise ModelError(f"model {name!r}: expected counts of at least 1, got {', '.join(wrong)}")


def _build_imported(spec: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    function = import_callable(spec, ModelError)
    wanted = {"num_classes": num_classes, "in_channels": in_channels}
    model = call_with_known(spec, function, wanted, ModelError)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec}: expected it to return a torch.nn.Module, got a {type(model).__name__}")
    return model


def _unknown(name: str) -> str:
    return (
        f"unknown model {name!r}{did_you_mean(name, MODELS)}; expected one of {', '.join(MODELS)}, "
        "torchvision:NAME, timm:NAME or package.module:callable"
    )
