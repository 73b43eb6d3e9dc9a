"""The task of a run: named, imported from the user's own code, or the one that the network is made for."""

from torch import nn

from analog_samson.data import ImageSet
from analog_samson.errors import OptionError
from analog_samson.models.imported import call_with_known, import_callable
from analog_samson.models.own_code import is_code
from analog_samson.tasks.catalogue import guess_task, make_task, options_from
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.task import Task


def choose_task(name: str | None, model: nn.Module, images: ImageSet) -> Task:
    """The task of a run.

    Args:
        name: A name that `make_task` knows, or package.module:callable that gives a task and may take `num_classes`;
            None for the task that the class of the network tells.
        model: The network.
        images: What it is tested on.

    Raises:
        OptionError: There is no such task, or the callable gives something else.
    """
    if name is not None and is_code(name, ()):
        made = call_with_known(
            name, import_callable(name, OptionError), {"num_classes": images.num_classes}, OptionError
        )
        if not isinstance(made, Task):
            raise OptionError(f"task {name}: expected an analog_samson task, got a {type(made).__name__}")
        return made
    known = name or guess_task(model)
    if known == Classification.name:
        return Classification(classes=images.num_classes)
    return make_task(known, options_from(model, known))
