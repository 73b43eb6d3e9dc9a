"""Which weights of a network sit on a crossbar, and how a network uses a weight that does."""
