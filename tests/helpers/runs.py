"""Runs with chosen accuracies, and their digest."""

from synthetic_runs import PRESET, synthetic_run

from analog_samson.analysis.runs import read_runs
from analog_samson.report.contents import Contents
from analog_samson.report.page import page_groups
from analog_samson.report.section import find_section, sections
from analog_samson.results.records import Record
from analog_samson.results.store import open_run

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
