"""Names that options of this room choose from, for modules that must not load torch."""

from typing import Literal

Engine = Literal["fast", "aihwkit"]
InputRangeMethod = Literal["output_error", "std"]
