"""Recordings and segmented images of random numbers, written to files."""

import numpy as np
from PIL import Image
from scipy.io import wavfile

RANDOM = np.random.default_rng(0)


def write_wave(path, samples=100, rate=16000, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    if np.issubdtype(dtype, np.integer):
        values = RANDOM.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, samples, dtype=dtype)
    else:
        values = RANDOM.uniform(-1, 1, samples).astype(dtype)
    wavfile.write(path, rate, values)
    return values


def write_segmented(folder, sizes):
    for place, (height, width) in enumerate(sizes):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            folder / f"images/{place}.png"
        )
        Image.fromarray(RANDOM.integers(0, 3, (height, width), dtype=np.uint8)).save(folder / f"masks/{place}.png")
