"""What a card says of a network: what it is, how it was made, from what, and what was measured by which command.

Accuracies are percent of the test images, deviations points over simulated chips, times seconds after programming.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from analog_samson.presets.fields import (
    Count,
    Expected,
    Flag,
    Line,
    Name,
    NonNegative,
    Percent,
    SchemaVersion,
    Section,
    Text,
)


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """After the entries: a count among the checks of the list would also report one that holds a faulty entry."""
    if not values:
        raise ValueError("empty")
    return values


Points = Annotated[float | None, Field(ge=0, allow_inf_nan=False), Expected("a finite number, 0 or above, or null")]
Seed = Annotated[int, Field(ge=0), Expected("a whole number of 0 or above")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Expected("64 hexadecimal digits")]
Lines = Annotated[tuple[Line, ...], AfterValidator(_some), Expected("a list of lines", "one line of text")]
Files = Annotated[tuple[Line, ...], Expected("a list of file names", "a file name")]
_TABLES = Expected("a list of tables")


class Network(Section):
    """What `load_checkpoint` and `restore_model` make of the weights."""

    model: Line = Field(description="as for --model")
    parameters: Count
    num_classes: Count
    in_channels: Count
    normalization: Line = Field(description="of the input, as for --normalization")
    sha256: Sha256 = Field(description="of the file with the weights")
    license: Line = Field(description="SPDX identifier")


class Data(Section):
    """The images it was trained on."""

    title: Line
    citation: Line
    name: Line = Field(description="as for --data")
    fingerprint: Sha256


class Training(Section):
    """How it was made: the same commands with the same files and versions make it again."""

    commands: Lines = Field(description="one after the other")
    files: Files = Field(description="presets that the commands name, beside this card")
    seed: Seed
    version: Line = Field(description="of analog-samson")
    torch: Line


class Origin(Section):
    """A file of others that the training began with or learnt from."""

    role: Line
    file: Line
    sha256: Sha256
    source: Line = Field(description="where it comes from")
    license: Line = Field(description="SPDX identifier")
    license_file: Line = Field(description="its text, beside this card")


class Accuracy(Section):
    """Mean and deviation over the simulated chips of a preset; no deviation for a single chip."""

    preset: Name
    adabs: Flag = Field(description="with adapted batch-norm statistics")
    chips: Count
    mean_percent: Percent
    std_points: Points


class Aged(Accuracy):
    """Accuracy so long after programming."""

    time_seconds: NonNegative


class Noisy(Accuracy):
    """Accuracy under the generic Gaussian conductance model."""

    sigma_c: NonNegative


class Measurement(Section):
    """What one command measured."""

    command: Line
    data: Line
    data_fingerprint: Sha256
    images: Count
    seed: Seed
    version: Line = Field(description="of analog-samson")
    torch: Line
    digital_percent: Percent
    aged: Annotated[tuple[Aged, ...], _TABLES]
    noisy: Annotated[tuple[Noisy, ...], _TABLES]


class Card(Section):
    """One card file."""

    schema_version: SchemaVersion = Field(alias="schema")
    name: Name
    network: Network
    data: Data
    training: Training
    origins: Annotated[tuple[Origin, ...], _TABLES]
    measured: Annotated[tuple[Measurement, ...], AfterValidator(_some), _TABLES]
    remarks: Text = Field(description="what else one should know; may be empty")
