"""Files of strangers: each is read or refused with a message, in bounded memory and time, and runs no code."""
