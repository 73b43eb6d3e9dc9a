"""`analog-samson reproduce`: the paper's tables and figures by name."""

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.errors import OptionError
from analog_samson.experiments.catalogue import load_experiment
from analog_samson.experiments.listing import list_text
from analog_samson.experiments.reproduce_options import ReproduceOptions
from analog_samson.experiments.runner import reproduce_experiment


@takes(ReproduceOptions, "analog-samson reproduce fig2 --scale mini --cifar10 DIR --checkpoints DIR --out runs/fig2")
def reproduce(given: Given) -> None:
    options = ReproduceOptions.from_text(given)
    if options.list_all:
        print(list_text(), end="")
        return
    if options.name is None:
        raise OptionError("reproduce: name an experiment; `analog-samson reproduce --list` shows all")
    experiment = load_experiment(options.name, trusted=options.trust)
    text = reproduce_experiment(experiment, options.running(experiment.name), lambda line: typer.echo(line, err=True))
    print(text, end="")
