"""The tables of benchmarks that measure time or memory."""

from collections.abc import Sequence
from typing import Any

from analog_samson.report.rendering import Block
from analog_samson.report.table import Table, text_table

Results = Sequence[dict[str, Any]]


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
    blocks: list[Block] = []
    for result in results:
        text = "weights_gib" in result["rows"][0]
        rows = []
        for row in result["rows"]:
            kept = "kept" if row["freed_memory_kept"] else "left to glibc"
            more = [f"{(row['peak_gib'] - row['loaded_gib']) / row['weights_gib']:.2f}"] if text else []
            rows.append((row["hardware"], kept, f"{row['peak_gib']:.2f}", f"{row['loaded_gib']:.2f}", *more))
        what = f"{result['network']}, input {result['batch']} x {'64 tokens' if text else '3 x 224 x 224'}"
        if text:
            what = f"{what}, {result['rows'][0]['weights_gib']:.2f} GiB of weights"
        last = ("difference over the weights",) if text else ()
        blocks.append(
            text_table(title=what, headers=(*headers, *last), rows=tuple(rows), align="llrr" + "r" * len(last))
        )
    return blocks


def streaming_memory(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for result in results:
        rows = tuple(
            (
                f"{row['images']:,}",
                f"{row['decoded_gib']:.2f}",
                row["place"],
                f"{row['peak_gib']:.2f}",
            )
            for row in result["rows"]
        )
        blocks.append(
            text_table(
                title=f"Peak memory of simulate, files of {result['file_bytes'] / 1000:.0f} kB, 224 x 224 pixels",
                headers=("images", "decoded, GiB", "they are in", "peak of the process, GiB"),
                rows=rows,
                align="rrlr",
            )
        )
        for count, same in result["same_values"].items():
            blocks.append(f"Values of the runs on {count} JPEG files: {'equal to the bit' if same else 'DIFFERENT'}.")
    return blocks


def sweep_driver(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for result in results:
        rows = tuple(
            (
                f"{row['simulations']:,}",
                str(row["workers"]) if row["workers"] > 1 else "the driver itself",
                f"{row['plan_seconds']:.1f}",
                f"{row['microseconds_each']:.0f}",
                f"{row['mib_more']:.1f}",
            )
            for row in result["rows"]
        )
        headers = ("simulations", "workers", "plan, s", "time for each, us", "memory of the driver, MiB more")
        title = "Simulations that do nothing, of one network at 100 points"
        blocks.append(text_table(title=title, headers=headers, rows=rows, align="rlrrr"))
        tables = result["tables"]
        blocks.append(f"Tables of finished runs: {tables['milliseconds_each']:.0f} ms a run.")
    return blocks


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


def hardware_aware_step(results: Results) -> list[Block]:
    headers = ("step", "s", "ratio", "lowest to highest")
    return [
        text_table(
            title=f"{result['network']}, batch {result['batch']}: {result['threads']} thread, {result['cpu']}, "
            f"{result['rounds']} rounds, medians of processor time",
            headers=headers,
            rows=tuple(
                (
                    row["step"],
                    f"{row['median_seconds']:.3f}",
                    f"{row['median_ratio']:.2f}",
                    f"{row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f}",
                )
                for row in result["rows"]
            ),
            align="lrrr",
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
