"""What the devices of a preset do to stored weights, as functions of tensors: programming, drift and read noise.

With the numbers of aihwkit's noise models the functions of conductances equal its methods bit for bit under the same
seed (the tests check it), which is why the order of their operations matters. They run on the device of their input and
draw from `generator`, or on every device from the CPU's global stream: a seed names the same chips on a GPU.
`weight_on_chip` puts them together for training.

In formulas: g [uS] conductance, x = g / g_max in 0..1, t [s] since the end of programming, nu, q without unit.
"""

from analog_samson.chip.device.drift import aged_conductance, drift_parameters
from analog_samson.chip.device.programming import programmed_conductance
from analog_samson.chip.device.stored_weight import changes_weights, changes_with_time, weight_on_chip

__all__ = [
    "aged_conductance",
    "changes_weights",
    "changes_with_time",
    "drift_parameters",
    "programmed_conductance",
    "weight_on_chip",
]
