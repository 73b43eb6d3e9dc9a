"""The options of a training in an experiment file, made from the fields of `TrainOptions`."""

from typing import TYPE_CHECKING, Annotated, Any, Optional

from pydantic import create_model
from pydantic.fields import FieldInfo

from analog_samson.experiments.fields import MaybeCount, MaybeDuration, MaybeName, Teacher
from analog_samson.options import Shown, Written, expectation
from analog_samson.presets.fields import Expected, Section
from analog_samson.training.options import TrainOptions

# A file holds plain values: names, and durations as text. No name in it is code.
_AS_TEXT = {"method": MaybeName, "noise_preset": MaybeName, "noise_time": MaybeDuration}
_NOT_IN_FILES = ("seed", "perturbation", "normalization", "ascent_sync")


class _TrainingTable(Section):
    """Options of a training, see `TrainOptions`; the table before it, or the default there, holds for those left out.

    Attributes:
        method: As there, or "none" for the network as it starts, untrained.
        teacher: "start" distils from the network that the training begins with.
    """

    method: MaybeName = None
    batch_size: MaybeCount = None
    teacher: Teacher = None

    def given(self) -> dict[str, Any]:
        """The options that the table has."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


def _in_file(name: str, field: FieldInfo) -> Any:
    """The type of an option in a file: its own, or a text that stands for it; None where it is left out."""
    if name in _AS_TEXT:
        return _AS_TEXT[name]
    kind: Any = Optional[field.annotation]  # noqa: UP045  # the annotation is a value here
    for item in field.metadata:
        kind = kind if isinstance(item, Shown | Written) else Annotated[kind, item]
    return Annotated[kind, Expected(expectation(kind))]


_FIELDS: dict[str, Any] = {
    name: (_in_file(name, field), None)
    for name, field in TrainOptions.model_fields.items()
    if name not in _NOT_IN_FILES
}
if TYPE_CHECKING:
    TrainingTable = _TrainingTable
else:
    TrainingTable = create_model("TrainingTable", __base__=_TrainingTable, **_FIELDS)
