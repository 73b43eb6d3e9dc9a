"""The figures of the sections. Drawing needs matplotlib, which is imported where something is drawn."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analog_samson.report.drawing import Drawing


def drawn_by(function: str, take: Callable[..., tuple[Any, ...]]) -> Callable[..., "Drawing | None"]:
    """A figure of a section.

    Args:
        function: "module.name" below this package: makes the drawing, or None where there is nothing to draw.
        take: The function's arguments from the `Contents`, and the item of the section, if it has items.
    """
    module, name = function.split(".")

    def draw(*section: Any) -> "Drawing | None":
        found: Drawing | None = getattr(import_module(f"{__package__}.{module}"), name)(*take(*section))
        return found

    return draw
