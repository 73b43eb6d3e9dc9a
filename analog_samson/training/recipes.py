"""Training options that suit a dataset; what the user gives wins over them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A name for messages, and the `TrainOptions` it stands for."""

    name: str
    options: dict[str, Any]


DIGITS = Recipe(
    name="digits, seconds on one core",
    options={"epochs": 30, "batch_size": 64, "learning_rate": 0.05, "schedule": "cosine"},
)
# Section 5 of the SAMSON paper: 200 epochs, 0.1, divided by 10 every 50 of them.
FROM_SCRATCH = Recipe(
    name="from scratch, as the paper trains on CIFAR",
    options={"epochs": 200, "batch_size": 128, "learning_rate": 0.1, "schedule": "step"},
)
TRANSFORMER = Recipe(
    name="fine-tuning a transformer",
    options={
        "optimizer": "adamw",
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 5e-5,
        "schedule": "onecycle",
        "weight_decay": 0.01,
    },
)
_RATES = {"adamw": 1e-3, "sgd": 0.02}  # where the recipe's own rate is one of another optimizer
FINE_TUNING = Recipe(
    name="fine-tuning",
    options={"epochs": 10, "batch_size": 128, "learning_rate": 0.02, "schedule": "onecycle"},
)


def with_recipe(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a recipe, `given` ones in their place; the rate is divided after each quarter, if not told.

    >>> with_recipe(FROM_SCRATCH, {"epochs": 30})["step_epochs"], with_recipe(FROM_SCRATCH, {})["step_epochs"]
    (8, 50)
    """
    options = {**recipe.options, **given}
    optimizer = options.get("optimizer", "sgd")
    if optimizer != recipe.options.get("optimizer", "sgd") and optimizer in _RATES:
        options["learning_rate"] = given.get("learning_rate", _RATES[optimizer])
    epochs = options["epochs"]
    if options["schedule"] == "step" and "step_epochs" not in options and isinstance(epochs, int):
        options["step_epochs"] = max(1, math.ceil(epochs / 4))
    return options


def recipe_for(data: str, *, fine_tuning: bool) -> Recipe:
    """The recipe of a dataset by its name; with `fine_tuning` the training begins at a checkpoint."""
    if data == "digits":
        return DIGITS
    return FINE_TUNING if fine_tuning else FROM_SCRATCH
