"""What hurts, where, and what helps: extra evaluations of a run with one thing changed at a time."""
