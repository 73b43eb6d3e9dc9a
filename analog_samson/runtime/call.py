"""Calling a network on inputs of any form."""

from collections.abc import Mapping
from typing import Any

from torch import nn


def call(model: nn.Module, inputs: Any) -> Any:
    """The network's output: a mapping is given as keyword arguments, a tuple as positional arguments."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
