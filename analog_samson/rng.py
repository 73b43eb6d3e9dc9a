"""Named random streams: a draw depends on what it is for, never on what was drawn before.

Device noise takes a stream for each weight, instance and time. So order, worker count, resumption and the other layers
change no number, and two checkpoints of one architecture, simulated with one seed, meet the same devices (paired
comparison).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index

import torch


def derive_seed(seed: int, *names: object) -> int:
    """A 63-bit seed from a user's seed and the name of the draw; equal arguments give equal seeds anywhere.

    Numbers of numpy and torch count as Python's.

    >>> derive_seed(0, "program", 3) == derive_seed(0, "program", 3) != derive_seed(0, "program", 4)
    True
    """
    parts = (part.item() if hasattr(part, "item") else part for part in (index(seed), *names))
    text = "\x1f".join(repr(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device`, seeded for the named draw.

    >>> draws = [torch.rand(3, generator=generator(0, "noise", epoch)) for epoch in (1, 1, 2)]
    >>> torch.equal(draws[0], draws[1]), torch.equal(draws[0], draws[2])
    (True, False)
    """
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))


@contextmanager
def stream(seed: int, *names: object) -> Iterator[None]:
    """Run a block under torch's global streams (CPU and CUDA) seeded for the named draw, then restore them.

    For code that takes no generator (aihwkit's noise models draw from the global stream).

    >>> before = torch.get_rng_state()
    >>> with stream(0, "program", 3):
    ...     _ = torch.rand(3)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_available() else []):
        torch.manual_seed(derive_seed(seed, *names))
        yield


class ContinuedStream:
    """A named stream that continues where it stopped, each time that it is entered.

    For code that draws again and again from torch's global stream of one device, such as a layer's converters in every
    forward: however other code draws in between, the numbers are the same.

    >>> noise = ContinuedStream(0, "converters", "fc")
    >>> with noise:
    ...     first = torch.rand(3)
    >>> with noise:
    ...     second = torch.rand(3)
    >>> both = torch.rand(6, generator=generator(0, "converters", "fc"))
    >>> torch.equal(torch.cat([first, second]), both)
    True
    """

    def __init__(self, seed: int, *names: object, device: torch.device | str = "cpu") -> None:
        """Begin the stream of the named draw on `device`; nothing is drawn."""
        self._device = torch.device(device)
        self._state = generator(seed, *names, device=device).get_state()
        self._outside = self._state

    def __enter__(self) -> None:
        self._outside = self._swap(self._state)

    def __exit__(self, *_: object) -> None:
        self._state = self._swap(self._outside)

    def _swap(self, state: torch.Tensor) -> torch.Tensor:
        """Let the global stream of the device be in `state`; returns the state that it was in."""
        if self._device.type == "cuda":
            before = torch.cuda.get_rng_state(self._device)
            torch.cuda.set_rng_state(state, self._device)
        else:
            before = torch.get_rng_state()
            torch.set_rng_state(state)
        return before
