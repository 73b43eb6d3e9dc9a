"""One run from end to end: a checkpoint, a preset and data in, a run folder out."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from analog_samson import __version__
from analog_samson.chip.calibration import for_generic_noise
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.data.batches import Batches
from analog_samson.results.contents import refuse_changed_files, refuse_other_contents
from analog_samson.results.metric import stored_task
from analog_samson.results.store import RunFolder
from analog_samson.runtime.devices import find_device
from analog_samson.simulation.drift import Progress, check_calibrations, simulate_drift
from analog_samson.simulation.gaussian import sweep_conductance_noise
from analog_samson.simulation.inputs import Inputs, checkpoint_label, first_outputs, load_inputs, takes_channels_last
from analog_samson.simulation.options import VOLATILE, SimulateOptions
from analog_samson.simulation.paths import absolute_paths
from analog_samson.simulation.ranges import run_input_ranges, run_plan
from analog_samson.simulation.stored_options import BEFORE, stored_options

PACKAGES = ("torch", "torchvision", "aihwkit", "numpy")
CONTENTS = ("checkpoint", "preset_sha256", "data", "calibration", "outputs")  # what a run was begun with


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
        channels_last = takes_channels_last(inputs, options)
        check_calibrations(inputs.model, options.calibrate)
        plan = run_plan(inputs, options)
        description = _describe(inputs, plan, options, command) | {"channels_last": channels_last}
        contents = {key: description[key] for key in CONTENTS}
        if repeats is not None:
            refuse_changed_files(repeats, contents)
        stored = stored_options(options, inputs.preset)
        run = RunFolder.create(out, stored, volatile=VOLATILE, before=BEFORE, spelling=absolute_paths)
        refuse_other_contents(run, contents)
        begun = not run.is_empty()
        for key, value in description.items():
            if not begun or run.meta(key) is None:  # what the values there were made with stays
                run.set_meta(key, value)
        data = inputs.batches(inputs.images, options, channels_last=channels_last)
        shared: dict[str, Any] = {
            "instances": options.instances,
            "seed": options.seed,
            "task": inputs.task,
            "calibrate": options.calibrate,
            "bf16": options.bf16,
            "calibration": inputs.calibration
            and inputs.batches(inputs.calibration, options, channels_last=channels_last),
            "label": options.label or checkpoint_label(options),
            "store": run,
            "progress": progress,
        }
        simulate_drift(
            inputs.model,
            inputs.preset,
            data,
            times=options.times,
            plan=plan,
            engine=options.engine,
            input_range=_input_ranges(run, inputs, plan, options, shared["calibration"], begun=begun),
            target_halfwidth=options.target_halfwidth,
            max_instances=options.max_instances,
            **shared,
        )
        if options.sigmas:
            chosen = {"keep_digital": options.keep_digital, "on_chip": options.on_chip}
            shared |= {**chosen, "calibrate": for_generic_noise(options.calibrate)}
            sweep_conductance_noise(inputs.model, data, sigmas=options.sigmas, **shared)
    return run


def _input_ranges(
    run: RunFolder,
    inputs: Inputs,
    plan: ConversionPlan,
    options: SimulateOptions,
    calibration: Batches | None,
    *,
    begun: bool,
) -> dict[str, float]:
    """The input ranges of the run by layer path: chosen and stored when it begins, and kept from then on."""
    stored = run.meta("input_ranges") if begun else None
    if stored is None:
        ranges = run_input_ranges(inputs, plan, options, calibration)
        stored = [{"path": path, **asdict(chosen)} for path, chosen in ranges.items()]
        run.set_meta("input_ranges", stored)
    return {one["path"]: one["value"] for one in stored}


def _describe(inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, command: str) -> dict[str, Any]:
    """What the report says about a run besides its numbers."""
    return {
        "command": command,
        "environment": _environment(find_device(options.device)),
        "preset": inputs.preset.model_dump(mode="json"),
        "preset_sha256": inputs.preset.fingerprint,
        "checkpoint": {
            "path": options.checkpoint,
            "sha256": inputs.checkpoint.sha256,
            "metadata": inputs.checkpoint.metadata,
            "model": inputs.model_name,
            "normalization": f"{inputs.normalization} ({inputs.normalization_origin})",
        },
        "data": {
            "name": inputs.images.name,
            "fingerprint": inputs.images.fingerprint,
            "count": len(inputs.images),
            "num_classes": inputs.images.num_classes,
        },
        "calibration": inputs.calibration
        and {"name": inputs.calibration.name, "fingerprint": inputs.calibration.fingerprint},
        "hardware": asdict(plan.summary()),
        "plan": plan.records(),
        "seed": options.seed,
        "task": stored_task(inputs.task.name, inputs.task.metrics),
        "outputs": first_outputs(inputs, options),
    }


def _environment(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"analog-samson": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found |= {"threads": torch.get_num_threads(), "processor": platform.machine()}
    return found | ({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})


@contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    """So many CPU threads inside, as many as before after; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
