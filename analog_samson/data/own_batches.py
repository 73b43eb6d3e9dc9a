"""Batches of the user's own code: kept, or read anew in each pass where they take too much memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from analog_samson import rng
from analog_samson.data.batch_set import BatchSet, batch_size, bytes_of, digest_of
from analog_samson.errors import AnalogSamsonError, DataError
from analog_samson.runtime.size_limit import fits_in_memory, refuse_size


@dataclass(frozen=True)
class RepeatedBatches:
    """The batches of a loader; each pass must give the same ones.

    Attributes:
        name: What messages call the data.
        loader: Such as a DataLoader, with workers of its own.
        first: `digest_of` its first batch, by which a pass in another order is noticed.
    """

    name: str
    loader: Iterable[Any]
    first: str

    def __iter__(self) -> Iterator[Any]:
        draws = rng.ContinuedStream(0, "batches", self.name)  # a DataLoader draws a seed, which shifts no other stream
        batches, count = self._with(draws, lambda: iter(self.loader)), 0
        while (batch := self._with(draws, lambda: next(batches, None))) is not None:
            if count == 0 and digest_of([batch]) != self.first:
                raise DataError(
                    f"{self.name}: begins with another batch in another pass; give the samples in one order and "
                    "without random changes (shuffle=False)"
                )
            count += 1
            yield batch
        if count == 0:
            raise DataError(f"{self.name}: gives no batches in another pass; return a DataLoader or another iterable")

    def _with(self, draws: rng.ContinuedStream, function: Callable[[], Any]) -> Any:
        """What the user's code returns."""
        try:
            with draws:
                return function()
        except AnalogSamsonError:
            raise
        except Exception as error:
            raise DataError(f"{self.name}: its batches raised {type(error).__name__}: {error}") from error


def batch_set(loaded: Iterable[Any], name: str, limit: int | None) -> BatchSet:
    """Take batches from an iterable until it ends, or until there are `limit` samples.

    Batches of more than 1 GiB (`fits_in_memory`) are not kept if `loaded` gives the same ones again.

    Raises:
        DataError: There are none, a batch holds no list of samples, or they can neither be kept nor given again.
    """
    batches: list[Any] = []
    count = needed = 0
    for batch in loaded:
        size = batch_size(batch)
        if size == 0:
            raise DataError(
                f"{name}: batch {len(batches)} is a {type(batch).__name__} without a tensor of samples; expected "
                "(x, targets), or a mapping or named tuple such as {'input_ids': ..., 'labels': ...}"
            )
        batches.append(batch)
        count += size
        needed += bytes_of(batch)
        if limit is not None and count >= limit:
            break
        if not isinstance(loaded, list) and not fits_in_memory(needed):
            repeated = RepeatedBatches(name, loaded, digest_of(batches[:1]))
            if not isinstance(loaded, Iterator) and digest_of([next(iter(loaded), None)]) == repeated.first:
                return BatchSet(name=name, batches=repeated).take(limit)
            remedy = (
                "return a DataLoader, or another iterable, that gives the same batches in each pass (shuffle=False)"
            )
            refuse_size(needed, f"{name}: keeping {len(batches)} batches", remedy, DataError)
    if not batches:
        raise DataError(f"{name}: gives no batches; expected at least one")
    return BatchSet(name=name, batches=batches).take(limit)
