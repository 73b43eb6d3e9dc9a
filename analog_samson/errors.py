"""One exception tree for the user's mistakes: where, what was got, what was expected, what to do."""

import difflib
import re
from collections.abc import Iterable, Sequence


class AnalogSamsonError(Exception):
    """A mistake that the user can mend; the command line prints it without a traceback and exits with 1."""


class OptionError(AnalogSamsonError):
    """An option or argument has a value that it cannot have."""


class PresetError(AnalogSamsonError):
    """A hardware preset is missing, ambiguous or faulty."""


class CheckpointError(AnalogSamsonError):
    """A checkpoint cannot be read, is unsafe to read, or does not fit the model."""


class ModelError(AnalogSamsonError):
    """A model name cannot be resolved or the model cannot be built."""


class DataError(AnalogSamsonError):
    """A dataset is missing, empty, malformed or does not fit the model."""


class PlanError(AnalogSamsonError):
    """A model has layers that cannot be put on analog tiles."""


class ConversionError(AnalogSamsonError):
    """A network uses a weight on a crossbar in a way that has no crossbar form."""


class RunError(AnalogSamsonError):
    """A run folder cannot be written, read or resumed."""


class InstallationError(AnalogSamsonError):
    """The installed versions do not work together."""


class InputRangeWarning(UserWarning):
    """The tiles of a layer get its output wrong by more than 20 % with every input range of their converters."""


class NormalizationWarning(UserWarning):
    """The input of a trained network may be normalized in another way than in its training."""


def list_faults(where: str, faults: Sequence[str]) -> str:
    """One message for all faults found in one place.

    >>> print(list_faults("mine.toml", ["a: unknown key", "b: expected a number, got 'x'"]))
    mine.toml: 2 problems
      a: unknown key
      b: expected a number, got 'x'
    """
    count = f"{len(faults)} problem{'' if len(faults) == 1 else 's'}"
    return "\n".join([f"{where}: {count}", *(f"  {fault}" for fault in faults)])


def shortened(text: str) -> str:
    """The text without the middle of words of more than 200 characters, which no message needs.

    >>> shortened("got " + "x" * 300)
    'got xxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxx (300 characters)'
    """
    return re.sub(r"\S{201,}", lambda word: f"{word[0][:20]}...{word[0][-20:]} ({len(word[0])} characters)", text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known names, or an empty string.

    >>> did_you_mean("pcm_nandakumar", ["pcm_nandakumar_2019", "ideal"])
    "; did you mean 'pcm_nandakumar_2019'?"
    """
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
