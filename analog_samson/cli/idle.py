"""Options of calibration; those that would do nothing are refused rather than ignored."""

from collections.abc import Sequence

from analog_samson.errors import OptionError

INPUT_RANGE_HELP = (
    "How converters get their input ranges: output_error (per layer, the smallest error of its output) or std (the "
    "preset's multiple of the standard deviation; its source, Rasch 2023, only starts learning from that value)."
)

# Parameters about the images that are calibrated on, as they are typed.
_CALIBRATION = {
    "calibration_data": "--calibration-data",
    "calibration_limit": "--calibration-limit",
    "calibration_augment": "--plain-calibration",
}


def refuse_idle_calibration(
    command: str, typed: Sequence[str], presets: Sequence[str], *, adabs: bool, remedy: str = "--adabs"
) -> None:
    """OptionError for typed options of calibration images where no preset has anything to calibrate."""
    idle = [_CALIBRATION[name] for name in typed if name in _CALIBRATION]
    if not idle or adabs:
        return
    from analog_samson.chip.input_ranges import needs_calibration
    from analog_samson.presets.search import load_preset

    if not any(needs_calibration(load_preset(name)) for name in presets):
        have = "has" if len(presets) == 1 else "have"
        raise OptionError(
            f"{command}: {', '.join(idle)} would do nothing: {', '.join(presets)} {have} no input ranges to "
            f"calibrate; give {remedy} too, or leave it out"
        )


def refuse_idle_input_range(command: str, typed: Sequence[str], presets: Sequence[str]) -> None:
    """OptionError for a typed --input-range where no preset has converters."""
    if "input_range" not in typed:
        return
    from analog_samson.chip.input_ranges import needs_calibration
    from analog_samson.presets.search import load_preset

    if not any(needs_calibration(load_preset(name)) for name in presets):
        have = "has" if len(presets) == 1 else "have"
        raise OptionError(f"{command}: --input-range would do nothing: {', '.join(presets)} {have} no converters")
