"""The JSON text in the header of our own checkpoints: what later code reads in it, and of which kind that has to be."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analog_samson.errors import CheckpointError, list_faults
from analog_samson.presets.faults import kind_faults
from analog_samson.runtime.plain_values import parse_json

SCHEMA = 1
_Count = Annotated[int, Field(ge=1, le=2**31)]
_Numbers = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


class _Part(BaseModel):
    """Further keys are let through: other versions, and users, store more."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class _Normalization(_Part):
    name: str = ""
    mean: _Numbers
    std: _Numbers


class _HeldOut(_Part):
    share: Annotated[float, Field(gt=0, lt=1)]
    images: _Count


class _Metadata(_Part):
    model: str | None = None
    num_classes: _Count | None = None
    in_channels: _Count | None = None
    data: str | None = None
    data_fingerprint: str | None = None
    test_data: str | None = None
    task: str | None = None
    classes: list[str] | None = None
    normalization: _Normalization | None = None
    held_out: _HeldOut | None = None
    training: dict[str, Any] | None = None
    versions: dict[str, Any] | None = None


def parse_metadata(text: str, where: object) -> dict[str, Any]:
    """The metadata as plain values.

    Args:
        text: JSON, as the header holds it.
        where: What a message calls the file.

    Raises:
        CheckpointError: It is no JSON, of another schema, or a value that is read later is of another kind.
    """
    remedy = "copy or download the file again"
    try:
        metadata = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{where}: the metadata in its header is damaged ({error}); {remedy}") from error
    if not isinstance(metadata, dict) or "schema" not in metadata:
        raise CheckpointError(f"{where}: the metadata in its header is damaged (no table with a schema); {remedy}")
    if metadata["schema"] != SCHEMA:
        raise CheckpointError(
            f"{where}: metadata of schema {metadata['schema']!r:.40}, this version reads schema {SCHEMA}; "
            "read it with the version of analog-samson that wrote it, named in the file's header"
        )
    try:
        _Metadata.model_validate(metadata)
    except ValidationError as error:
        told = list_faults(f"{where}: the metadata in its header", kind_faults(error))
        raise CheckpointError(f"{told}\n  {remedy}, or write it again with save_checkpoint") from None
    return metadata
