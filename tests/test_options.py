"""Options as classes: every problem at once, the same from Python, from a file and from a command line."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from analog_samson.errors import OptionError
from analog_samson.options import Count, Options, Shown, Written
from analog_samson.units import parse_times

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Trial(Options):
    NAME = "trial"
    data: str
    times: Annotated[tuple[Seconds, ...], Field(min_length=1), Written(parse_times)] = (1.0,)
    batch_size: Count = 250
    limit: Annotated[int | None, Field(ge=1)] = None
    rate: Annotated[float, Shown(flags=("--lr",))] = 0.1
    engine: Literal["fast", "aihwkit"] = "fast"
    keep: tuple[str, ...] = ()
    bf16: bool = False

    def problems(self):
        if self.bf16 and self.engine == "aihwkit":
            yield "bf16: has no effect with engine aihwkit; leave it out"


def refused(make) -> list[str]:
    with pytest.raises(OptionError) as caught:
        make()
    return str(caught.value).splitlines()


def test_every_problem_is_told_at_once():
    said = refused(lambda: Trial(times=[-1, float("inf")], batch_size=0, limit=True, engine="fst", keep=3, bf16=1, x=3))
    assert said[0] == "trial: 9 problems"
    assert said[1:] == [
        "  data: missing",
        "  times: expected a finite number of 0 or more, got -1",
        "  times: expected a finite number of 0 or more, got inf",
        "  batch_size: expected a whole number of 1 or more, got 0",
        "  limit: expected a whole number of 1 or more, got True",
        "  engine: expected one of fast, aihwkit, got 'fst'; did you mean 'fast'?",
        "  keep: expected a list, each one line of text, got 3",
        "  bf16: expected True or False, got 1",
        "  x: unknown option",
    ]


def test_text_of_a_command_line_becomes_values_and_mistakes_are_named_as_typed():
    given = {"data": "d", "times": "1h,1s", "batch_size": "10", "keep": ["a", "b"], "rate": "0.5", "bf16": True}
    found = Trial.from_text(given)
    assert found == Trial(data="d", times=[1, 3600.0], batch_size=10, keep=["a", "b"], rate=0.5, bf16=True)
    said = refused(lambda: Trial.from_text({"batch_size": "x", "times": "1x", "rate": "a"}))
    assert [line.split(":")[0] for line in said[1:]] == ["  --data", "  --times", "  --batch-size", "  --lr"]
    assert "'1x': expected a number and a unit" in said[2]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": "3"}, "batch_size: expected a whole number"),  # text is for command lines
        ({"data": "a\nb"}, "data: expected one line of text, got 'a\\nb'"),
        ({"keep": ["a", "b\udcff"]}, "keep: expected one line of text"),
        ({"times": []}, "times: expected a list of 1 or more"),
        ({"engine": "aihwkit", "bf16": True}, "bf16: has no effect with engine aihwkit"),
    ],
)
def test_wrong_value_is_refused(wrong, words):
    assert words in refused(lambda: Trial(**{"data": "d"} | wrong))[1]


def test_changed_options_are_checked_again_and_the_old_ones_stay():
    options = Trial(data="d")
    assert options.replace(batch_size=3).batch_size == 3
    assert options.batch_size == 250
    assert "batch_size" in refused(lambda: options.replace(batch_size=0))[1]
    with pytest.raises(ValueError, match="frozen"):
        options.batch_size = 3


def test_part_of_a_larger_class_is_taken():
    class Larger(Trial):
        out: str = "runs"

    assert Larger(data="d", batch_size=3).part(Trial) == Trial(data="d", batch_size=3)
