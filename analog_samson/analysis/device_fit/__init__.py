"""From readings of devices to the numbers of a preset: programming error, drift exponents and read noise.

Each device is described by a power law in time, and the devices by how those laws are spread over them:

1. `measurements` reads the file. `power_law` fits conductance and exponent of each device.
2. `read_noise` takes the noise of one reading from repeated reads, or from how readings scatter around the power laws.
3. `programming` and `exponents` take the spread between devices, less what the read noise adds to it.
4. `model` puts the three together, with intervals that include what the later estimates owe to the earlier ones.
5. `held_out` compares devices that were left out with devices that the fitted preset simulates.
"""
