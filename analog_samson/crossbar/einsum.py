"""An einsum of a weight with other tensors, read as products of a matrix with vectors."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from analog_samson.crossbar.operator import matrix_product
from analog_samson.crossbar.use import Use, register_body, register_use
from analog_samson.crossbar.weight import CrossbarWeight

_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@register_use(torch.einsum)
def _einsum(equation: Any, *operands: Any) -> Use | None:
    """None where an index is repeated or summed in one operand alone, or where the weight has an ellipsis."""
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], list | tuple) else list(operands)
    if not isinstance(equation, str) or len(tensors) != 2:
        return None
    place = 1 if isinstance(tensors[1], CrossbarWeight) else 0
    weight, x = tensors[place], tensors[1 - place]
    letters = _letters(equation, place, x.ndim)
    if letters is None:
        return None
    own, other, result = letters
    groups = [i for i in own if i in other and i in result]
    inputs = [i for i in own if i in other and i not in result]
    outputs = [i for i in own if i not in other]
    places = [i for i in other if i not in own]
    if set(result) != {*groups, *outputs, *places} or not inputs:
        return None
    arranged = weight.permute([own.index(i) for i in (*groups, *outputs, *inputs)])
    arranged = arranged.flatten(0, len(groups) - 1) if groups else arranged.unsqueeze(0)
    ordered = x.permute([other.index(i) for i in (*places, *groups, *inputs)])
    sizes = dict(zip(own, weight.shape, strict=True)) | dict(zip(other, x.shape, strict=True))
    vectors = ordered.reshape(prod(sizes[i] for i in places), -1)
    made = [*places, *groups, *outputs]

    def restore(y: Tensor) -> Tensor:
        return y.reshape([sizes[i] for i in made]).permute([made.index(i) for i in result])

    operator = matrix_product(prod(sizes[i] for i in groups))
    return Use(vectors, arranged, None, operator, restore, len(outputs))


@register_body(torch.einsum)
def _of_many(equation: Any, *operands: Any) -> Any:
    """An einsum of one weight and two or more other tensors: of the weight and of what the others give."""
    places = [place for place, operand in enumerate(operands) if isinstance(operand, CrossbarWeight)]
    if not isinstance(equation, str) or len(operands) < 3 or len(places) != 1 or "." in equation:
        return NotImplemented
    terms, arrow, result = equation.replace(" ", "").partition("->")
    parts = terms.split(",")
    if not arrow or len(parts) != len(operands):
        return NotImplemented
    own = parts.pop(places[0])
    others = [operand for place, operand in enumerate(operands) if place != places[0]]
    kept = "".join(i for i in dict.fromkeys("".join(parts)) if i in own or i in result)
    return torch.einsum(
        f"{kept},{own}->{result}", torch.einsum(f"{','.join(parts)}->{kept}", *others), operands[places[0]]
    )


def _letters(equation: str, weight_place: int, dims: int) -> tuple[str, str, str] | None:
    """The indices of the weight, of the other operand and of the result, the ellipsis written out."""
    equation = equation.replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if len(parts) != 2:
        return None
    own, other = parts[weight_place], parts[1 - weight_place]
    if not arrow:
        every = "".join(parts).replace("...", "")
        result = "..." * ("..." in other) + "".join(sorted(i for i in set(every) if every.count(i) == 1))
    free = [i for i in _SPARE if i not in equation][: dims - len(other.replace("...", ""))]
    other, result = (part.replace("...", "".join(free)) for part in (other, result))
    if "." in own + other + result or any(len(set(part)) != len(part) for part in (own, other, result)):
        return None
    return own, other, result
