"""A preset of your own: written as a file, checked, and compared with the one it was made from on equal draws."""

from pathlib import Path

import tomli_w
import torch

from analog_samson import load_preset, simulate_drift
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.build import build_model
from analog_samson.training import TrainOptions, fit
from analog_samson.units import format_duration, parse_times


def write_preset(path: Path) -> None:
    """The built-in PCM, written with half the noise; a preset is complete, so every other number is copied."""
    values = load_preset("pcm_nandakumar_2019").model_dump(mode="json")
    values["name"] = path.stem
    values["title"] = "PCM, Nandakumar 2019, half the programming noise"
    values["summary"] = "the PCM of Nandakumar et al. 2019 with half the programming noise"
    values["source"] |= {
        "kind": "illustrative",
        "notes": "pcm_nandakumar_2019 with its programming coefficients halved.",
    }
    coefficients = values["programming"]["coefficients_microsiemens"]
    values["programming"]["coefficients_microsiemens"] = [c / 2 for c in coefficients]
    path.write_text(tomli_w.dumps(values))


def main() -> None:
    file = Path("pcm_precise_write.toml")
    write_preset(file)
    presets = [load_preset("pcm_nandakumar_2019"), load_preset(file)]  # reading checks every value
    torch.manual_seed(0)
    model = build_model("digits_cnn")
    fit(model, open_data("digits", "train"), open_data("digits", "test"), TrainOptions(seed=0, epochs=8, batch_size=64))
    images = Batches(open_data("digits", "test"), normalization_for("digits"), batch_size=250, device="cpu")
    for preset in presets:
        result = simulate_drift(model, preset, images, times=parse_times("1s,1d,1y"), instances=3, seed=0)
        chips = result.frame().query("stage == 'drift'")
        means = chips.groupby("time_seconds").accuracy_percent.mean()
        line = ", ".join(f"{format_duration(time)} {mean:.1f} %" for time, mean in means.items())
        print(f"{preset.name} (fingerprint {preset.fingerprint[:12]}): {line}")


if __name__ == "__main__":
    main()
