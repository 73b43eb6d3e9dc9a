"""A factor and an offset for each output column, fitted to the digital outputs: `calibrate="affine"`.

A chip multiplies by weights that differ from the intended ones. What of that difference is common to a column, such as
drift, can be undone behind the converters by one multiplication and one addition. Both come from least squares: for
each column, over the outputs that calibration data gives, factor * analog + offset is closest to the digital output.
Weights are fitted in the order in which the network uses them, and each one sees inputs that the ones before it have
corrected already.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson.chip.execute import by_channel
from analog_samson.chip.matrix import TileMatrix
from analog_samson.chip.network import CrossbarNetwork, crossbar_of
from analog_samson.chip.scaling import Affine, fold_bias
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.tiled import OnTiles
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import exchanged
from analog_samson.crossbar.weight import CrossbarWeight
from analog_samson.errors import OptionError
from analog_samson.runtime.devices import full_precision
from analog_samson.tasks.batch import Run, feed

_MOST_VECTORS = 4096  # outputs that one product of one batch adds to the fit, evenly spaced over batch and positions


@contextmanager
def affine_corrected(network: nn.Module, batches: Iterable[Any], run: Run = feed) -> Iterator[None]:
    """Within, each output column of each weight on tiles is corrected by a factor and an offset; after, none is.

    Every batch runs twice, with the digital weights and with the tiles. Draws converter noise, and nothing itself.

    Args:
        network: A network on its chip, as `SimulatedDevice` programs it.
        batches: Calibration batches.
        run: How the network is run on a batch.

    Raises:
        OptionError: There are no batches, or the network runs on engine "aihwkit".
    """
    crossbar = crossbar_of(network)
    if crossbar is None:
        raise OptionError("calibrate: affine works on engine fast only")
    fits = {path: _Fit(path, matrix) for path, matrix in crossbar.matrices.items()}
    count = 0
    with torch.no_grad(), full_precision():
        for batch in batches:
            for fit in fits.values():
                fit.digital, fit.place = [], 0
            with _computing(crossbar, {path: fit.digitally for path, fit in fits.items()}):
                run(network, batch)
            with _computing(crossbar, {path: fit.on_tiles for path, fit in fits.items()}):
                run(network, batch)
            count += 1
    if count == 0:
        raise OptionError("calibrate: affine needs at least one batch of calibration data")
    with _computing(crossbar, {path: fit.corrected() for path, fit in fits.items()}):
        yield


Product = Callable[[Use, "tuple[int, int] | None"], Tensor]  # with the range of columns, None for all


@dataclass
class _Held(OnTiles):
    """A weight whose products are computed by a function in the place of the tiles."""

    product: Product | None = None

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        assert self.product is not None
        return use.restore(self.product(use, self.columns_of(layout, func)))

    def repeated(self, weight: CrossbarWeight, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        return lambda x: functional.linear(x, weight, bias)


@contextmanager
def _computing(crossbar: CrossbarNetwork, products: dict[str, Product]) -> Iterator[None]:
    """Within, the products of these weights are computed by these functions."""
    held: list[tuple[tuple[nn.Module, str], Tensor]] = []
    for path, product in products.items():
        slots = crossbar.slots(path)
        own = slots[0][0].get_parameter(slots[0][1])
        table = own.holder.table if isinstance(own, CrossbarWeight) and isinstance(own.holder, OnTiles) else None
        weight = CrossbarWeight(own, _Held(path, crossbar.matrices[path], table, product))
        held += [(slot, weight) for slot in slots]
    with exchanged(held):
        yield


@dataclass
class _Fit:
    """The least squares of one weight, column by column.

    Attributes:
        digital: Outputs of the digital pass over the batch, one entry for each product, in order.
        moments: Over all pairs seen of analog a and digital d: their number, sums of a, d, a^2 and a d.
    """

    path: str
    matrix: TileMatrix
    digital: list[Tensor] = field(default_factory=list)
    place: int = 0

    def __post_init__(self) -> None:
        self.target = self.matrix.target()
        self.moments = torch.zeros(5, len(self.target), dtype=torch.float64, device=self.target.device)

    def digitally(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        """The exact product; remembers some of its outputs."""
        output = self._exact(use, columns)
        self.digital.append(_sample(output))
        return output

    def on_tiles(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        """The product on the tiles, corrected by what is known after it has been compared with the digital one."""
        output = self.matrix.multiply(use.input, use.operator, use.bias, columns).float()
        seen = _sample(output)
        known = self.digital[self.place] if self.place < len(self.digital) else None
        self.place += 1
        if known is None or known.shape != seen.shape:  # the data decided otherwise what is computed
            known = _sample(self._exact(use, columns))
        self._add(seen.double(), known.double(), columns)
        gain, shift = (by_channel(part, output) for part in _narrowed(self.affine(), columns))
        return output * gain + shift

    def corrected(self) -> Product:
        """The product on the tiles with the final correction."""
        affine, matrix = self.affine(), self.matrix
        if not matrix.perfect:

            def through_converters(use: Use, columns: tuple[int, int] | None) -> Tensor:
                with matrix.followed_by(_narrowed(affine, columns)):
                    return matrix.multiply(use.input, use.operator, use.bias, columns)

            return through_converters
        weight = matrix.layout.to_matrix(matrix.values()) * affine.gain[:, None]

        def exactly(use: Use, columns: tuple[int, int] | None) -> Tensor:
            own = weight if columns is None else weight[slice(*columns)]
            bias = fold_bias(use.bias, _narrowed(affine, columns))
            return use.operator.multiply(use.input, own, bias, use.operator.groups)

        return exactly

    def affine(self) -> Affine:
        """The factor and offset of each column; a column of constant outputs keeps its factor."""
        count, analog, digital, squares, products = self.moments
        number = count.clamp_min(1)
        spread = squares - analog.square() / number
        together = products - analog * digital / number
        varies = spread > 1e-12 * squares
        gain = torch.where(varies, together / torch.where(varies, spread, 1.0), 1.0)
        shift = (digital - gain * analog) / number
        return Affine(gain.float(), shift.float())

    def _exact(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        weight = self.target if columns is None else self.target[slice(*columns)]
        return use.operator.multiply(use.input.float(), weight, use.bias, use.operator.groups)

    def _add(self, analog: Tensor, digital: Tensor, columns: tuple[int, int] | None) -> None:
        own = self.moments if columns is None else self.moments[:, slice(*columns)]
        own[0] += len(analog)
        for place, values in enumerate((analog, digital, analog.square(), analog * digital), start=1):
            own[place] += values.sum(0)


def _narrowed(affine: Affine, columns: tuple[int, int] | None) -> Affine:
    return affine if columns is None else Affine(*(part[slice(*columns)] for part in affine))


def _sample(output: Tensor) -> Tensor:
    """Some outputs (n, columns) of a product (N, columns, ...), evenly spaced: the same ones for the same shape."""
    vectors = output.detach().movedim(1, -1).reshape(-1, output.shape[1])
    if len(vectors) <= _MOST_VECTORS:
        return vectors.float()
    places = torch.linspace(0, len(vectors) - 1, _MOST_VECTORS, device=vectors.device).round().long()
    return vectors[places].float()
