"""Which groups of a convolution have columns on a tile, when the columns of a layer are cut over several tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """Columns `begin` to `end` of a layer whose blocks (groups) have `width` columns each.

    first, last: the blocks that these columns belong to, the last one not included.

    >>> share = Share(3, 8, 4)
    >>> share.first, share.last, share.widths()
    (0, 2, [1, 4])
    """

    begin: int
    end: int
    width: int

    @property
    def first(self) -> int:
        return self.begin // self.width

    @property
    def last(self) -> int:
        return ceil(self.end / self.width)

    @property
    def blocks(self) -> int:
        return self.last - self.first

    def widths(self) -> list[int]:
        """How many of the columns belong to each of the blocks."""
        edges = [self.begin, *(block * self.width for block in range(self.first + 1, self.last)), self.end]
        return [high - low for low, high in pairwise(edges)]

    def channels(self, x: Tensor, blocks: int) -> Tensor:
        """Of a map (N, channels of all `blocks`, ...) the channels that these blocks read."""
        if self.blocks == blocks:
            return x
        size = x.shape[1] // blocks
        return x[:, self.first * size : self.last * size]

    def padded(self, weight: Tensor) -> Tensor:
        """(columns, rows) with zeros for those of several blocks' columns that are on other tiles."""
        if self.blocks == 1 or len(weight) == self.blocks * self.width:
            return weight
        padded = weight.new_zeros(self.blocks * self.width, weight.shape[1])
        first = self.begin - self.first * self.width
        padded[first : first + len(weight)] = weight
        return padded

    def own(self, y: Tensor) -> Tensor:
        """Of the products (N, columns, ...) with a padded weight its own columns, dense."""
        if y.shape[1] == self.end - self.begin:
            return y
        return y.narrow(1, self.begin - self.first * self.width, self.end - self.begin).clone()


def shares(columns: Sequence[int], blocks: int) -> list[Share]:
    """The shares of tiles that stand side by side with so many columns each."""
    width = sum(columns) // blocks
    return [Share(end - count, end, width) for count, end in zip(columns, accumulate(columns), strict=True)]
