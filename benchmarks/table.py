"""Write the tables of benchmarks/README.md and the other PAGES from benchmarks/results/*.json.

    python benchmarks/table.py            # rewrites the pages between their markers
    python benchmarks/table.py --check    # exits with 1 if that would change one

A table is between `<!-- NAME -->` and `<!-- end NAME -->`; RENDERERS and SUMMARIES say which results it is made from.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analog_samson.report.rendering import Block, render_markdown
from analog_samson.report.table import Table, text_table
from analog_samson.units import format_duration

HERE = Path(__file__).parent
PAGES = (HERE / "README.md", HERE.parent / "README.md", HERE.parent / "docs" / "zoo.md")
YEAR_SECONDS = 31536000.0
Results = Sequence[dict[str, Any]]
_MARKED = re.compile(r"(<!-- (?P<name>\w+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def optimizer_step(results: Results) -> list[Block]:
    """One table for each case, and a summary of where the time of the climb goes."""
    cases = sorted((case for result in results for case in result["cases"]), key=lambda case: _size(case["case"]))
    return [*(_step_grid(case) for case in cases), _roofline_grid(cases)]


def _size(case: str) -> tuple[str, int, int]:
    model, pixels, batch = case.split(":")
    return model, int(pixels), int(batch)


def _named(case: str) -> str:
    model, pixels, batch = case.split(":")
    return f"{model}, {pixels} x {pixels}, batch {batch}"


def _step_grid(case: dict[str, Any]) -> Table:
    machine = case["environment"]
    clock = "processor time" if case["clock"] == "process_time" else "wall time"
    return text_table(
        title=f"{_named(case['case'])}: {machine['threads']} thread, {case['rounds']} rounds, medians of {clock}",
        headers=("step", "ms", "ratio", "lowest to highest", "optimizer alone, ms"),
        rows=tuple(
            (
                row["contender"],
                f"{1e3 * row['step_seconds']:.1f}",
                f"{row['ratio']:.3f}",
                f"{row['ratio_lowest']:.3f} to {row['ratio_highest']:.3f}",
                f"{1e3 * row['climb_seconds']:.1f}" if row["climb_seconds"] else "",
            )
            for row in case["rows"]
        ),
        align="lrrrr",
    )


def _roofline_grid(cases: Results) -> Table:
    rows = []
    for case in cases:
        bound = case["roofline"]
        (samson,) = (row for row in case["rows"] if row["contender"] == "SAMSON")
        floor = bound["climb_bytes"] / bound["bytes_a_second"]
        rows.append(
            (
                _named(case["case"]),
                f"{bound['climb_bytes'] / 1e6:.0f}",
                f"{bound['passes_bytes'] / 1e6:.0f}",
                f"{bound['bytes_a_second'] / 1e9:.0f}",
                f"{1e3 * floor:.1f}",
                f"{1e3 * samson['climb_seconds']:.1f}",
            )
        )
    headers = ("case", "climb, MB", "two passes, MB", "copy, GB/s", "climb at that speed, ms", "SAMSON alone, ms")
    return text_table(title="What bounds the climb", headers=headers, rows=tuple(rows), align="lrrrrr")


def simulate_speed(results: Results) -> list[Block]:
    return [
        text_table(
            title=_setting(result),
            headers=("hardware", "implementation", "time over the digital forward", "seconds", "rounds"),
            rows=tuple(
                (
                    row["hardware"],
                    row["implementation"],
                    f"{row['median_ratio']:.2f}",
                    f"{row['median_seconds']:.4f}",
                    str(row["rounds"]),
                )
                for row in result["rows"]
            ),
            align="llrrr",
        )
        for result in results
    ]


def _setting(result: dict[str, Any]) -> str:
    """What a measurement of forwards ran on; results from before the memory setting was known lack the last part."""
    parts = [
        result["network"],
        f"input {' x '.join(map(str, result['shape']))}",
        f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}",
    ]
    if "cpu" in result:
        beside = "beside aihwkit's forwards" if result["aihwkit_beside"] else "without aihwkit's forwards"
        kept = "freed memory kept" if result["freed_memory_kept"] else "freed memory left to glibc"
        parts += [result["cpu"], beside, kept]
    return ", ".join(parts)


def simulate_total(results: Results) -> list[Block]:
    headers = (
        *("network", "images", "cells", "threads", "CPU", "freed memory", "execution", "seconds"),
        *("over digital, NCHW", "over digital, as executed", "GiB"),
    )
    rows = []
    for result in results:
        what = (result["network"], *(str(result[name]) for name in ("images", "cells", "threads")), result["cpu"])
        kept = "kept" if result["freed_memory_kept"] else "left to glibc"
        rest = f"{result['peak_memory_gib']:.2f}"
        for name, own, part in (("float32", "channels_last", result), ("bfloat16", "bf16", result.get("bf16"))):
            if part is not None:
                ratios = (f"{part[f'over_digital_{layout}']:.2f}" for layout in ("nchw", own))
                rows.append((*what, kept, name, f"{part['wall_seconds']:.1f}", *ratios, rest))
    return [text_table(title="A whole drift study", headers=headers, rows=tuple(rows), align="lrrrlllrrrr")]


def simulate_memory(results: Results) -> list[Block]:
    headers = ("hardware", "freed memory", "peak of the process, GiB", "of that before the evaluation, GiB")
    return [
        text_table(
            title=f"{result['network']}, input {result['batch']} x 3 x 224 x 224",
            headers=headers,
            rows=tuple(
                (
                    row["hardware"],
                    "kept" if row["freed_memory_kept"] else "left to glibc",
                    f"{row['peak_gib']:.2f}",
                    f"{row['loaded_gib']:.2f}",
                )
                for row in result["rows"]
            ),
            align="llrr",
        )
        for result in results
    ]


def chip_share(results: Results) -> list[Block]:
    headers = ("network", "images a forward", "programming, s", "drift, s", "forward, s", "programming, %", "drift, %")
    return [
        text_table(
            title=f"Making a chip, as a part of a cell of {result['images']:,} images, {result['threads']} thread",
            headers=headers,
            rows=tuple(
                (
                    row["network"],
                    str(row["shape"][0]),
                    *(f"{row['seconds'][step]:.3f}" for step in ("program", "drift", "forward")),
                    *(f"{row[f'{step}_percent_of_a_cell']:.2f}" for step in ("program", "drift")),
                )
                for row in result["rows"]
            ),
            align="lrrrrrr",
        )
        for result in results
    ]


def compiled_passes(results: Results) -> list[Block]:
    headers = ("passes", "eager, s", "compiled, s", "compiled over eager", "first compiled call, s")
    return [
        text_table(
            title=f"{result['network']}, torch.compile, {result['threads']} thread, {result['rounds']} rounds",
            headers=headers,
            rows=tuple(
                (
                    row["passes"],
                    f"{row['eager_seconds']:.3f}",
                    f"{row['compiled_seconds']:.3f}",
                    f"{row['median_ratio']:.2f}",
                    f"{row['first_call_seconds']:.0f}",
                )
                for row in result["rows"]
            ),
            align="lrrrr",
        )
        for result in results
    ]


def training_step(results: Results) -> list[Block]:
    headers = ("method", "gradients a step", "s", "ratio", "lowest to highest")
    return [
        text_table(
            title=f"{case['network']}, batch {case['batch']}: {result['threads']} thread, {result['cpu']}, "
            f"{result['rounds']} rounds, medians of processor time",
            headers=headers,
            rows=tuple(
                (
                    row["method"],
                    f"{row['gradients']:g}",
                    f"{row['median_seconds']:.4f}",
                    f"{row['median_ratio']:.2f}",
                    f"{row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f}",
                )
                for row in case["rows"]
            ),
            align="lrrrr",
        )
        for result in results
        for case in result["cases"]
    ]


def input_ranges(results: Results) -> list[Block]:
    headers = ("network", "ranges", "digital", "1 day", "1 year", "worst layer's error", "choice, s")
    return [
        text_table(
            title=f"{result['preset']}, {result['chips']} chips each: accuracy % of every chip",
            headers=headers,
            rows=tuple(_ranges_row(row) for row in result["rows"]),
            align="llrrrrr",
        )
        for result in results
    ]


def _ranges_row(row: dict[str, Any]) -> tuple[str, ...]:
    accuracies = (", ".join(f"{value:.1f}" for value in row["accuracy_percent"][time]) for time in ("1d", "1y"))
    worst = next((f"{path} {error:.2f}" for path, error in row["worst_relative_errors"].items()), "")
    seconds = f"{row['seconds_of_the_choice']:.1f}"
    return row["network"], row["method"], f"{row['digital_percent']:.1f}", *accuracies, worst, seconds


def zoo_on_hardware(results: Results) -> list[Block]:
    """One table: the states of a network on a preset side by side, without and with AdaBS."""
    rows = [_zoo_row(row) for result in results for row in result["rows"]]
    return [
        text_table(
            title="Accuracy %, mean and standard deviation over chips",
            headers=(
                *("network", "digital, all test images", "preset", "products", "after", "digital, these images"),
                *("no AdaBS", "AdaBS", "chips", "images"),
            ),
            rows=tuple(rows),
            align="lrlllrrrrr",
        )
    ]


def _zoo_row(row: dict[str, Any]) -> tuple[str, ...]:
    own, adapted = row["accuracy_percent"]["own"], row["accuracy_percent"]["adabs"]
    return (
        row["network"],
        f"{row['digital']['percent']:.2f}",
        row["preset"],
        "converters" if row["converters"] else "exact",
        format_duration(row["time_seconds"]) + (" (extrapolated)" if row["extrapolated"] else ""),
        f"{row['digital_percent_on_these_images']:.2f}",
        spread(own),
        spread(adapted),
        str(len(own)),
        f"{row['images']:,}",
    )


def zoo_after_a_year(results: Results) -> list[Block]:
    """One row a network: exact products beside converters, on the same chips and images."""
    found: dict[str, dict[bool, dict[str, Any]]] = {}
    for row in (row for result in results for row in result["rows"] if row["time_seconds"] == YEAR_SECONDS):
        found.setdefault(row["network"], {})[row["converters"]] = row
    return [
        text_table(
            title="Accuracy % after one year (extrapolated), mean ± standard deviation over chips",
            headers=(
                *("network", "digital", "exact products", "exact products, AdaBS", "converters", "converters, AdaBS"),
                *("chips", "images"),
            ),
            rows=tuple(_year_row(name, rows[False], rows[True]) for name, rows in found.items()),
            align="lrrrrrrr",
        )
    ]


def _year_row(name: str, exact: dict[str, Any], converted: dict[str, Any]) -> tuple[str, ...]:
    parts = [row["accuracy_percent"][kind] for row in (exact, converted) for kind in ("own", "adabs")]
    chips, images = {len(part) for part in parts}, {exact["images"], converted["images"]}
    if len(chips) > 1 or len(images) > 1:
        raise ValueError(f"{name}: {sorted(chips)} chips on {sorted(images)} images; measure both presets alike")
    digital = f"{exact['digital_percent_on_these_images']:.2f}"
    return (name, digital, *map(spread, parts), str(chips.pop()), f"{images.pop():,}")


def spread(accuracies: Sequence[float]) -> str:
    """Mean and standard deviation over chips, or the one value."""
    mean = f"{statistics.mean(accuracies):.2f}"
    return mean if len(accuracies) == 1 else f"{mean} ± {statistics.stdev(accuracies):.2f}"


RENDERERS: dict[str, Callable[[Results], list[Block]]] = {
    "optimizer_step": optimizer_step,
    "training_step": training_step,
    "simulate_speed": simulate_speed,
    "simulate_total": simulate_total,
    "simulate_memory": simulate_memory,
    "chip_share": chip_share,
    "compiled_passes": compiled_passes,
    "input_ranges": input_ranges,
    "zoo_on_hardware": zoo_on_hardware,
}

# Tables that say less of a benchmark, for other pages: its name, and what makes the table.
SUMMARIES: dict[str, tuple[str, Callable[[Results], list[Block]]]] = {
    "zoo_after_a_year": ("zoo_on_hardware", zoo_after_a_year),
}


def rendered(name: str, folder: Path) -> str:
    """The tables of one benchmark, or its summary, from all of its results."""
    benchmark, renderer = SUMMARIES[name] if name in SUMMARIES else (name, RENDERERS[name])
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    mine = [result for result in found if result["benchmark"] == benchmark]
    if not mine:
        return f"No result is stored yet: `python benchmarks/{benchmark}.py` makes one.\n"
    return render_markdown(renderer(mine))


def filled(text: str, folder: Path) -> str:
    """A page with every table made anew; KeyError for a marker without a renderer."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{rendered(found['name'], folder)}\n{found[3]}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if the tables are out of date"
    )
    check = parser.parse_args().check
    old = []
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before, HERE / "results")
        if after != before:
            old.append(page)
            if not check:
                page.write_text(after, encoding="utf-8")
    if check:
        print(
            "\n".join(f"{page}: out of date; run {Path(__file__).name}" for page in old) or "the tables are up to date"
        )
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
