"""Reads files that claim or unpack to more than there is memory, in a process that may take 400 MiB more."""

import json
import resource
import sys
from pathlib import Path

from small import SMALL

import analog_samson.training.job as job
from analog_samson.data import open_data
from analog_samson.errors import AnalogSamsonError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model

MORE = 400 * 2**20


def outcome(attack) -> str:
    """The message of a refusal; else what came out, or the exception that the command line would show as a bug."""
    try:
        return f"read {len(attack())}"
    except AnalogSamsonError as error:
        return str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def attacks(folder: Path) -> dict:
    """A call for each file, by the file's name."""
    calls = {}
    for file in sorted(folder.iterdir()):
        kind, _, _ = file.name.partition("-")
        spec = f"{'npz' if kind == 'train' else kind}:{file}"
        if kind == "net":
            calls[file.name] = lambda file=file: restore_model(load_checkpoint(file), SMALL["model"]).state_dict()
        elif kind == "train":
            options = {"epochs": 1, "method": "sgd"}
            train = job.TrainJob(data=spec, test_data=spec, seed=0, model="digits_cnn", **options)
            calls[file.name] = lambda train=train: job.prepare_training(train)
        else:
            limit = 3 if "limit" in file.name else None
            calls[file.name] = lambda spec=spec, limit=limit: open_data(spec, "test", limit=limit)
    return calls


if __name__ == "__main__":
    calls = attacks(Path(sys.argv[1]))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE, used + MORE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = {name: outcome(call) for name, call in calls.items()}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"said": said, "grown_kib": grown}))
