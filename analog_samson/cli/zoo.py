"""`analog-samson zoo list | show`: trained networks by name."""

from typing import Annotated

import typer

app = typer.Typer(
    help="List or show trained networks, named zoo:NAME wherever a checkpoint is.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list", epilog="Example: analog-samson zoo list")
def list_() -> None:
    """Print one line per network: what it is, what it keeps on simulated chips, and whether it is installed."""
    from analog_samson.models.zoo.search import HOW_TO_INSTALL, installed_names, list_cards
    from analog_samson.report.rendering import render_text
    from analog_samson.report.zoo_cards import list_grid

    cards, installed = list_cards(), installed_names()
    typer.echo(render_text([list_grid(cards, installed)]), nl=False)
    if len(installed) < len(cards):
        typer.echo(f"\nWeights that are not installed: {HOW_TO_INSTALL}.")


@app.command(epilog="Example: analog-samson zoo show resnet32_cifar10")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a network, as `zoo list` prints it.")],
) -> None:
    """Print the card of a network: accuracies, commands, training, origin and licence."""
    from analog_samson.models.zoo.search import load_card
    from analog_samson.report.zoo_cards import card_text

    typer.echo(card_text(load_card(name)), nl=False)
