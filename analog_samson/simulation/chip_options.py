"""When devices are read, and how inputs of converters are ranged and rescaled, as options name it."""

from typing import Annotated

from analog_samson.chip.choices import ReadNoise, range_method, scaling_method
from analog_samson.options import CALIBRATION, HARDWARE, Written, option

ReadNoiseChoice = Annotated[
    ReadNoise,
    option(
        "Read devices once for compensation, calibration and test (per_condition), or in each pass (per_read).",
        HARDWARE,
    ),
]
RangeMethod = Annotated[
    str,
    option(
        "Input ranges of converters, layer by layer: output_error (smallest output error), max, percentile:P (99.9 "
        "without P), std (the preset's multiple of the standard deviation), or learned (a hardware-aware training's).",
        CALIBRATION,
    ),
    Written(range_method, metavar="METHOD"),
]
ScalingMethod = Annotated[
    str,
    option(
        "Rescale inputs of converters against the weights, exactly: smooth:ALPHA (0.5 without ALPHA), or none.",
        CALIBRATION,
    ),
    Written(scaling_method, metavar="SCALING"),
]
