"""Named random streams: a draw depends on what it is for, never on what was drawn before.

Every simulated cell (one instance at one time) takes its own stream, so order, worker count and resumption do
not change a number, and two checkpoints of one architecture, simulated with one seed, meet the same devices (paired
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
