"""Compare a text with a file in tests/golden, whole, so that a change shows in the diff."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """`text` equals the file `name`; with UPDATE_GOLDEN=1 in the environment the file is written instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; set UPDATE_GOLDEN=1 to accept the new text"
