"""A network that is too large is refused before its memory is claimed."""

from collections.abc import Mapping
from math import prod
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from analog_samson.errors import ModelError
from analog_samson.runtime.size_limit import size_limit

_VALUE = 4  # bytes
# Operations that make a tensor, by the place of its shape among their arguments.
_MAKERS = {name: 0 for name in ("empty", "empty_strided", "full", "ones", "rand", "randn", "zeros")} | {
    name: 1 for name in ("new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "repeat")
}


class SizeGuard(TorchDispatchMode):
    """While this context manager is open, making a tensor of too many values raises ModelError.

    Numbers of classes and channels come from files, so a file could ask for a head of any size.
    """

    def __init__(self, name: str, counts: Mapping[str, int | None], most_values: int | None) -> None:
        """most_values: of one tensor; None takes what `size_limit` allows."""
        super().__init__()
        self._name, self._counts = name, counts
        self._most = size_limit() // _VALUE if most_values is None else min(most_values, size_limit() // _VALUE)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        place = _MAKERS.get(func.overloadpacket.__name__)
        if place is not None and len(args) > place and isinstance(args[place], list | tuple):
            self._check(args[place])
        return func(*args, **(kwargs or {}))

    def _check(self, shape: Any) -> None:
        if prod(map(int, shape)) > self._most:
            given = ", ".join(f"{name}={count}" for name, count in self._counts.items() if count is not None)
            raise ModelError(
                f"model {self._name!r} with {given or 'its defaults'}: a tensor of {'x'.join(map(str, shape))} values; "
                f"at most {self._most} are expected here; check the number of classes in the checkpoint and the data"
            )
