"""The task of a run: named, imported from the user's own code, or the one that the network is made for."""

from typing import Any

from torch import nn

from analog_samson.data.batch_set import BatchSet
from analog_samson.data.feeding import Data, task_options
from analog_samson.errors import OptionError
from analog_samson.models.imported import call_with_known, import_callable
from analog_samson.models.own_code import is_code
from analog_samson.tasks.catalogue import guess_task, make_task, options_from
from analog_samson.tasks.task import Task


def choose_task(name: str | None, model: nn.Module, images: Data | BatchSet, tokenizer: Any = None) -> Task:
    """The task of a run.

    Args:
        name: A name that `make_task` knows, or package.module:callable that gives a task and may take `num_classes`;
            None for the task that the class of the network tells.
        model: The network.
        images: What it is tested on.
        tokenizer: Of texts.

    Raises:
        OptionError: There is no such task, or the callable gives something else.
    """
    if name is not None and is_code(name, ()):
        made = call_with_known(
            name, import_callable(name, OptionError), {"num_classes": getattr(images, "num_classes", None)}, OptionError
        )
        if not isinstance(made, Task):
            raise OptionError(f"task {name}: expected an analog_samson task, got a {type(made).__name__}")
        return made
    known = name or guess_task(model)
    return make_task(known, options_from(model, known) | task_options(known, images, tokenizer))
