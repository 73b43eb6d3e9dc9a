"""What runs measured of a network, as its card in the zoo stores it. For `zoo_card.py`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from command_lines import simulation_command

from analog_samson.analysis.runs import Run, read_runs
from analog_samson.analysis.statistics import Summary
from analog_samson.analysis.summary import Result
from analog_samson.errors import RunError, list_faults
from analog_samson.models.checkpoint import Checkpoint
from analog_samson.results.store import open_run
from analog_samson.simulation.gaussian import GENERIC

PRESET, TIMES, SIGMA = "pcm_nandakumar_2019", (1.0, 86400.0, 31536000.0), 0.4
# (preset, time [s] or sigma_c, AdaBS) that every card has.
REQUIRED = [(where, at, adabs) for where, at in (*((PRESET, t) for t in TIMES), (GENERIC, SIGMA)) for adabs in (0, 1)]


def measured(name: str, paths: Sequence[Path], checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What each run measured."""
    with ExitStack() as stack:
        runs = read_runs([stack.enter_context(open_run(path)) for path in paths])
    return [measurement(name, run, checkpoint) for run in runs]


def complete(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was measured, if all of REQUIRED is there and nothing twice; else RunError."""
    states = [state for each in found for state in states_of(each)]
    faults = [f"no accuracy of {state}" for state in REQUIRED if state not in states]
    faults += [f"two accuracies of {state}" for state in sorted(set(states)) if states.count(state) > 1]
    if faults:
        raise RunError(list_faults(f"runs of {name}: (preset, time [s] or sigma_c, AdaBS)", faults))
    return found


def states_of(measured: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    aged = [(each["preset"], each["time_seconds"], each["adabs"]) for each in measured["aged"]]
    return aged + [(each["preset"], each["sigma_c"], each["adabs"]) for each in measured["noisy"]]


def measurement(name: str, run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    if run.meta["checkpoint"]["sha256"] != checkpoint.sha256:
        raise RunError(f"{run.name}: is of other weights than {checkpoint.path}; simulate that checkpoint")
    digital = next((result.digital for result in run.results if result.digital), None)
    if digital is None:
        raise RunError(f"{run.name}: has no digital accuracy; run its command again to finish it")
    return {
        "command": simulation_command(name, run),
        "data": run.meta["data"]["name"],
        "data_fingerprint": run.meta["data"]["fingerprint"],
        "images": run.meta["data"]["count"],
        "seed": run.meta["seed"],
        "version": run.meta["environment"]["analog-samson"],
        "torch": run.meta["environment"]["torch"],
        "digital_percent": digital.value.mean,
        "aged": [number for result in run.results for number in aged(result)],
        "noisy": [number for result in run.results for number in noisy(result)],
    }


def aged(result: Result) -> Iterator[dict[str, Any]]:
    for state in result.times:
        place = {"preset": result.preset, "time_seconds": state.time_seconds, "adabs": result.calibration == "adabs"}
        yield place | statistics(state.value)


def noisy(result: Result) -> Iterator[dict[str, Any]]:
    for point in result.sweep:
        place = {"preset": GENERIC, "sigma_c": point.sigma_c, "adabs": result.calibration == "adabs"}
        yield place | statistics(point.value)


def statistics(accuracy: Summary) -> dict[str, Any]:
    std = None if accuracy.std is None else round(accuracy.std, 4)
    return {"chips": accuracy.n, "mean_percent": round(accuracy.mean, 4), "std_points": std}
