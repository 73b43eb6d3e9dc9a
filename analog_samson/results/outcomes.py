"""Which samples a network got right, a bit a sample: 1.25 kB for 10,000 images."""

from dataclasses import dataclass

import numpy as np

from analog_samson.results.condition import Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """The outcome of every sample in one cell.

    Attributes:
        checkpoint, preset: Labels, as in the records of the cell.
        instance: The chip.
        condition: Under which the samples were measured.
        count: How many samples there are.
        bits: The packed outcomes, first sample in the highest bit of the first byte.
    """

    checkpoint: str
    preset: str
    instance: int
    condition: Condition
    count: int
    bits: bytes


def unpack(bits: object, count: object) -> np.ndarray:
    """Whether each sample was right, in the order of the data: bool, shape (count,).

    Raises:
        ValueError: `bits` are not the packed outcomes of `count` samples.
    """
    if not isinstance(bits, bytes) or not isinstance(count, int) or len(bits) != -(-count // 8):
        size = len(bits) if isinstance(bits, bytes) else bits
        raise ValueError(f"outcomes: expected a bit for each of {count!r:.20} samples, got {size!r:.20} bytes")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)


def pack(checkpoint: str, preset: str, instance: int, condition: Condition, right: np.ndarray) -> Outcomes:
    """The outcomes of one cell.

    Args:
        checkpoint: Label of the network.
        preset: Label of the hardware.
        instance: The chip.
        condition: Under which the samples were measured.
        right: Whether each sample was right, bool of shape (samples,).

    >>> packed = pack("net", "pcm", 0, Condition(stage="digital"), np.array([True, False, True]))
    >>> unpack(packed.bits, packed.count).tolist()
    [True, False, True]
    """
    return Outcomes(
        checkpoint=checkpoint,
        preset=preset,
        instance=int(instance),
        condition=condition,
        count=len(right),
        bits=np.packbits(right).tobytes(),
    )
