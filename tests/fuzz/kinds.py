"""Every kind of hostile input, by the name under which `make fuzz` counts it."""

from collections.abc import Callable
from pathlib import Path

from fuzz import files, inputs, texts
from fuzz.judge import Attempts

KINDS: dict[str, Callable[[Path, int], Attempts]] = {
    "arrays, npz": files.npz_attempts,
    "arrays, idx and cifar": inputs.array_attempts,
    "images": inputs.image_attempts,
    "texts and tables": inputs.text_attempts,
    "recordings": inputs.audio_attempts,
    "safetensors": files.safetensors_attempts,
    "torch checkpoints": files.torch_attempts,
    "pickles with code": inputs.code_attempts,
    "tar and zip": inputs.archive_attempts,
    "states of trainings": files.resume_attempts,
    "presets, experiments": files.toml_attempts,
    "options": texts.option_attempts,
    "values to vary": texts.axis_attempts,
    "cards, small files": texts.small_file_attempts,
    "tokenizers": inputs.tokenizer_attempts,
    "run folders, records": files.record_attempts,
    "run folders, meta": files.meta_attempts,
    "pages": texts.page_attempts,
}
