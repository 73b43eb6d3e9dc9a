"""Durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analog_samson.errors import OptionError
from analog_samson.units import SECONDS, format_duration, parse_duration, parse_times


@given(st.integers(0, 999), st.sampled_from(sorted(SECONDS)))
def test_format_duration_when_parsed_again_gives_the_same_seconds(count, unit):
    seconds = count * SECONDS[unit]
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize("text", ["1x", "-1s", "", "s", "1", "one hour", "1e999y", "nans", "1h1m"])
def test_parse_duration_when_malformed_says_what_was_expected(text):
    with pytest.raises(OptionError, match="expected a"):
        parse_duration(text)


def test_parse_times_when_unsorted_and_repeated_gives_each_once_in_order():
    assert parse_times("1y,1s, 1h,1s") == (1.0, 3600.0, 31536000.0)


@pytest.mark.parametrize("seconds", [1234567.0, 1234568.0, 31536001.0, 0.1234567, 1e-7, 2.5e20])
def test_duration_reads_back_as_the_same_number(seconds):
    assert parse_duration(format_duration(seconds)) == seconds
