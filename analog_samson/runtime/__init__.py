"""What machine, devices and library versions this is."""
