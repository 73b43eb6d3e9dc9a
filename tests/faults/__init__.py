"""Commands that are killed, terminated, starved of disk space or run twice must end with the undisturbed tables."""
