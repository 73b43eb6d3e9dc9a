"""How often the 95 % intervals of `presets fit` hold the numbers that devices were simulated with.

    python benchmarks/fit_coverage.py

For each of three presets with different forms of drift and read noise, 200 sets of 1,500 devices are simulated as an
experiment measures them, and fitted. results/fit_coverage.json has, for each number of a preset, its true value, in
how many fits its model was chosen, and in how many its interval holds the true value. A fit that chooses a model
without the number misses it. Presets that are not run keep their rows.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.analysis.device_fit.choices import DriftModel
from analog_samson.analysis.device_fit.likelihood import Estimate
from analog_samson.analysis.device_fit.measurements import from_readings
from analog_samson.analysis.device_fit.model import clock_of, fit_devices
from analog_samson.analysis.device_fit.sections import estimates
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.presets import Preset, load_preset

# Each preset, and the drift model to fit.
CASES: dict[str, DriftModel] = {
    "pcm_nandakumar_2019": "auto",
    "generic_rasch_2021_state_independent": "auto",
    "pcm_li_2023_example": "tabulated_exponent",
}
TARGETS = np.repeat([1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0, 18.0, 25.0], 125)
TIMES = np.array([1.0, 60.0, 600.0, 3600.0, 86400.0, 604800.0])
READS = 4
OUT = Path(__file__).parent / "results" / "fit_coverage.json"


def true_values(preset: Preset) -> dict[str, float]:
    """What a fit should find, by the preset's keys; a table at the targets of the measurement."""
    values = {
        f"programming.coefficients_microsiemens[{k}]": value
        for k, value in enumerate(preset.programming.coefficients_microsiemens)
    }
    if preset.drift.model == "tabulated_exponent":
        for key in ("nu_mean", "nu_std"):
            at_targets = np.interp(np.unique(TARGETS), preset.drift.g_microsiemens, getattr(preset.drift, key))
            values |= {f"drift.{key}[{k}]": float(value) for k, value in enumerate(at_targets)}
    else:  # upper bounds lie below the smallest target, so they are no part of a fit
        names = [name for name in type(preset.drift).model_fields if name.startswith("nu_") and "_max" not in name]
        values |= {f"drift.{name}": getattr(preset.drift, name) for name in names}
    names = [name for name in ("q_coefficient", "q_exponent", "strength_microsiemens") if hasattr(preset.read, name)]
    return values | {f"read.{name}": getattr(preset.read, name) for name in names}


def fitted(preset: Preset, drift_model: DriftModel, seed: int) -> list[Estimate]:
    """What a fit finds in one set of simulated devices."""
    data = from_readings(TARGETS, TIMES, simulated_readings(preset, TARGETS, TIMES.tolist(), seed=seed, reads=READS))
    clock = clock_of(data, preset.drift.t0_seconds, preset.read.t_read_seconds, drift=True)
    return estimates(fit_devices(data, clock, drift_model))


def coverage(name: str, drift_model: DriftModel, repetitions: int) -> Iterator[dict[str, Any]]:
    """One row for each number of a preset."""
    preset = load_preset(name)
    begin = time.process_time()
    fits = [{one.key: one for one in fitted(preset, drift_model, seed)} for seed in range(repetitions)]
    seconds = (time.process_time() - begin) / repetitions
    for key, true in true_values(preset).items():
        found = [fit[key] for fit in fits if key in fit]
        yield {
            "preset": name,
            "key": key,
            "true": round(true, 6),
            "repetitions": repetitions,
            "chosen": len(found),
            "covered": sum(one.low <= true <= one.high for one in found),
            "mean_estimate": round(float(np.mean([one.value for one in found])), 6) if found else None,
            "mean_width": round(float(np.mean([one.high - one.low for one in found])), 6) if found else None,
            "processor_seconds_a_fit": round(seconds, 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--presets", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    stored = json.loads(options.out.read_text())["rows"] if options.out.is_file() else []
    for name in options.presets:
        mine = list(coverage(name, CASES[name], options.repetitions))
        share = sum(row["covered"] for row in mine) / sum(row["repetitions"] for row in mine)
        print(f"{name}: {share:.1%} of the intervals of {len(mine)} numbers hold the true value", flush=True)
        stored = [row for row in stored if row["preset"] != name] + mine
        design = {"devices": len(TARGETS), "targets": len(np.unique(TARGETS)), "times": len(TIMES), "reads": READS}
        result = {"benchmark": "fit_coverage", "design": design, "rows": stored}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
