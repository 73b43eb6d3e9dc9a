"""One run from end to end: a checkpoint, a preset and data in, a run folder out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analog_samson.chip.calibration import for_generic_noise
from analog_samson.chip.input_range import InputRange, with_input_ranges
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.results.contents import refuse_changed_files, refuse_other_contents
from analog_samson.results.protocol import Store
from analog_samson.results.store import RunFolder
from analog_samson.runtime.threads import limited_threads
from analog_samson.simulation.adaptive import check_images
from analog_samson.simulation.drift import Progress, check_calibrations, simulate_drift
from analog_samson.simulation.gaussian import sweep_conductance_noise
from analog_samson.simulation.inputs import Inputs, checkpoint_label, fits_channels_last, load_inputs, warn_of_input
from analog_samson.simulation.options import VOLATILE, SimulateOptions
from analog_samson.simulation.paths import absolute_paths
from analog_samson.simulation.ranges import run_input_ranges, run_plan
from analog_samson.simulation.run_facts import run_facts
from analog_samson.simulation.stored_options import BEFORE, stored_options

# What a run was begun with.
CONTENTS = ("checkpoint", "preset_sha256", "layer_presets", "data", "calibration", "outputs")


def run_simulation(
    options: SimulateOptions,
    out: Path,
    *,
    repeats: Path | None = None,
    command: str = "",
    progress: Progress = lambda text: None,
) -> RunFolder:
    """Simulate `options` into the run folder `out`, or continue the run that is there.

    Every finished cell is stored at once, so a run that was killed continues where it stopped and ends with the
    same records. repeats: the run folder that the options were taken from. Returns the folder, opened. Raises an
    AnalogSamsonError before anything is written where an option, file or combination is wrong, or where the files of
    the run to repeat have changed.
    """
    with limited_threads(options.threads):
        inputs = load_inputs(options)
        channels_last = fits_channels_last(inputs, options)
        check_calibrations(inputs.model, options.calibrate)
        check_images(options.images, inputs.task, len(inputs.images))
        plan = run_plan(inputs, options)
        description = run_facts(inputs, plan, options, command) | {"channels_last": channels_last}
        contents = {key: description[key] for key in CONTENTS}
        if repeats is not None:
            refuse_changed_files(repeats, contents)
        stored = stored_options(options, inputs.presets)
        run = RunFolder.create(out, stored, volatile=VOLATILE, before=BEFORE, spelling=absolute_paths)
        refuse_other_contents(run, contents)
        warn_of_input(inputs)
        begun = not run.is_empty()
        for key, value in description.items():
            if not begun or (value is not None and run.meta(key) is None):  # what is there stays
                run.set_meta(key, value)
        calibration = calibration_batches(inputs, options, channels_last=channels_last)
        simulate_cells(
            inputs,
            plan,
            options,
            run,
            calibration=calibration,
            input_ranges=_input_ranges(run, inputs, plan, options, calibration, begun=begun),
            channels_last=channels_last,
            progress=progress,
        )
    return run


def calibration_batches(inputs: Inputs, options: SimulateOptions, *, channels_last: bool) -> Any:
    """The batches for calibration and input ranges; None where nothing needs them."""
    return inputs.calibration and inputs.batches(inputs.calibration, options, channels_last=channels_last)


def simulate_cells(
    inputs: Inputs,
    plan: ConversionPlan,
    options: SimulateOptions,
    store: Store,
    *,
    calibration: Any,
    input_ranges: Mapping[str, InputRange],
    channels_last: bool,
    progress: Progress = lambda text: None,
) -> None:
    """Measure every cell of the options that `store` lacks, over time and under generic noise.

    Args:
        inputs: What the options name.
        plan: As `run_plan` makes it.
        options: Of the run.
        store: Gets each cell when it is measured.
        calibration: As `calibration_batches` gives it.
        input_ranges: By layer path.
        channels_last: Whether the network takes that memory layout.
        progress: Called with a short text after each cell.
    """
    data = inputs.batches(inputs.images, options, channels_last=channels_last)
    shared: dict[str, Any] = {
        "instances": options.instances,
        "seed": options.seed,
        "task": inputs.task,
        "calibrate": options.calibrate,
        "bf16": options.bf16,
        "images": options.images,
        "noise_device": options.noise_device,
        "calibration": calibration,
        "label": options.label or checkpoint_label(options),
        "store": store,
        "progress": progress,
    }
    simulate_drift(
        inputs.model,
        inputs.preset,
        data,
        times=options.times,
        plan=plan,
        engine=options.engine,
        calibrate_at=options.calibrate_at,
        read_noise=options.read_noise,
        input_range=input_ranges,
        target_halfwidth=options.target_halfwidth,
        max_instances=options.max_instances,
        **shared,
    )
    if options.sigmas:
        chosen = {"keep_digital": options.keep_digital, "on_chip": options.on_chip}
        shared |= {**chosen, "calibrate": for_generic_noise(options.calibrate)}
        sweep_conductance_noise(inputs.model, data, sigmas=options.sigmas, **shared)


def stored_ranges(stored: Sequence[Mapping[str, Any]] | None) -> dict[str, InputRange]:
    """Input ranges by layer path, from the meta of a run."""
    return {one["path"]: InputRange.of(one) for one in stored or ()}


def _input_ranges(
    run: RunFolder,
    inputs: Inputs,
    plan: ConversionPlan,
    options: SimulateOptions,
    calibration: Any,
    *,
    begun: bool,
) -> dict[str, InputRange]:
    """The input ranges of the run by layer path: chosen and stored when it begins, and kept from then on."""
    stored = run.meta("input_ranges") if begun else None
    if stored is None:
        ranges = run_input_ranges(inputs, plan, options, calibration)
        stored = [{"path": path, **asdict(chosen)} for path, chosen in ranges.items()]
        run.set_meta("input_ranges", stored)
        run.set_meta("plan", with_input_ranges(plan, ranges).records())
    return stored_ranges(stored)
