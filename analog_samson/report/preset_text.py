"""Hardware presets as text: all in a list, and one with its values."""

from collections.abc import Iterable, Sequence

from analog_samson.presets.base import Resolved
from analog_samson.presets.describe import describe
from analog_samson.presets.schema import Preset


def presets_text(presets: Iterable[Preset]) -> str:
    """One line per preset: name, technology, year, kind of evidence, summary."""
    rows = [("NAME", "TECHNOLOGY", "YEAR", "EVIDENCE", "SUMMARY")]
    for preset in presets:
        source = preset.source
        rows.append((preset.name, preset.device.technology, str(source.year), source.kind, preset.summary))
    return aligned(rows)


def preset_text(preset: Preset, file: Resolved) -> str:
    """Every value of a preset with its unit and meaning, its source, and what its file takes from a base."""
    lines = [f"{preset.name}: {preset.summary}", f"fingerprint (sha256) {preset.fingerprint}"]
    if file.base:
        lines.append(f"base: {file.base}, of which it overrides {', '.join(file.overrides) or 'nothing'}")
    lines.append("")
    table = [("KEY", "VALUE", "UNIT", "MEANING")]
    for row in describe(preset):
        if row.path.startswith("source.") or row.path in ("cost.doi", "cost.notes"):
            lines.append(f"{row.path.removeprefix('source.')}: {row.value}")
        else:
            table.append((row.path, row.value, row.unit, row.meaning))
    return "\n".join([*lines, "", aligned(table)])


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns padded to their widest cell; the last one runs free.

    >>> print(aligned([("a", "b"), ("long", "c")]))
    a     b
    long  c
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
