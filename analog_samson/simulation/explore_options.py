"""The options of `explore`: those of `simulate` at one time, and what is varied and what has to be kept."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from analog_samson.analysis.threshold import Threshold, parse_threshold
from analog_samson.options import HARDWARE, STATISTICS, Written, option
from analog_samson.simulation.options import Seconds, SimulateOptions, Times
from analog_samson.simulation.sigmas import Sigmas
from analog_samson.units import format_duration, parse_duration

YEAR = 31536000.0


class ExploreOptions(SimulateOptions):
    """What is explored; every point is a simulation with these options on a preset of its own."""

    NAME = "explore"

    vary: Annotated[
        tuple[str, ...],
        option(
            "A number of the preset and its range, such as periphery.adc_bits=4..10; give one or two.",
            HARDWARE,
            "LEAF=LOW..HIGH",
        ),
    ] = ()
    layers: Annotated[
        bool, option("Find the fewest layers kept digital that hold the threshold, in place of --vary.", HARDWARE)
    ] = False
    points: Annotated[
        int,
        option("Levels of a range; whole numbers take every value where there are no more.", HARDWARE, "N", ge=2),
    ] = 9
    keep: Annotated[
        str,
        option("What has to be kept: digital - 1, digital * 0.99, or a value of the metric.", STATISTICS, "THRESHOLD"),
    ] = "digital - 1"
    at: Annotated[
        Seconds,
        option("Time after programming.", STATISTICS),
        Written(parse_duration, format_duration, "TIME"),
    ] = YEAR
    instances: Annotated[int, option("Simulated chips of each point, each programmed once.", STATISTICS, "N", ge=1)] = 5
    times: Annotated[Times, Field(exclude=True)] = (YEAR,)
    sigmas: Annotated[Sigmas, Field(exclude=True)] = ()
    images: Annotated[Literal["all"], Field(exclude=True)] = "all"

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.layers == bool(self.vary):
            yield "give either --vary LEAF=LOW..HIGH or --layers"
        if len(self.vary) > 2:
            yield f"vary: expected one or two ranges, got {len(self.vary)}"
        leaves = [text.partition("=")[0].strip() for text in self.vary]
        yield from (f"vary: {leaf} is given twice" for leaf in dict.fromkeys(leaves) if leaves.count(leaf) > 1)
        if self.instances < 2:
            yield "instances: expected 2 or more; one chip gives no interval"
        if len(self.calibrate) > 1:
            yield "calibrate: expected one method, which every point is judged with"

    @property
    def threshold(self) -> Threshold:
        """What has to be kept. Raises OptionError."""
        return parse_threshold(self.keep)

    def of_point(self, **changes: Any) -> SimulateOptions:
        """The options of the simulation of one point; `changes` are its preset or its layers."""
        fields = {name: getattr(self, name) for name in SimulateOptions.model_fields}
        return SimulateOptions(**{**fields, "times": (self.at,), "sigmas": (), **changes})
