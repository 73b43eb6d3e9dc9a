"""Files damaged at random, equal for equal seeds: bytes, values of a tree, and tensors of a state."""

import copy
import math
import random
from collections.abc import Iterable
from typing import Any

import torch

ODD = (
    *(None, True, False, -1, 0, 1, 2**70, -(2**70), 1e308, 5e-324, -0.5, math.nan, math.inf, "", "x", "\0", "\ud800"),
    *("1e3", [], {}, [[]], [None], {"a": 1}, {"": None}, [1, "x"], "9" * 5000),
)


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """One to three places overwritten, taken out, cut off, doubled or filled with noise."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at, length = draw.randrange(len(data) + 1), draw.choice((1, 1, 1, 2, 4, 8, 64))
        noise = draw.choice((draw.randbytes(length), b"\0" * length, b"\xff" * length))
        match draw.randrange(6):
            case 0 | 1 | 2:
                data[at : at + length] = noise
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = draw.choice((noise, bytes(data[at : at + length])))
            case 5 if draw.random() < 0.3:
                del data[at:]
    return bytes(data)


def damaged_tree(tree: Any, draw: random.Random, odd: Iterable[Any] = ODD) -> Any:
    """A copy with one to two nodes of its dictionaries and lists changed, taken out or added."""
    changed, odd = copy.deepcopy(tree), tuple(odd)
    for _ in range(draw.randint(1, 2)):
        places = list(_places(changed))
        if not places or draw.random() < 0.02:
            return draw.choice(odd)
        holder, key = draw.choice(places)
        value = copy.deepcopy(draw.choice((draw.choice(odd), draw.choice(places)[0])))
        match draw.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(("x", "", "name", "model"))] = value
            case 2 if isinstance(holder, list):
                holder.insert(key, value)
            case _:
                holder[key] = value
    return changed


def _places(tree: Any) -> Iterable[tuple[Any, Any]]:
    """Every (dictionary or list, key) in the tree."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def odd_tensors() -> list[Any]:
    """Tensors that are legal in a file and fit no network."""
    quantized = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    return [
        *(torch.zeros(()), torch.zeros(0), torch.ones(3, 5), torch.ones(7), torch.full((2,), math.nan)),
        *(torch.ones(4, dtype=torch.int64), torch.ones(4, 1, 3, 3, dtype=torch.complex64), torch.ones(4).bool()),
        *(torch.ones(4, 4).to_sparse(), quantized, torch.empty(4, device="meta")),
    ]
