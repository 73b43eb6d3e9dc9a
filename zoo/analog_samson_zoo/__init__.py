"""Weights of the zoo's networks that do not come with analog-samson itself; their cards do."""
