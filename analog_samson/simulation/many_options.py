"""The options of `compare` and `sweep`: all those of `simulate`, with several networks, presets and seeds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from analog_samson.options import HARDWARE, NETWORK, STATISTICS, Seed, Written, option
from analog_samson.options.seeds import parse_seeds
from analog_samson.simulation.options import (
    PRESET,
    SeedOption,
    SimulateOptions,
    SimulationOptions,
    WithErrorBudget,
    write_list,
)
from analog_samson.simulation.points import Point, plan_points


class ManyOptions(SimulationOptions, WithErrorBudget):
    """What commands take that simulate several networks on several presets."""

    TRAINS: ClassVar[bool] = False  # whether a checkpoint may be a training file

    model: Annotated[
        tuple[str, ...],
        option(
            "As for simulate: one for all checkpoints, or one for each in their order.",
            NETWORK,
            "NAME",
            default="the checkpoints'",
        ),
    ] = ()
    label: Annotated[
        tuple[str, ...],
        option(
            "Name of a checkpoint in tables and figures; one for each in their order.",
            NETWORK,
            "NAME",
            default="the files'",
        ),
    ] = ()
    preset: Annotated[
        tuple[str, ...],
        option(
            "Hardware preset: a name, a TOML file or a pattern such as 'pcm_*'; may be repeated.",
            HARDWARE,
            "PRESET",
            min_length=1,
        ),
    ] = (PRESET,)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """FILE, zoo:NAME or NAME=FILE of each network."""
        raise NotImplementedError

    @property
    def seed_folders(self) -> dict[int, str]:
        """The seeds, each with the name of its folder inside that of a network and a preset; "" for none."""
        raise NotImplementedError

    @property
    def points(self) -> list[Point]:
        """What is varied beside networks, presets and seeds. Raises OptionError."""
        return [{}]

    @property
    def preset_names(self) -> tuple[str, ...]:
        return self.preset

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        count = len(self.checkpoints)
        if self.label and len(self.label) != count:
            yield f"label: {len(self.label)} names for {count} checkpoints; give one for each, or none"
        if len(self.model) > 1 and len(self.model) != count:
            yield f"model: {len(self.model)} names for {count} checkpoints; give one for all, or one for each"

    def of_one(self, **named: Any) -> SimulateOptions:
        """The options of one simulation; `named` are its checkpoint, model, label, preset and seed."""
        return SimulateOptions(**dict(self.part(SimulationOptions)), **named)


class CompareOptions(ManyOptions):
    """Checkpoints on presets, on equal chips."""

    NAME = "compare"

    checkpoint: Annotated[
        tuple[str, ...],
        option(
            "Checkpoint: FILE, zoo:NAME or NAME=FILE; repeat it, or give a pattern such as 'runs/*.safetensors'.",
            NETWORK,
            "FILE",
        ),
    ]
    seed: SeedOption = 0

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return self.checkpoint

    @property
    def seed_folders(self) -> dict[int, str]:
        return {self.seed: ""}

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if len(self.checkpoint) * len(self.preset) < 2:
            yield "nothing to compare: give two checkpoints or two presets"


class SweepOptions(ManyOptions):
    """Checkpoints on presets at several points, with several seeds, whose chips are pooled."""

    NAME = "sweep"
    TRAINS = True

    checkpoint: Annotated[
        tuple[str, ...],
        option(
            "Checkpoints or training files (.toml): FILE, zoo:NAME, NAME=FILE or a pattern, as 'runs/*.pt'.",
            metavar="CHECKPOINT",
            is_argument=True,
            min_length=1,
        ),
    ]
    seed: Annotated[
        tuple[Seed, ...],
        option("One simulation for each, such as 0,1,2 or 0-9.", STATISTICS, flags=("--seeds",), min_length=1),
        Written(parse_seeds, write_list, "SEEDS"),
    ] = (0,)

    vary: Annotated[
        tuple[str, ...],
        option(
            "A number of the preset, an option of simulate or of a training, and its values, such as "
            "periphery.adc_bits=4,6,8, input_range=max,output_error or training.rho=0.1,0.2; may be repeated for a "
            "grid.",
            HARDWARE,
            "NAME=VALUES",
        ),
    ] = ()
    random: Annotated[
        int | None,
        option(
            "Draw so many points in place of the grid; --vary then also takes LOW..HIGH. The first seed names the "
            "draws.",
            HARDWARE,
            "N",
            default="off",
            needs="vary",
            ge=1,
        ),
    ] = None
    vary_list: Annotated[
        Path | None,
        option(
            "Points as a CSV file: a line of names, then a point on each line; in place of --vary.", HARDWARE, "FILE"
        ),
    ] = None

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return self.checkpoint

    @property
    def seed_folders(self) -> dict[int, str]:
        return {seed: f"seed{seed}" for seed in self.seed}

    @property
    def points(self) -> list[Point]:
        return plan_points(self.vary, file=self.vary_list, draws=self.random, presets=self.preset, seed=self.seed[0])

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.vary and self.vary_list is not None:
            yield "--vary and --vary-list exclude each other"
        yield from (f"seed {seed}: named twice" for seed in dict.fromkeys(self.seed) if self.seed.count(seed) > 1)
