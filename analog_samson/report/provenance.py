"""The parts of a page that tell where the numbers come from: hardware, preset, settings, commands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analog_samson.analysis.runs import Run
from analog_samson.report.citations import doi_url
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.formats import ABSENT, duration
from analog_samson.report.table import Column, Table, frame_of

_NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a network takes on the tiles.

    Attributes:
        runs: Names of the runs that share it.
        facts: Counts of tiles, devices and work, in words.
        shares: Percentages, in words.
        digital_layers: The layers that stay digital, by type and reason; None where all are on tiles.
        plan: The whole plan; None where it is not known.
    """

    runs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    shares: tuple[tuple[str, float], ...]
    digital_layers: Table | None
    plan: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetView:
    """A preset as shown: its source and its sections of (name, value)."""

    name: str
    title: str
    summary: str
    source: Mapping[str, Any]
    url: str | None
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One option with its value in each run; `differs` where the runs do not agree."""

    name: str
    values: tuple[str, ...]
    differs: bool


def hardware(runs: Sequence[Run]) -> list[Hardware]:
    """One entry per distinct hardware summary and plan, for the runs that recorded one."""
    distinct: list[tuple[tuple[Any, Any, str], list[str]]] = []
    for run in runs:
        found = (run.meta["hardware"], run.meta["plan"], _layer_presets(run))
        same = [names for other, names in distinct if other == found]
        if same:
            same[0].append(run.name)
        elif any(found):
            distinct.append((found, [run.name]))
    return [_hardware(summary or {}, plan or [], layers, names) for (summary, plan, layers), names in distinct]


def _layer_presets(run: Run) -> str:
    """The presets of single layers in words; empty where the run has one preset."""
    return ", ".join(f"{pattern}: {layer['preset']['name']}" for pattern, layer in run.layers.items())


def presets(runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    """The distinct presets of the runs, as stored, in the order of the runs."""
    return list(_by_fingerprint(runs).values())


def preset_views(runs: Sequence[Run]) -> list[PresetView]:
    """The distinct presets of the runs, ready to show."""
    return [
        PresetView(
            name=preset["name"],
            title=preset.get("title") or preset["name"],
            summary=preset.get("summary", ""),
            source=preset.get("source") or {},
            url=doi_url((preset.get("source") or {}).get("doi")),
            sections=tuple(
                (section, tuple((key, _preset_value(key, value)) for key, value in values.items()))
                for section, values in preset.items()
                if isinstance(values, Mapping) and section != "source"
            ),
            fingerprint=fingerprint,
        )
        for fingerprint, preset in _by_fingerprint(runs).items()
    ]


def preset_values(report: Contents) -> Table | None:
    """The values in which presets differ, a row for each; None for presets that are few enough to show one by one."""
    views = preset_views(report.runs)
    if len(views) <= MOST_CURVES:
        return None
    flat = [{f"{section}.{key}": value for section, values in view.sections for key, value in values} for view in views]
    names = list(dict.fromkeys(name for values in flat for name in values))
    differing = [name for name in names if len({values.get(name) for values in flat}) > 1]
    rows = [
        {"preset": view.name} | {name: values.get(name, ABSENT) for name in differing}
        for view, values in zip(views, flat, strict=True)
    ]
    return Table(
        title=f"Values in which the {len(views)} presets differ",
        frame=frame_of(rows),
        columns=[Column("preset"), *(Column(name, name.replace("_", " ")) for name in differing)],
        folded=True,
    )


def _by_fingerprint(runs: Sequence[Run]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        if run.meta["preset"]:
            found.setdefault(str(run.meta["preset_sha256"]), run.meta["preset"])
        for layer in run.layers.values():
            found.setdefault(layer["preset_sha256"], layer["preset"])
    return found


def settings(runs: Sequence[Run]) -> list[Setting]:
    """Every option of every run, and what else decides a number: data, checkpoint and versions."""
    columns = [_flat(_sources(run)) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, tuple(column.get(name, _NOT_GIVEN) for column in columns)) for name in names]
    return [Setting(name=name, values=values, differs=len(set(values)) > 1) for name, values in rows]


def show(value: Any) -> str:
    """A value as a reader wants it: lists with commas, floats short but exact, whole numbers in groups.

    >>> show([1.0, 86400.0]), show(True), show(6752), show(None)
    ('1, 86400', 'yes', '6752', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, Mapping):
        return " ".join(f"{key} {show(one)}" for key, one in value.items() if one is not None)
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value) or "none"
    return str(value)


def _preset_value(key: str, value: Any) -> str:
    """A value of a preset; long times also in words, and 0 rows or columns as what it means."""
    if key in ("max_rows", "max_columns") and value == 0:
        return "no limit"
    long = key.endswith("_seconds") and isinstance(value, int | float) and value >= 60
    return f"{show(value)} ({duration(float(value))})" if long else show(value)


def _sources(run: Run) -> dict[str, Any]:
    checkpoint = run.meta["checkpoint"] or {}
    return {
        **run.options,
        "data fingerprint": (run.meta["data"] or {}).get("fingerprint"),
        "test samples": (run.meta["data"] or {}).get("count"),
        "checkpoint sha256": checkpoint.get("sha256"),
        "normalization": checkpoint.get("normalization"),
        "training": checkpoint.get("metadata") or {},
        "environment": run.meta["environment"] or {},
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = show(value)
    return flat


def _hardware(
    summary: Mapping[str, Any], plan: Sequence[Mapping[str, Any]], layers: str, names: Iterable[str]
) -> Hardware:
    counted = ("tiles", "devices", "macs", "parameters")
    words = {"macs": "MACs per sample", "tiles": "crossbar tiles"}
    percents = {
        "utilisation_percent": "device utilisation",
        "analog_macs_percent": "MACs on analog tiles",
        "analog_parameters_percent": "parameters on analog tiles",
        "analog_matrix_weights_percent": "matrix weights on analog tiles",
    }
    return Hardware(
        runs=tuple(names),
        facts=(
            *((words.get(key, key), f"{summary[key]:,}") for key in counted if key in summary),
            *([("layers with presets of their own", layers)] if layers else []),
        ),
        shares=tuple((words, float(summary[key])) for key, words in percents.items() if key in summary),
        digital_layers=_digital_layers(plan),
        plan=_plan(plan) if plan else None,
    )


def _digital_layers(plan: Sequence[Mapping[str, Any]]) -> Table | None:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in plan:
        if row["action"] != "analog":
            groups.setdefault((row["layer_type"], row["reason"]), []).append(row)
    rows = [
        {
            "type": layer_type,
            "reason": reason,
            "layers": ", ".join(row["path"] for row in layers),
            "parameters": sum(row["parameters"] for row in layers),
        }
        for (layer_type, reason), layers in groups.items()
    ]
    columns = [
        Column("type"),
        Column("reason", wrap=True),
        Column("layers", wrap=True),
        Column("parameters", format="{:,}".format),
    ]
    return Table(title="Layers that stay digital", frame=frame_of(rows), columns=columns) if rows else None


def _plan(plan: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("path", "layer_type", "action", "rows", "columns", "tiles", "devices", "macs")
    columns = [
        Column("path", "layer"),
        Column("layer_type", "type"),
        Column("action", "where"),
        Column(("action", "rows", "columns"), "rows x columns", _matrix),
        *(Column(name, header, align="r") for name, header in zip(keys[5:], ("tiles", "devices", "MACs"), strict=True)),
    ]
    if any(row.get("preset") for row in plan):
        columns.append(Column("preset", "preset of its own"))
    frame = frame_of([{key: row.get(key) for key in (*keys, "preset")} for row in plan])  # 0.1 stored fewer of them
    return Table(title=f"The whole plan, {len(plan)} layers", frame=frame, columns=columns, folded=True)


def _matrix(action: str, rows: int | None, columns: int | None) -> str:
    return f"{rows} x {columns}" if action == "analog" and rows and columns else ABSENT
