"""A weight matrix on aihwkit tiles: program, drift, read, multiply."""

from analog_samson.chip.extension import install_finder

install_finder()
