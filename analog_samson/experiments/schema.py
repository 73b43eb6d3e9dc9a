"""What an experiment file says: networks, methods, their settings, what is measured, and what the paper printed.

Accuracies are percent, rates 1e9 multiply-accumulates a second. Options of a training have the names and meanings of
`TrainOptions`; where a table leaves one out, the table before it or the default of that class holds.
"""

from typing import Annotated, Literal

from pydantic import Field

from analog_samson.experiments.fields import (
    AS_TUPLE,
    Durations,
    Family,
    MaybeCount,
    MaybeName,
    MaybeNames,
    MaybeNumber,
    Metric,
    Names,
    Numbers,
    Share,
    Sigmas,
)
from analog_samson.experiments.shown import Shown
from analog_samson.experiments.training_table import TrainingTable
from analog_samson.presets.fields import (
    Count,
    Expected,
    Flag,
    Limit,
    Line,
    Name,
    NonNegative,
    Percent,
    Positive,
    SchemaVersion,
    Section,
    Text,
)


class Source(Section):
    """Where the paper shows it, and what had to be decided because the paper does not say it."""

    place: Line = Field(description="table or figure, and section")
    statistics: Line = Field(description="over what the paper's means and spreads are taken")
    numbers: Literal["printed", "figure", "none"] = Field(description="whether the paper prints the numbers")
    open_points: Text = Field(description="what the paper leaves open, and what was chosen here")


class Printed(Section):
    """One number of the paper; std is left out where the paper gives none."""

    setting: Name
    method: Name
    metric: Metric
    mean: Percent
    std: MaybeNumber = None
    n: Count


class Method(Section):
    """One row of a table, one curve of a figure."""

    name: Name
    title: Line
    family: Family = Field(description="what it is combined with")
    kin: Name = Field(description="methods of one kin share a colour; a network of the paper's is compared to its kin")
    options: TrainingTable
    passes: Annotated[int, Field(ge=0, le=2), Expected("0, 1 or 2")] = Field(
        description="gradients a step, with a climb in each and on the whole batch"
    )
    grid: Annotated[dict[str, Numbers], Expected("a table of lists of numbers", "a number")] = Field(
        description="options to choose among; empty where there are none"
    )
    like: MaybeName = Field(default=None, description="the method whose chosen hyper-parameters hold here too")


class RandomStart(Section):
    """Trained from scratch."""

    model: Literal["random"]


class CheckpointStart(Section):
    """Fine-tuned from a file made by others."""

    model: Literal["checkpoint"]
    file: Line = Field(description="name of the file in the folder given with --checkpoints")
    where: Line = Field(description="where to get it")


class PretrainedStart(Section):
    """Fine-tuned from a network that is trained here with SGD first, once for all methods."""

    model: Literal["pretraining"]
    training: TrainingTable


class GivenChoice(Section):
    """Hyper-parameters known in advance, by method; a method that is not listed has none."""

    model: Literal["given"]
    source: Line
    options: dict[str, TrainingTable]


class TunedChoice(Section):
    """Hyper-parameters chosen here from each method's grid, see `Tuning`."""

    model: Literal["tuned"]
    epochs: MaybeCount = Field(default=None, description="of a candidate's training; left out, those of the setting")
    sample: MaybeCount = Field(default=None, description="first training images of a candidate, held-out ones included")
    images: MaybeCount = Field(default=None, description="held-out images that are scored; left out, all of them")


class BorrowedChoice(Section):
    """Hyper-parameters as they were chosen in another setting of this file."""

    model: Literal["borrowed"]
    setting: Name


_BY_MODEL = Field(discriminator="model")
Start = Annotated[RandomStart | CheckpointStart | PretrainedStart, _BY_MODEL]
Choice = Annotated[GivenChoice | TunedChoice | BorrowedChoice, _BY_MODEL]


class Setting(Section):
    """One network on one dataset: one column of a table, one panel of a figure."""

    name: Name
    title: Line
    network: Line = Field(description="as for --model")
    data: Name = Field(description="digits, cifar10, cifar100 or imagenet")
    gmacs: Positive = Field(description="1e9 multiply-accumulates of one image")
    train_images: Count
    test_images: Count
    instances: Count = Field(description="simulated chips")
    methods: MaybeNames = Field(default=None, description="those that are trained; left out, those of the scale")
    seeds: MaybeCount = Field(default=None, description="trainings a method; left out, as many as the scale says")
    selection: Name = Field(description="which parameters sharpness-aware methods perturb")
    beside: MaybeName = Field(default=None, description="the setting of the paper whose numbers are shown beside")
    start: Start
    training: TrainingTable
    chosen: Choice


class Evaluation(Section):
    """Noise under which trained networks are measured; counts of 0 mean all images."""

    adabs: Flag = Field(description="measure with adapted batch-norm statistics too")
    bf16: Flag = Field(default=False, description="products in bfloat16")
    sigmas: Sigmas = Field(description="of the generic Gaussian model")
    preset: Name
    times: Durations = Field(description="after programming")
    test_limit: Limit
    calibration_limit: Limit
    sharpness_limit: Limit = Field(description="training images on which sharpness is measured")


class Cost(Section):
    """A machine, for estimates: step time + multiply-accumulates / rate; a gradient counts as three forwards."""

    machine: Line
    basis: Line = Field(description="how the rates were found")
    training_gmacs_per_second: Positive
    evaluation_gmacs_per_second: Positive
    seconds_per_step: NonNegative


class Scale(Section):
    """How much of the experiment is done on what kind of machine."""

    settings: Names
    methods: Names
    seeds: Count
    cost: Cost
    evaluation: Evaluation | None = None


class Criterion(Section):
    """What decides between candidates: mean accuracy on held-out training images over the given conditions."""

    sigmas: Sigmas
    preset: Name
    times: Durations
    instances: Count
    adabs: Flag
    bf16: Flag = Field(default=False, description="products in bfloat16")
    calibration_limit: Limit


class Tuning(Section):
    """How hyper-parameters are chosen before the seeds of the final trainings run."""

    holdout: Share = Field(description="share of the training images that is held out")
    seed: Annotated[int, Field(ge=0), Expected("a whole number of 0 or above")]
    criterion: Criterion


class OwnNetworks(Section):
    """Networks that this experiment trains."""

    model: Literal["own"]
    methods: Annotated[tuple[Method, ...], AS_TUPLE, Field(min_length=1), Expected("a list of tables")]
    settings: Annotated[tuple[Setting, ...], AS_TUPLE, Field(min_length=1), Expected("a list of tables")]
    scales: dict[Literal["paper", "mini"], Scale] = Field(min_length=1)
    tuning: Tuning | None = None


class SharedNetworks(Section):
    """Networks of another experiment; with its --out folder nothing is trained twice."""

    model: Literal["shared"]
    of: Name
    methods: Names
    settings: Names


class NoNetworks(Section):
    """Nothing is trained."""

    model: Literal["none"]


Networks = OwnNetworks | SharedNetworks | NoNetworks


class Experiment(Section):
    """One experiment file."""

    schema_version: SchemaVersion = Field(alias="schema")
    name: Name
    title: Line
    source: Source
    shows: Annotated[Shown, _BY_MODEL]
    networks: Annotated[Networks, _BY_MODEL]
    printed: Annotated[tuple[Printed, ...], AS_TUPLE, Expected("a list of tables")]
