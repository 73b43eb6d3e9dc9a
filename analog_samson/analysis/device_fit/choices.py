"""What a fit can be asked for, for options and their help."""

from typing import Literal

DriftModel = Literal["auto", "constant_exponent", "log_linear_exponent", "tabulated_exponent"]
READ_PULSE_SECONDS = 250e-9  # as in the presets for PCM; t_read enters by its logarithm alone
