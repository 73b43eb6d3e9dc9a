"""The network that a checkpoint belongs to, with its weights."""

from torch import nn

from analog_samson.errors import ModelError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import Checkpoint, load_into
from analog_samson.models.huggingface import HUGGING_FACE, load_huggingface, parse_huggingface
from analog_samson.models.own_code import MODEL_SCHEMES, code_fault, is_code

_SMALL = 2**26  # values of a tensor that a network may have beside what its checkpoint holds, such as a mask


def restore_model(
    checkpoint: Checkpoint,
    name: str | None = None,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """Build the network and load the checkpoint's weights; arguments win over the checkpoint's metadata.

    name: needed for checkpoints from elsewhere, which do not say what they belong to, and for code of the user's own:
    package.module:callable is imported only where it is given here. `hf:DIR` gives the network of that folder these
    weights in place of its own. Where neither says how many classes and channels
    there are, the shapes of the first and last weights do.
    """
    known = checkpoint.metadata
    name = name or stated_model(checkpoint)
    if name is None:
        raise ModelError(
            f"{checkpoint.path}: does not say which network it belongs to; name it, for example --model resnet20"
        )
    if name.startswith(HUGGING_FACE):
        model = load_huggingface(parse_huggingface(name))
        load_into(model, checkpoint)
        return model
    model = build_model(
        name,
        num_classes=num_classes or known.get("num_classes") or _last_rows(checkpoint),
        in_channels=in_channels or known.get("in_channels") or _first_channels(checkpoint),
        most_values=max(_SMALL, sum(value.numel() for value in checkpoint.state.values() if not value.is_sparse)),
    )
    load_into(model, checkpoint)
    return model


def stated_model(checkpoint: Checkpoint, option: str = "--model") -> str | None:
    """The network that the checkpoint names; None where it names none.

    Args:
        option: The option with which the user can name a network instead, for the message.

    Raises:
        ModelError: The checkpoint names code; importing what a file names could do anything.
    """
    name = checkpoint.metadata.get("model")
    if name is None:
        return None
    if name.startswith(HUGGING_FACE) and parse_huggingface(name).folder is None:
        raise ModelError(
            f"{checkpoint.path}: belongs to {name}, and that folder is not there; name it yourself: {option} hf:DIR"
        )
    if is_code(name, MODEL_SCHEMES):
        fault = code_fault(f"{checkpoint.path}: model", name)
        raise ModelError(f"{fault}\n  if you trust that code, name it yourself: {option} {name}")
    return str(name)


def _last_rows(checkpoint: Checkpoint) -> int | None:
    """Outputs of the last linear layer of a foreign checkpoint."""
    matrices = [value for value in checkpoint.state.values() if value.ndim == 2]
    return len(matrices[-1]) if matrices else None


def _first_channels(checkpoint: Checkpoint) -> int | None:
    """Input channels of the first convolution of a foreign checkpoint."""
    kernels = [value for value in checkpoint.state.values() if value.ndim == 4]
    return kernels[0].shape[1] if kernels else None
