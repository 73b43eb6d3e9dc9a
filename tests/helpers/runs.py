"""Runs with chosen accuracies, and their digest."""

from dataclasses import replace
from pathlib import Path

from synthetic_runs import META, OPTIONS, PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.runs import read_runs
from analog_samson.report.contents import Contents
from analog_samson.report.page import page_groups
from analog_samson.report.section import find_section, sections
from analog_samson.results.metric import Metric, stored_task
from analog_samson.results.records import Record
from analog_samson.results.store import open_run

RMSE = Metric(name="rmse", title="RMSE", unit="mg/dl", lower=0.0, higher_is_better=False, decimals=1)
HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0


def made(folder, network, preset, cells, /, **meta):
    """A run of `network` on `preset` with the accuracies of its chips by time."""
    base = {"checkpoint": network, "preset": preset, "stage": "drift", "calibration": "none", "sigma_c": None}
    records = [
        Record(**base, instance=chip, time_seconds=time, metric="accuracy_percent", value=value)
        for time, values in cells.items()
        for chip, value in enumerate(values)
    ]
    options = {"times": list(cells), "instances": len(next(iter(cells.values())))}
    known = {"preset": PRESET | {"name": preset}, "preset_sha256": preset} | meta
    return synthetic_run(folder, network, records=records, options=options, meta=known)


class RunInMemory:
    """What a run folder gives, without a file: a network on a preset over time."""

    def __init__(self, network, preset, cells, seed=0, plan=None):
        self.path, self._seed = Path(f"/runs/{network}/{preset}/seed{seed}"), seed
        self.options = OPTIONS | {"checkpoint": f"{network}.safetensors", "preset": preset, "seed": seed}
        self.options |= {"times": list(cells), "instances": len(next(iter(cells.values())))}
        own = {"path": f"{network}.safetensors", "sha256": f"sha of {network}", "metadata": {"method": network}}
        known = {"preset": PRESET | {"name": preset, "title": ""}, "preset_sha256": f"sha of {preset}"}
        self._meta = META | {"checkpoint": own, "seed": seed, "plan": plan or META["plan"]} | known
        base = {"checkpoint": network, "preset": preset, "calibration": "none", "sigma_c": None}
        digital = {"stage": "digital", "instance": 0, "time_seconds": None, "metric": "accuracy_percent", "value": 92.0}
        self._records = [Record(**base, **digital)] + [
            Record(
                **base, stage="drift", instance=chip, time_seconds=time, metric="accuracy_percent", value=float(value)
            )
            for time, values in cells.items()
            for chip, value in enumerate(values)
        ]

    def records(self):
        return self._records

    def meta(self, key):
        return self._meta.get(key)

    def outcomes(self, instance, condition):
        return None


def read(*paths):
    return read_runs([open_run(path) for path in paths])


def contents(*paths, threshold=None):
    """What a report of the runs is made from."""
    return Contents(read(*paths), threshold)


def tables(report, name):
    """The tables of one section."""
    return [part.table for part in find_section(name).parts(report) if part.table is not None]


def sentences(report, name):
    """The sentences and remarks of one section."""
    parts = [part for section in sections() if section.name == name for part in section.parts(report)]
    return " ".join(text for part in parts for text in (*part.sentences, *part.remarks))


def captions(report):
    """The captions of all figures by name."""
    parts = [part for group in page_groups(report) for part in group.parts]
    return {part.name: part.caption for part in parts if part.drawing is not None}


def in_rmse(records):
    """The records of a classifier as those of a regression: what it loses in points is its error."""
    kept = [record for record in records if record.metric != "loss"]
    return [
        replace(record, metric="rmse", value=150.0 - record.value) if record.metric == "accuracy_percent" else record
        for record in kept
    ]


def regression(folder, name="mlp", **numbers):
    """A run of a regression task."""
    records = in_rmse(synthetic_records(name, **numbers))
    return synthetic_run(folder / name, name, records=records, meta={"task": stored_task("regression", [RMSE])})
