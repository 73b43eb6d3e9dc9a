"""Recordings from WAV files: words to tell apart, speech with its text or with noise, and pairs of speakers."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analog_samson.data.tensor_set import TensorSet
from analog_samson.errors import DataError

_FORMS = "path,label or path,text or noisy,clean or first,second,same"


def load_audio(path: Path, options: Mapping[str, str]) -> TensorSet:
    """Read recordings as float32 (N, samples) in -1 to 1, of one length and one rate.

    Args:
        path: A folder DIR/CLASS/NAME.wav; or a CSV with the columns path,label or path,text or noisy,clean or
            first,second,same, whose files are named relative to it.
        options: "samples": the length of all recordings; longer ones are cut, shorter ones filled with zeros. Without
            it, all have to be of one length.

    Raises:
        DataError: A file is missing or no WAV of one channel, rates or lengths differ, or a column is missing.
    """
    length = _length(path, options)
    if path.is_dir():
        classes = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
        files = [(file, place) for place, name in enumerate(classes) for file in sorted((path / name).glob("*.wav"))]
        if not files:
            raise DataError(f"{path}: no recordings; expected {path}/CLASS/NAME.wav")
        waves = _read([file for file, _ in files], length)
        return TensorSet(
            name=path.name, inputs=waves, targets=torch.tensor([place for _, place in files]), classes=classes
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; expected a folder of classes, or a CSV with {_FORMS}")
    return _listed(path, length)


def _listed(path: Path, length: int | None) -> TensorSet:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: not a readable CSV: {error}") from error
    if table.empty:
        raise DataError(f"{path}: no rows; expected {_FORMS}")
    columns = set(table.columns)

    def waves(*names: str) -> tuple[Tensor, ...]:
        files = [path.parent / name for column in names for name in table[column]]
        return _read(files, length).split(len(table))

    if {"path", "text"} <= columns:
        return TensorSet(name=path.name, inputs=waves("path")[0], targets=table["text"].tolist())
    if {"path", "label"} <= columns:
        classes = sorted(set(table["label"]))
        labels = torch.tensor([classes.index(name) for name in table["label"]])
        return TensorSet(name=path.name, inputs=waves("path")[0], targets=labels, classes=classes)
    if {"noisy", "clean"} <= columns:
        noisy, clean = waves("noisy", "clean")
        return TensorSet(name=path.name, inputs=noisy, targets=clean)
    if {"first", "second", "same"} <= columns:
        if strange := sorted(set(table["same"]) - {"0", "1"}):
            raise DataError(f"{path}: column 'same': expected 0 or 1, got {strange[0]!r}")
        first, second = waves("first", "second")
        return TensorSet(name=path.name, inputs=(first, second), targets=torch.tensor([int(v) for v in table["same"]]))
    raise DataError(f"{path}: columns {', '.join(table.columns)}; expected {_FORMS}")


def _length(path: Path, options: Mapping[str, str]) -> int | None:
    if unknown := [name for name in options if name != "samples"]:
        raise DataError(f"{path}: unknown option {unknown[0]!r}; known: samples")
    text = options.get("samples")
    if text is not None and not (text.isdecimal() and int(text)):
        raise DataError(f"{path}: samples: expected a whole number above 0, got {text!r}")
    return None if text is None else int(text)


def _read(files: Sequence[Path], length: int | None) -> Tensor:
    waves: list[np.ndarray] = []
    rates: dict[int, Path] = {}
    for file in files:
        wave, rate = _wave(file)
        rates.setdefault(rate, file)
        waves.append(wave if length is None else np.pad(wave[:length], (0, max(0, length - len(wave)))))
    if len(rates) > 1:
        told = ", ".join(f"{rate} Hz in {file}" for rate, file in list(rates.items())[:2])
        raise DataError(f"recordings of different rates: {told}; resample them to one rate")
    if len({len(wave) for wave in waves}) > 1:
        shortest, longest = min(map(len, waves)), max(map(len, waves))
        raise DataError(
            f"{files[0].parent}: recordings of {shortest} to {longest} samples; give one length behind a comma, "
            f"such as ,samples={longest}"
        )
    return torch.from_numpy(np.stack(waves))


def _wave(file: Path) -> tuple[np.ndarray, int]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of notes that are no sound
            rate, values = wavfile.read(file)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such recording") from error
    except Exception as error:  # a parser on damaged bytes may raise anything; nothing of ours runs in there
        raise DataError(f"{file}: not a readable WAV file: {error}") from error
    if values.ndim != 1 or not len(values):
        raise DataError(f"{file}: recording of shape {values.shape}; expected one channel and at least one sample")
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128, int(rate)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32) / -float(np.iinfo(values.dtype).min), int(rate)
    return values.astype(np.float32), int(rate)
