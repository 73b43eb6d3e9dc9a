"""A factor and an offset for each output column, fitted to the digital outputs: `calibrate="affine"`.

A chip multiplies by weights that differ from the intended ones. What of that difference is common to a column, such as
drift, can be undone behind the converters by one multiplication and one addition. Both come from least squares, shrunk
where the data are few, see `column_fit`. Weights are fitted in the order in which the network uses them, and each one
sees inputs that the ones before it have corrected already.

A correction that suits most outputs of a column can spoil a few that matter: a class token has inputs unlike those of
all other positions. So the corrections of all weights are applied with one common strength between 0 and 1, chosen by
how close the outputs of the whole network come to the digital ones.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.chip.column_fit import ColumnFit
from analog_samson.chip.execute import by_channel
from analog_samson.chip.matrix import TileMatrix
from analog_samson.chip.network import CrossbarNetwork, crossbar_of
from analog_samson.chip.output_error import output_errors
from analog_samson.chip.scaling import Affine, fold_bias
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.tiled import OnTiles
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import exchanged
from analog_samson.crossbar.weight import CrossbarWeight, one_by_one
from analog_samson.errors import OptionError
from analog_samson.runtime.devices import full_precision
from analog_samson.tasks.batch import Run, feed, first_tensor, tensors_of

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FEWEST = 4  # samples; from fewer nobody can tell how sure a fit is
_MOST_VECTORS = 4096  # outputs that one product of one batch adds to the fit, evenly spaced over batch and positions


@contextmanager
def affine_corrected(network: nn.Module, batches: Iterable[Any], run: Run = feed) -> Iterator[None]:
    """Within, each output column of each weight on tiles is corrected by a factor and an offset; after, none is.

    Every batch runs with the digital weights and with the tiles, then once for each strength. Draws converter noise,
    and nothing itself.

    Args:
        network: A network on its chip, as `SimulatedDevice` programs it.
        batches: Calibration batches.
        run: How the network is run on a batch.

    Raises:
        OptionError: There are fewer than four samples, or the network runs on engine "aihwkit".
    """
    crossbar = crossbar_of(network)
    if crossbar is None:
        raise OptionError("calibrate: affine works on engine fast only")
    fits = {path: _Fit(path, matrix) for path, matrix in crossbar.matrices.items()}
    batches, samples = list(batches) if isinstance(batches, Iterator) else batches, 0
    with torch.no_grad(), full_precision():
        for batch in batches:
            first = first_tensor(batch)
            size = 1 if first is None or first.ndim == 0 else len(first)
            for fit in fits.values():
                fit.start(samples, size)
            with _computing(crossbar, {path: fit.digitally for path, fit in fits.items()}):
                run(network, batch)
            with _computing(crossbar, {path: fit.on_tiles for path, fit in fits.items()}):
                run(network, batch)
            samples += size
        if samples < _FEWEST:
            raise OptionError(f"calibrate: affine needs at least {_FEWEST} samples of calibration data, got {samples}")
        strength = _best_strength(network, crossbar, fits, batches, run)
    if strength == 0:
        yield
        return
    with _computing(crossbar, {path: fit.corrected(strength) for path, fit in fits.items()}):
        yield


def _best_strength(
    network: nn.Module, crossbar: CrossbarNetwork, fits: "dict[str, _Fit]", batches: Iterable[Any], run: Run
) -> float:
    """The smallest strength whose error is within one standard error of the least.

    The error of a sample is that of the network's output, relative to the size of the digital one. Without tensors to
    compare the corrections are applied in full. The rule: Breiman et al., Classification and Regression Trees, 1984.
    """
    errors: dict[float, list[Tensor]] = {strength: [] for strength in STRENGTHS}
    for batch in batches:
        with _computing(crossbar, {path: fit.exact for path, fit in fits.items()}):
            digital = tensors_of(run(network, batch))
        for strength, found in errors.items():
            with _computing(crossbar, {path: fit.corrected(strength) for path, fit in fits.items()}):
                found += output_errors(tensors_of(run(network, batch)), digital)
    every = {strength: torch.cat(found) for strength, found in errors.items() if found}
    if not every:
        return 1.0
    best = min(every.values(), key=lambda one: float(one.mean()))
    most = float(best.mean() + best.std(correction=0) / len(best) ** 0.5)
    return next(strength for strength in STRENGTHS if float(every[strength].mean()) <= most)


Product = Callable[[Use, "tuple[int, int] | None"], Tensor]  # with the range of columns, None for all


@dataclass
class _Held(OnTiles):
    """A weight whose products are computed by a function in the place of the tiles."""

    product: Product | None = None

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        assert self.product is not None
        return use.restore(self.product(use, self.columns_of(layout, func)))

    def repeated(self, weight: CrossbarWeight, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        return one_by_one(weight, bias)


@contextmanager
def _computing(crossbar: CrossbarNetwork, products: dict[str, Product]) -> Iterator[None]:
    """Within, the products of these weights are computed by these functions."""
    held: list[tuple[tuple[nn.Module, str], Tensor]] = []
    for path, product in products.items():
        slots = crossbar.slots(path)
        own = slots[0][0].get_parameter(slots[0][1])
        table = own.holder.table if isinstance(own, CrossbarWeight) and isinstance(own.holder, OnTiles) else None
        weight = CrossbarWeight(own, _Held(path, crossbar.matrices[path], table, product=product))
        held += [(slot, weight) for slot in slots]
    with exchanged(held):
        yield


@dataclass
class _Fit:
    """The least squares of one weight, column by column.

    Attributes:
        digital: Outputs of the digital pass over the batch, one entry for each product, in order.
        place: Of the next product of the tiles among them.
        batch: The number of the first sample of the batch, and how many it has.
    """

    path: str
    matrix: TileMatrix
    digital: list[Tensor] = field(default_factory=list)
    place: int = 0
    batch: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        self.target = self.matrix.target()
        self.pairs = ColumnFit.of(len(self.target), self.target.device)

    def start(self, first: int, count: int) -> None:
        """Start a batch whose samples have the numbers from `first` on."""
        self.digital, self.place, self.batch = [], 0, (first, count)

    def digitally(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        """The exact product; remembers some of its outputs."""
        output = self.exact(use, columns)
        self.digital.append(_sample(output)[0])
        return output

    def on_tiles(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        """The product on the tiles, corrected by what is known after it has been compared with the digital one."""
        output = self.matrix.multiply(use.input, use.operator, use.bias, columns).float()
        seen, places = _sample(output)
        known = self.digital[self.place] if self.place < len(self.digital) else None
        self.place += 1
        if known is None or known.shape != seen.shape:  # the data decided otherwise what is computed
            known, _ = _sample(self.exact(use, columns))
        first, count = self.batch
        self.pairs.add(seen, known, first + (places * count).long(), columns)
        gain, shift = (by_channel(part, output) for part in _narrowed(self.pairs.affine(), columns))
        return output * gain + shift

    def corrected(self, strength: float) -> Product:
        """The product on the tiles with the final correction, or with a part of it."""
        full, matrix = self.pairs.affine(), self.matrix
        affine = Affine(1 + strength * (full.gain - 1), strength * full.shift)
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

    def exact(self, use: Use, columns: tuple[int, int] | None) -> Tensor:
        """The product with the digital weight."""
        weight = self.target if columns is None else self.target[slice(*columns)]
        return use.operator.multiply(use.input.float(), weight, use.bias, use.operator.groups)


def _narrowed(affine: Affine, columns: tuple[int, int] | None) -> Affine:
    return affine if columns is None else Affine(*(part[slice(*columns)] for part in affine))


def _sample(output: Tensor) -> tuple[Tensor, Tensor]:
    """Some outputs (n, columns) of a product (N, columns, ...), evenly spaced: the same ones for the same shape.

    With them come their places (n,) in the product, from 0 to below 1.
    """
    vectors = output.detach().movedim(1, -1).reshape(-1, output.shape[1])
    count = len(vectors)
    chosen = torch.arange(count, device=vectors.device)
    if count > _MOST_VECTORS:
        chosen = torch.linspace(0, count - 1, _MOST_VECTORS, device=vectors.device).round().long()
        vectors = vectors[chosen]
    return vectors.float(), (chosen + 0.5) / count
