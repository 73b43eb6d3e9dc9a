"""`python -m analog_samson` is the `analog-samson` command."""

from analog_samson.cli.main import run

run()
