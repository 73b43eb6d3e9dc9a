"""A user's code, checked by `make lint`: mypy sees the real types, or the two ignores below are unused and fail."""

from torch import nn

from analog_samson import SAMSON, convert, load_preset, plan_conversion, simulate_drift


def use() -> None:
    """Never run: only its types matter."""
    model = nn.Linear(2, 2)
    preset = load_preset("ideal")
    optimizer: SAMSON = SAMSON(model, lr=0.1, rho=0.5)
    optimizer.zero_grad()
    tiles: int = plan_conversion(model, preset).summary().tiles
    convert(model, preset, engine="fast").program_analog_weights()
    simulate_drift(model, preset, [], times=[1.0], instances="ten", seed=tiles)  # type: ignore[arg-type]
    wrong: int = preset.fingerprint  # type: ignore[assignment]
    print(wrong)
