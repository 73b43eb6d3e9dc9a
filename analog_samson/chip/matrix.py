"""One weight of a network on aihwkit tiles."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from analog_samson.chip.execute import prepare, prepare_exact
from analog_samson.chip.scaling import Affine
from analog_samson.chip.slicing import sliced
from analog_samson.chip.state import programming_error, stored_weight, target_weight, tile_grid
from analog_samson.chip.tile import CrossbarConfig, CrossbarTile
from analog_samson.crossbar.layout import Layout, form_of, outputs_first
from analog_samson.crossbar.operator import Operator
from analog_samson.errors import OptionError
from analog_samson.rng import ContinuedStream
from analog_samson.runtime.allocation import return_freed_memory


class _Released(NamedTuple):
    """What is kept of released tiles: the values of perfect products, and the relative error of the weight."""

    values: Tensor | None
    error: Tensor


class TileMatrix:
    """The matrix of one weight, split over as many tiles as the hardware needs.

    Attributes:
        shape: Of the weight.
        layout: How the weight lies on the tiles, as a matrix (columns, rows) of all groups.
        input_exponents: Of the powers of two that each channel of the inputs is divided by; empty: by nothing.
        after: A scale and a shift for each output that the digital scale of the tiles takes along, or None.
        converter_noise: The stream that products draw from; None is torch's global stream.
        noise_device: Where device noise is drawn, from torch's global stream there.
    """

    noise_device = torch.device("cpu")

    def __init__(
        self,
        weight: Tensor,
        layout: Layout,
        config: CrossbarConfig,
        input_exponents: Sequence[int] = (),
        *,
        shared: bool = False,
    ) -> None:
        """Put `weight` on new tiles of `config`, on the device of the weight; nothing is drawn.

        Weights are multiplied by what their inputs are divided by, so that the product stays the same.
        shared: refer to `weight`, which must not change, and leave the tiles empty until `program`; without effect
        where weights are sliced or multiplied.
        """
        self.input_exponents = tuple(input_exponents)
        self._divisors = powers(input_exponents, weight) if input_exponents else None
        columns, rows = layout.to_matrix(weight.detach()).shape
        tile_class = config.get_default_tile_module_class(columns, rows)
        self.shape, self.layout = weight.shape, layout
        self.after: Affine | None = None
        self.converter_noise: ContinuedStream | None = None
        count = len(config.mapping.slice_bits) or 1
        self._slices: list[Any] = [tile_class(columns, rows, copy.deepcopy(config), False) for _ in range(count)]
        self.load(weight)
        for module in self._slices:
            module.to(weight.device).eval()
        self._released: _Released | None = None
        self._digital = weight.detach() if shared and count == 1 and not input_exponents else None
        if self._digital is not None:
            self._version = weight._version
            self._clear()

    @classmethod
    def around(cls, module: Any, shape: torch.Size) -> "TileMatrix":
        """The matrix of one of aihwkit's layers, from its ``analog_module`` and the shape of its weight."""
        matrix = cls.__new__(cls)
        matrix.shape, matrix.after, matrix.converter_noise, matrix._slices = shape, None, None, [module]
        matrix.input_exponents, matrix._divisors, matrix._released, matrix._digital = (), None, None, None
        matrix.layout = Layout.of(*outputs_first(form_of(shape)))
        return matrix

    @property
    def perfect(self) -> bool:
        """Whether products are exact, so that the stored values alone decide them."""
        return bool(self.tiles[0].rpu_config.forward.is_perfect)

    @property
    def device(self) -> torch.device:
        """Where the tiles are."""
        return torch.device(self.tiles[0].device)

    @property
    def tiles_by_slice(self) -> list[list[Any]]:
        """aihwkit's tiles of each slice of the bits, over parts of the rows and in each over parts of the columns."""
        return [[tile for row in tile_grid(module) for tile in row] for module in self._slices]

    @property
    def tiles(self) -> list[Any]:
        """aihwkit's tiles of all slices."""
        return [tile for tiles in self.tiles_by_slice for tile in tiles]

    def load(self, weight: Tensor) -> None:
        """Let the tiles hold other values of the weight, exactly unless they are sliced; nothing is drawn."""
        matrix, mapping = self.layout.to_matrix(weight.detach()).float(), self.tiles[0].rpu_config.mapping
        matrix = matrix if self._divisors is None else matrix * self._by_row(self._divisors)
        parts = sliced(matrix, mapping.slice_bits, by_column=mapping.weight_scaling_columnwise)
        for module, part in zip(self._slices, parts, strict=True):
            module.set_weights(part)

    def program(self, faults: torch.Generator | None = None) -> None:
        """Program every tile anew. Draws programming noise and drift exponents from torch's global stream.

        faults: what failed devices are drawn from; None is that stream too.
        """
        if self._digital is not None:
            if self._digital._version != self._version:
                raise OptionError("the digital network has changed since its tiles were built; build new tiles for it")
            self._released = None
            self.load(self._digital)
        for tile in self.tiles:
            with _drawing(tile, stream=self._stream(), fault_stream=faults):
                tile.program_weights()
            tile.alpha = torch.ones_like(tile.alpha)  # aihwkit keeps the compensation of the chip before

    def drift(self, time_seconds: float, reads: torch.Generator | None = None) -> None:
        """Read every tile `time_seconds` after programming and compensate drift by that reading.

        Draws from torch's global stream; reads: what read noise is drawn from instead.
        """
        for tile in self.tiles:
            if self.shared:  # of no use beside the programmed weights
                tile.reference_combined_weights = None
                tile.tile.weight.data = tile.tile.weight.data.new_empty(0)
            with _drawing(tile, stream=self._stream(), read_stream=reads):
                tile.drift_weights(time_seconds)

    def read(self, time_seconds: float, reads: torch.Generator) -> None:
        """Read every tile again, as `drift` does, and leave drift compensation as it is."""
        for tile in self.tiles:
            with _drawing(tile, stream=self._stream(), read_stream=reads) as model:
                kept = (tile.programmed_weights, tile.drift_noise_parameters)
                tile.tile.set_weights(model.apply_drift_noise(*kept, time_seconds))

    def _stream(self) -> torch.Generator | None:
        """What device noise is drawn from; None is torch's CPU stream."""
        return torch.cuda.default_generators[self.device.index or 0] if self.noise_device.type == "cuda" else None

    def rewind(self) -> None:
        """Back to the weights as programmed, unread and without drift compensation; draws nothing."""
        for tile in self.tiles:
            tile.tile.set_weights(tile.programmed_weights)
            tile.alpha = torch.ones_like(tile.alpha)

    @property
    def shared(self) -> bool:
        """Whether the digital weight is referred to, so that `release` can give the devices' memory back."""
        return self._digital is not None

    def release(self) -> None:
        """Keep what products need and give all other memory of shared tiles back, until they are programmed again."""
        assert self.shared
        for tile in self.tiles:
            tile.reference_combined_weights = tile.programmed_weights = tile.drift_noise_parameters = None
        error = programming_error(tile_grid(self._slices[0]), self.target())
        self._released = _Released(self.values() if self.perfect else None, error)
        if self.perfect:
            self._clear()
        return_freed_memory()

    @property
    def released_error(self) -> Tensor | None:
        """The relative error of the weight as `chip.weight_error` has it; None where the tiles were not released."""
        return None if self._released is None else self._released.error

    def _clear(self) -> None:
        """Let the tiles hold no weights."""
        for tile in self.tiles:
            tile.tile.weight.data = tile.tile.weight.data.new_empty(0)
        return_freed_memory()

    def values(self) -> Tensor:
        """The weight as stored now, scales and drift compensation included; shape and device of the weight."""
        if self._released is not None and self._released.values is not None:
            return self._released.values
        return self.layout.to_weight(self._undivided(_sum(map(stored_weight, self._slices))), self.shape)

    def target(self) -> Tensor:
        """The matrix (columns, rows) that was to be programmed, before any noise; of all groups."""
        if self._digital is not None:
            return self.layout.to_matrix(self._digital).float()
        return self._undivided(_sum(map(target_weight, self._slices)))

    @contextmanager
    def followed_by(self, after: Affine) -> Iterator[None]:
        """Within, products are scaled and shifted by `after`, at no cost."""
        before, self.after = self.after, after
        try:
            yield
        finally:
            self.after = before

    def set_input_range(self, largest: float, *, exact: bool = False) -> None:
        """Set the input that the DAC's last code stands for, on every tile.

        exact: Let inputs through as they are, neither clipped nor rounded; the range stays the unit of all else.
        """
        for tile in self.tiles:
            tile.set_input_range(largest)
            if isinstance(tile, CrossbarTile):
                tile.exact_inputs = exact

    def multiply(
        self, x: Tensor, operator: Operator, bias: Tensor | None, columns: tuple[int, int] | None = None
    ) -> Tensor:
        """The operator's output for x (N, C, ...). Draws from `converter_noise`.

        columns: a range of the weight's columns, which are computed alone; None for all.
        """
        return self.prepared(x.shape[1], operator, bias, columns)(x)

    def prepared(
        self, channels: int, operator: Operator, bias: Tensor | None, columns: tuple[int, int] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """The function `multiply` of x (N, channels, ...) with the tiles as they are now, for many x."""
        if self._released is not None and self._released.values is not None:
            return prepare_exact(self.layout.to_matrix(self._released.values), operator, bias, self.after, columns)
        first, *others = self._slices
        runs = [prepare(first, channels, operator, bias, self.after, columns)]
        unshifted = None if self.after is None else Affine(self.after.gain, torch.zeros_like(self.after.shift))
        runs += [prepare(module, channels, operator, None, unshifted, columns) for module in others]
        noise: AbstractContextManager[None] = self.converter_noise or nullcontext()
        divisors = self._by_channel(channels)

        def multiply(x: Tensor) -> Tensor:
            with noise:
                divided = x if divisors is None else x / divisors.view(1, -1, *[1] * (x.ndim - 2))
                return _sum(run(divided) for run in runs)

        return multiply

    def _by_channel(self, channels: int) -> Tensor | None:
        """The divisors of so many inputs: of channels, or of vectors with all kernel positions of each channel."""
        return None if self._divisors is None else self._divisors.repeat_interleave(channels // len(self._divisors))

    def _undivided(self, matrix: Tensor) -> Tensor:
        return matrix if self._divisors is None else matrix / self._by_row(self._divisors)

    def _by_row(self, divisors: Tensor) -> Tensor:
        """The divisors, shaped for the matrix (columns, rows) of all groups."""
        rows = divisors.view(self.layout.groups, -1)
        rows = rows.repeat_interleave(self.layout.rows // rows.shape[1], dim=1)
        return rows.repeat_interleave(self.layout.columns, dim=0)


def powers(exponents: Sequence[int], like: Tensor) -> Tensor:
    """2 to these powers, in single precision on the device of `like`."""
    return torch.exp2(torch.tensor(exponents, dtype=torch.float32, device=like.device))


@contextmanager
def _drawing(tile: Any, **streams: torch.Generator | None) -> Iterator[Any]:
    """Within, the noise model of a tile has these streams; yields the model."""
    model = tile.rpu_config.noise_model
    vars(model).update(streams)
    try:
        yield model
    finally:
        vars(model).update(dict.fromkeys(streams))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    """The digital sum over slices; each has its shift in the scale of its tiles already."""
    first, *others = parts
    for part in others:
        first = first + part
    return first


_ATTRIBUTE = "tile_matrices"


def remember(network: nn.Module, matrices: Mapping[str, TileMatrix]) -> None:
    """Let a converted network know its tiles, for `matrices_of`."""
    setattr(network, _ATTRIBUTE, matrices)


def matrices_of(network: nn.Module) -> Mapping[str, TileMatrix]:
    """The tiles of a network that `convert` made, by layer path. Raises OptionError for any other network."""
    matrices: Mapping[str, TileMatrix] | None = getattr(network, _ATTRIBUTE, None)
    if matrices is None:
        raise OptionError(f"expected a network that convert made, got a {type(network).__name__} without tiles")
    return matrices
