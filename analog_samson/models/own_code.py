"""`package.module:callable`: code that only the user may name; nothing that a file names is run."""

from collections.abc import Collection

MODEL_LIBRARIES = ("torchvision", "timm")  # torchvision:NAME and timm:NAME are looked up in lists of networks
MODEL_SCHEMES = (*MODEL_LIBRARIES, "hf")  # hf:DIR is a network of a class that transformers knows


def is_code(name: str, kinds: Collection[str]) -> bool:
    """Whether `name` is package.module:callable.

    Args:
        kinds: What may precede a colon without meaning code, such as `timm` for networks or `npz` for data.

    >>> [is_code(name, MODEL_LIBRARIES) for name in ("resnet20", "timm:resnet18", "my_project.networks:build")]
    [False, False, True]
    """
    kind, _, rest = name.partition(":")
    return bool(rest) and kind not in kinds


def code_fault(entry: str, name: str) -> str:
    """A line for an entry of a file that names code.

    >>> code_fault("model", "os:abort")
    "model: 'os:abort' is code, and code that a file names is never run"
    """
    return f"{entry}: {name!r} is code, and code that a file names is never run"
