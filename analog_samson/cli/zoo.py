"""`analog-samson zoo list | show`: the networks that come with the package."""

from typing import Annotated

import typer

app = typer.Typer(
    help="List or show the networks that come with the package, named zoo:NAME wherever a checkpoint is.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list", epilog="Example: analog-samson zoo list")
def list_() -> None:
    """Print one line per network: what it is and what it keeps on simulated chips."""
    from analog_samson.models.zoo.search import list_cards
    from analog_samson.report.rendering import render_text
    from analog_samson.report.zoo_cards import list_grid

    typer.echo(render_text([list_grid(list_cards())]), nl=False)


@app.command(epilog="Example: analog-samson zoo show resnet32_cifar10")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a network, as `zoo list` prints it.")],
) -> None:
    """Print the card of a network: accuracies, commands, training, origin and licence."""
    from analog_samson.models.zoo.search import load_card
    from analog_samson.report.zoo_cards import card_text

    typer.echo(card_text(load_card(name)), nl=False)
