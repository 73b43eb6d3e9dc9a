"""A weight whose values live on crossbar tiles: what computes behind a `CrossbarWeight` of a converted network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.crossbar.layout import Layout, outputs_first
from analog_samson.crossbar.operator import LINEAR, Operator
from analog_samson.crossbar.use import Use, known_uses, name_of
from analog_samson.crossbar.weight import CASTS, CrossbarWeight, view_like, weights_in, with_values
from analog_samson.errors import ConversionError

_ONE_HOT_NUMBERS = 2**22  # of a look-up at a time


class TiledMatrix(Protocol):
    """What a weight asks of the tiles that hold its values."""

    layout: Layout

    def multiply(
        self, x: Tensor, operator: Operator, bias: Tensor | None, columns: tuple[int, int] | None = None
    ) -> Tensor:
        """The operator's output for x (N, C, ...), through converters and noise; columns: a range, None for all."""

    def prepared(
        self, channels: int, operator: Operator, bias: Tensor | None, columns: tuple[int, int] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """The function `multiply` of x (N, channels, ...), for many x."""


@dataclass
class OnTiles:
    """The holder of a weight on tiles.

    Attributes:
        path: Names the weight in messages.
        matrix: Its tiles.
        table: The digital values for look-ups; None where these run through the tiles as well.
        values: What the tiles hold, for exact products; None where these run through converters.
    """

    path: str
    matrix: TiledMatrix
    table: Tensor | None = None
    values: Tensor | None = None

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The product on the tiles; with the function of the call itself where it is exact."""
        if self.values is not None:
            return func(*with_values(args, self._exact), **with_values(kwargs, self._exact))
        return use.restore(self.matrix.multiply(use.input, use.operator, use.bias, self.columns_of(layout, func)))

    def _exact(self, weight: CrossbarWeight) -> Tensor:
        assert self.values is not None
        return view_like(weight.form, self.values)

    def repeated(self, weight: CrossbarWeight, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        """What depends on the tiles alone is computed here, once."""
        if self.values is not None:
            return lambda x: functional.linear(x, weight, bias)
        layout = Layout.of(*outputs_first(weight.form))
        return self.matrix.prepared(layout.rows, LINEAR, bias, self.columns_of(layout, functional.linear))

    def columns_of(self, layout: Layout, func: Callable[..., Any]) -> tuple[int, int] | None:
        """The range of columns that a product reads, None for all. Raises ConversionError where it is no such range."""
        columns = layout.columns_in(self.matrix.layout)
        if columns is None:
            raise ConversionError(
                f"{self.path}: {name_of(func)} reads this weight along other rows than the tiles have "
                f"({self.matrix.layout.rows} rows by {self.matrix.layout.columns} columns), as a product with its "
                f"transpose does; plan with an example of the inputs, {self._remedy}"
            )
        return None if columns == (0, self.matrix.layout.columns) else columns

    def look_up(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Rows of the digital table, or products of the tiles with one-hot vectors."""
        if self.table is not None:
            return func(*with_values(args, lambda _: self.table), **with_values(kwargs, lambda _: self.table))
        if func is not functional.embedding or kwargs.get("max_norm") is not None:
            return self.otherwise(func, args, kwargs)
        ids, weight = args[0], next(weights_in([*args, *kwargs.values()]))
        flat, rows = ids.flatten(), weight.shape[0]
        parts = flat.split(max(1, _ONE_HOT_NUMBERS // rows))
        found = [functional.linear(functional.one_hot(part, rows).to(weight.dtype), weight.T) for part in parts]
        return torch.cat(found).view(*ids.shape, -1)

    def otherwise(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Refuse by name."""
        if func in CASTS:
            raise ConversionError(
                f"{self.path}: a converted network cannot be moved or cast; move the digital network and convert it"
            )
        if func is torch.save:
            raise ConversionError(
                f"{self.path}: a converted network cannot be saved; save the digital network and convert it again"
            )
        raise ConversionError(
            f"{self.path}: the network uses this weight in {name_of(func)}, which has no crossbar form with converters "
            f"(as a weight in: {known_uses()}); {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        return f"keep it digital with --keep-digital {self.path!r}, or choose a preset whose products are exact"
