"""Options as classes: every problem at once, the same from Python, from a file and from a command line."""

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field

from analog_samson.cli.compare import CompareCommand
from analog_samson.cli.from_options import arguments_of, parsed_text
from analog_samson.cli.main import main
from analog_samson.cli.simulate import SimulateCommand, simulate
from analog_samson.cli.sweep import SweepCommand
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


# Commands

# What several networks, presets and seeds are called beside one, and what is done with one finished run alone.
PLURAL = {"checkpoint", "label", "model", "preset", "seed"}
OF_ONE_RUN = {"config"}
PRINTED = {"threshold", "digital_pj_per_mac", "quiet", "verbose"}  # sweep prints no report


@pytest.mark.parametrize(("several", "lacking"), [(CompareCommand, OF_ONE_RUN), (SweepCommand, OF_ONE_RUN | PRINTED)])
def test_compare_and_sweep_take_every_option_of_simulate(several: type[Options], lacking: set[str]) -> None:
    one = SimulateCommand.model_fields
    assert set(one) - set(several.model_fields) == lacking
    for name in set(one) - lacking - PLURAL - {"out", "sigmas", "threads"}:
        assert several.typed(name) == SimulateCommand.typed(name)
        assert several.model_fields[name].get_default() == one[name].get_default()
        assert several.model_fields[name].description == one[name].description


@pytest.mark.parametrize("command", ["simulate", "compare", "sweep", "convert", "presets show"])
def test_help_fits_eighty_columns_and_names_no_python_type(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert not re.search(r"<str>|<int>|<float>|<bool>|list\[|None|…", said)
    assert "Usage: " in said


def test_command_line_of_options_gives_them_back() -> None:
    options = SimulateCommand(
        checkpoint="a.pt", data="digits", times=(1.0, 3600.0), keep_digital=("a", "b"), bf16=True, html=False,
        calibrate=("adabs",), calibration_augment=False, target_halfwidth=0.5, max_instances=50, seed=3, sigmas=(),
    )  # fmt: skip
    words = arguments_of(options)
    assert words[:2] == ["--checkpoint", "a.pt"]
    assert "--plain-calibration" in words
    assert SimulateCommand.from_text(parsed_text(simulate, words)) == options
