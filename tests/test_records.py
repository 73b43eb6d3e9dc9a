"""A record says what it belongs to, survives storage exactly, and has one place in the order."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import synthetic_records

from analog_samson.results.records import COLUMNS, Record, from_row, sort_key, to_row

DRIFT = Record(
    checkpoint="net",
    preset="ideal",
    stage="drift",
    calibration="none",
    instance=0,
    time_seconds=3600.0,
    sigma_c=None,
    metric="accuracy_percent",
    value=91.5,
)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"stage": "drifted"}, "stage 'drifted': expected one of digital, programmed, drift, gaussian"),
        ({"time_seconds": None}, "time_seconds None does not go with stage 'drift'"),
        ({"stage": "digital"}, "time_seconds 3600.0 does not go with stage 'digital'"),
        ({"sigma_c": 0.1}, "sigma_c 0.1 does not go with stage 'drift'"),
        ({"instance": -1}, "instance -1: expected 0 or more"),
        ({"time_seconds": -1.0}, "time_seconds -1.0: expected a finite number, 0 or more"),
        ({"time_seconds": math.inf}, "time_seconds inf: expected a finite number, 0 or more"),
    ],
)
def test_record_is_refused_when_its_parts_contradict(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match="record: ") as caught:
        replace(DRIFT, **change)
    assert fault in str(caught.value)


def test_record_names_all_faults_when_there_are_several() -> None:
    with pytest.raises(ValueError, match="record: ") as caught:
        replace(DRIFT, sigma_c=-1.0, instance=-2)
    assert str(caught.value).count(";") == 2


@given(value=st.floats(allow_nan=False), time=st.floats(min_value=0, allow_infinity=False))
def test_record_comes_back_exactly_when_it_went_through_a_row(value: float, time: float) -> None:
    record = replace(DRIFT, metric="loss", value=value, time_seconds=time)
    assert from_row(to_row(record)) == record


def test_row_holds_plain_numbers_when_the_record_held_numpy_scalars() -> None:
    record = replace(DRIFT, instance=np.int64(3), value=np.float32(0.5), time_seconds=np.float32(2.0))
    row = dict(zip(COLUMNS, to_row(record), strict=True))
    assert [type(row[name]) for name in ("instance", "value", "time_seconds")] == [int, float, float]


def test_row_without_value_reads_as_not_a_number() -> None:
    row = list(to_row(DRIFT))
    row[COLUMNS.index("value")] = None
    assert math.isnan(from_row(tuple(row)).value)


@given(st.randoms(use_true_random=False))
def test_order_is_the_same_when_records_come_shuffled(shuffle: random.Random) -> None:
    records = synthetic_records() + synthetic_records("other", adabs=True)
    shuffled = list(records)
    shuffle.shuffle(shuffled)
    assert sorted(shuffled, key=sort_key) == sorted(records, key=sort_key)


def test_order_follows_the_life_of_a_network_when_sorted() -> None:
    stages = list(dict.fromkeys(record.stage for record in sorted(synthetic_records(), key=sort_key)))
    assert stages == ["digital", "programmed", "drift", "gaussian"]
