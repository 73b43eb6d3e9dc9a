"""Names that options of this room choose from, for modules that must not load torch."""

from typing import Literal

Engine = Literal["fast", "aihwkit"]
ReadNoise = Literal["per_condition", "per_read"]
InputRangeMethod = Literal["output_error", "std"]
