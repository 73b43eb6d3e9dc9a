"""About how long a sweep takes, from a few batches of each of its networks on each of its presets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from analog_samson.presets.changes import split_changes
from analog_samson.results.memory import MemoryStore
from analog_samson.runtime.threads import limited_threads
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.inputs import fits_channels_last, load_inputs
from analog_samson.simulation.jobs import Jobs, count_cells
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.ranges import run_input_ranges, run_plan
from analog_samson.simulation.run import calibration_batches, simulate_cells
from analog_samson.simulation.training_files import Training, measure_training

_BATCHES = 4  # of the larger of two measurements


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The size of a sweep.

    Attributes:
        simulations: Run folders.
        evaluations: Passes of a network over the data; at least so many where a half-width is aimed at.
        seconds: Of one worker for all of them.
        workers: How many there are; None where a cluster decides.
        trainings: That are not finished.
        training_seconds: Of one worker for all of them.
    """

    simulations: int
    evaluations: int
    seconds: float
    workers: int | None
    trainings: int = 0
    training_seconds: float = 0.0


def estimate(jobs: Jobs, pool: Pool) -> Estimate:
    """Count the evaluations of a sweep, and time one chip of each network on each preset on up to four batches.

    Calibration, error budgets and loading are not timed. A few batches of one training of each training file stand for
    all of its trainings. Nothing is written in the output folder.

    Args:
        jobs: As `plan_jobs` gives them.
        pool: Who would run them; this machine stands for each of its workers.

    Raises:
        AnalogSamsonError: A file, an option or a combination is wrong.
    """
    trainings = [training for training in jobs.trainings if not training.is_finished()]
    with limited_threads(pool.threads), TemporaryDirectory(prefix="analog-samson-") as temporary:
        networks, training_seconds = _measure_trainings(trainings, Path(temporary))
        evaluations: Counter[tuple[str, str]] = Counter()
        options: dict[tuple[str, str], SimulateOptions] = {}
        for job in jobs:
            checkpoint = networks.get(job.options.checkpoint, job.options.checkpoint)
            key = checkpoint, split_changes(job.options.preset)[0]
            evaluations[key] += count_cells(job.options)
            options.setdefault(key, job.options.model_copy(update={"checkpoint": checkpoint}))
        seconds = sum(count * evaluation_seconds(options[key]) for key, count in evaluations.items())
    return Estimate(
        simulations=len(jobs),
        evaluations=evaluations.total(),
        seconds=seconds,
        workers=pool.workers or (None if pool.address else 1),
        trainings=len(trainings),
        training_seconds=training_seconds,
    )


def _measure_trainings(trainings: Sequence[Training], folder: Path) -> tuple[dict[str, str], float]:
    """A network in place of each checkpoint that is not trained yet, by its path, and the time of all trainings [s]."""
    networks: dict[str, str] = {}
    seconds = 0.0
    by_file: dict[Path, list[Training]] = {}
    for training in trainings:
        by_file.setdefault(training.source, []).append(training)
    for number, ones in enumerate(by_file.values()):
        one_seconds, network = measure_training(ones[0], folder / str(number))
        epochs = [float(one.asked.get("epochs", 1)) for one in ones]
        seconds += one_seconds * sum(epochs) / epochs[0]
        networks |= {str(one.checkpoint): str(network) for one in ones}
    return networks, seconds


def evaluation_seconds(options: SimulateOptions) -> float:
    """The time of one evaluation [s], its share of programming included, measured on up to four batches."""
    inputs = load_inputs(options)
    plan = run_plan(inputs, options)
    channels_last = fits_channels_last(inputs, options)
    calibration = calibration_batches(inputs, options, channels_last=channels_last)
    ranges = run_input_ranges(inputs, plan, options, calibration)
    count, given = len(inputs.images), {"instances": 1, "calibrate": (), "calibrate_at": None, "sigmas": ()}
    one_chip = options.replace(**given, target_halfwidth=None, images="all")

    def seconds(images: Any) -> float:
        begun = perf_counter()
        simulate_cells(
            replace(inputs, images=images),
            plan,
            one_chip,
            MemoryStore(),
            calibration=calibration,
            input_ranges=ranges,
            channels_last=channels_last,
        )
        return (perf_counter() - begun) / (1 + len({*options.times}))

    some, others = inputs.first(options.batch_size), inputs.first(_BATCHES * options.batch_size)
    few, more = len(some), len(others)
    seconds(some)  # the first pass of a network is slower
    at_few = seconds(some)
    if more == few:
        return at_few * count / few
    each = max(0.0, seconds(others) - at_few) / (more - few)
    return at_few + each * (count - few)
