"""Networks on simulated hardware: devices and chips, drift over time, generic noise, what hurts and what helps."""
