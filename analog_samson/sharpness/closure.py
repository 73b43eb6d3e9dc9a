"""What a sharpness-aware step expects of its closure: gradients of its own, in both runs."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from analog_samson.errors import OptionError
from analog_samson.sharpness.perturbations import global_norm


@contextmanager
def refuse_earlier_gradients(parameters: Collection[Tensor], caller: str) -> Iterator[None]:
    """Refuse a first backward pass in the block that adds to gradients from before the block.

    The gradients are inspected just before that pass accumulates into the first of them. They are not touched. The host
    waits for the device only if there was something to add to.

    Args:
        parameters: Leaf tensors. Those without a gradient on entry cost nothing.
        caller: What the message begins with.

    Raises:
        OptionError: On leaving the block, if the earlier gradients were not zero.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> weight.sum().backward()
    >>> with refuse_earlier_gradients([weight], "step"):
    ...     weight.grad = None
    ...     weight.sum().backward()
    """
    holding = [tensor for tensor in parameters if tensor.requires_grad and tensor.grad is not None]
    norms: list[Tensor | None] = []  # one entry once the first pass accumulates; None if all gradients were cleared

    @torch.no_grad()
    def inspect(_: object) -> None:
        if not norms:
            present = [t.grad for t in holding if t.grad is not None and t.grad.layout == torch.strided]
            norms.append(global_norm(present) if present else None)

    # On the nodes that accumulate, not on the tensors: a tensor's hooks also run in torch.autograd.grad.
    nodes = [get_gradient_edge(tensor).node for tensor in holding]
    hooks = [node.register_prehook(inspect) for node in nodes]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if any(norm is not None and bool(norm != 0) for norm in norms):
        raise OptionError(
            f"{caller}: the closure added to gradients of an earlier backward pass, which cannot be repeated at the "
            "perturbed weights; clear the gradients inside the closure. To accumulate, run all micro-batches inside "
            "the closure (Lightning: accumulate_grad_batches=1), or use first_step() and second_step(); "
            'see docs/training.md, "Accumulated gradients"'
        )


def expect_gradients(parameters: Collection[Tensor], caller: str) -> None:
    """Refuse a run of a closure that left every cleared gradient cleared.

    Raises:
        OptionError: No parameter holds a gradient.
    """
    if all(tensor.grad is None for tensor in parameters):
        raise OptionError(
            f"{caller}: the second run of the closure computed no gradient; expected a closure that computes the loss "
            "and calls backward every time it is called"
        )
