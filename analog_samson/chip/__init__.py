"""A weight matrix on aihwkit tiles: program, drift, read, multiply."""
