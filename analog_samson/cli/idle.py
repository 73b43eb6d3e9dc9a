"""Options that would do nothing, which a command refuses rather than ignores."""

from collections.abc import Sequence

from analog_samson.errors import OptionError


def refuse_idle_calibration(command: str, presets: Sequence[str], *, adabs: bool, remedy: str = "--adabs") -> None:
    """OptionError for calibration images that nothing would be calibrated with on any of the presets."""
    from analog_samson.presets.search import load_preset
    from analog_samson.tiles.calibrate import needs_calibration

    if not adabs and not any(needs_calibration(load_preset(name)) for name in presets):
        have = "has" if len(presets) == 1 else "have"
        raise OptionError(
            f"{command}: --calibration-data would do nothing: {', '.join(presets)} {have} no input ranges to "
            f"calibrate; give {remedy} too, or leave it out"
        )
