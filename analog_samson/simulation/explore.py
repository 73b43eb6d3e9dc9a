"""Which values of one or two numbers of a preset hold a threshold: simulations where the map is open, no full grid."""

from itertools import product
from pathlib import Path

import tomli_w

from analog_samson.analysis.exploration import Cell, Margin, ThresholdMap, complete, directions
from analog_samson.analysis.explored import Exploration
from analog_samson.errors import OptionError, PresetError, list_faults
from analog_samson.presets.axis import Axis, parse_axis
from analog_samson.presets.changes import changed_name, changed_title
from analog_samson.presets.leaves import with_leaves
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.links import refuse_links
from analog_samson.results.runfile import plain_options
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.explore_options import ExploreOptions
from analog_samson.simulation.explore_points import Points, Say
from analog_samson.simulation.options import SimulateOptions

_MORE_IS_BETTER = ("_bits", ".pairs", ".reads")  # where both ends of a range do equally well


def explore(
    options: ExploreOptions, out: Path, pool: Pool, *, command: str = "", say: Say = lambda text: None
) -> Exploration:
    """Map which values of the varied numbers hold the threshold.

    The corners of the grid say which direction is better; the rest is bisection, with every further point where it
    settles most. Points are run folders `out`/points/NAME on presets `out`/presets/NAME.toml; those that are finished
    are used again, also for another threshold. All meet the same chips.

    Args:
        options: What is varied and kept.
        out: The folder.
        pool: Who runs the simulations; several workers also simulate points that are likely to be needed next.
        command: What the run folders say that made them.
        say: Gets a line for each point.

    Raises:
        AnalogSamsonError: An option, a file or a combination is wrong, before anything is written; or a simulation
            failed.
    """
    study = _Study(options, out, pool, command, say)
    shape = [len(axis.levels) for axis in study.axes]
    corners = study.measure(list(product(*((0, size - 1) for size in shape))))
    guesses = [1 if axis.path.endswith(_MORE_IS_BETTER) else -1 for axis in study.axes]
    found = ThresholdMap(shape, directions(shape, corners, guesses))
    return study.result(found, complete(found, corners, study.measure, ahead=pool.workers or 1))


class _Study:
    """The presets of an exploration and its simulations."""

    def __init__(self, options: ExploreOptions, out: Path, pool: Pool, command: str, say: Say) -> None:
        self.options, self.out, self.preset = options, out, load_preset(options.preset)
        self.axes = _axes(options, self.preset)
        self.presets = _presets(self.preset, self.axes)
        self.points = Points(options, out, pool, command, say)

    def measure(self, cells: list[Cell]) -> dict[Cell, Margin]:
        """The margins of cells."""
        named = {self.presets[cell].name: cell for cell in cells}
        results = self.points.run({name: self._point(cell) for name, cell in named.items()})
        return {named[name]: result.margin for name, result in results.items()}

    def result(self, found: ThresholdMap, measured: dict[Cell, Margin]) -> Exploration:
        """Everything that is known at the end."""
        return Exploration(
            axes=self.axes,
            found=found,
            measured=measured,
            folders={cell: f"points/{self.presets[cell].name}" for cell in measured},
            **self.points.held(),
        )

    def _point(self, cell: Cell) -> SimulateOptions:
        """The options of a cell, whose preset is written to a file."""
        preset, folder = self.presets[cell], self.out / "presets"
        file = folder / f"{preset.name}.toml"
        refuse_links(self.out, [folder])
        make_folder(folder)
        write_atomically(file, tomli_w.dumps(plain_options(preset.model_dump(mode="json"))).encode())
        return self.options.of_point(preset=str(file))


def _axes(options: ExploreOptions, preset: Preset) -> tuple[Axis, ...]:
    found, faults = [], []
    for text in options.vary:
        try:
            found.append(parse_axis(text, preset, options.points))
        except OptionError as error:
            faults.append(f"--vary {error}")
    if faults:
        raise OptionError(list_faults(options.NAME, faults))
    return tuple(found)


def _presets(preset: Preset, axes: tuple[Axis, ...]) -> dict[Cell, Preset]:
    """The preset of every cell; OptionError with every value that no preset can have."""
    found, faults = {}, []
    for cell in product(*(range(len(axis.levels)) for axis in axes)):
        values = {axis.path: axis.levels[level] for axis, level in zip(axes, cell, strict=True)}
        try:
            found[cell] = with_leaves(preset, values, changed_name(preset, values), changed_title(preset, values))
        except PresetError as error:
            faults += [line.strip() for line in str(error).splitlines()[1:]]
    if faults:
        raise OptionError(list_faults("explore: values that no preset can have", list(dict.fromkeys(faults))))
    return found
