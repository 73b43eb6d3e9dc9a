"""Write the tables of benchmarks/README.md and the other PAGES from benchmarks/results/*.json.

    python benchmarks/table.py            # rewrites the pages between their markers
    python benchmarks/table.py --check    # exits with 1 if that would change one

A table is between `<!-- NAME -->` and `<!-- end NAME -->`; RENDERERS and SUMMARIES say which results it is made from.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accuracy_tables import adaptive_images, explore, zoo_after_a_year, zoo_on_hardware
from fit_tables import fit_coverage, fit_coverage_by_preset
from speed_tables import (
    chip_share,
    compiled_passes,
    hardware_aware_step,
    optimizer_step,
    simulate_memory,
    simulate_speed,
    simulate_total,
    streaming_memory,
    sweep_driver,
    training_step,
)

from analog_samson.report.rendering import Block, render_markdown

HERE = Path(__file__).parent
PAGES = (
    HERE / "README.md",
    HERE.parent / "README.md",
    HERE.parent / "docs" / "zoo.md",
    HERE.parent / "docs" / "simulation.md",
    HERE.parent / "docs" / "measurements.md",
    HERE.parent / "docs" / "scaling.md",
)
Results = Sequence[dict[str, Any]]
_MARKED = re.compile(r"(<!-- (?P<name>\w+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


RENDERERS: dict[str, Callable[[Results], list[Block]]] = {
    "optimizer_step": optimizer_step,
    "training_step": training_step,
    "hardware_aware_step": hardware_aware_step,
    "simulate_speed": simulate_speed,
    "simulate_total": simulate_total,
    "simulate_memory": simulate_memory,
    "streaming_memory": streaming_memory,
    "chip_share": chip_share,
    "compiled_passes": compiled_passes,
    "zoo_on_hardware": zoo_on_hardware,
    "explore": explore,
    "sweep_driver": sweep_driver,
    "fit_coverage": fit_coverage,
    "adaptive_images": adaptive_images,
}

# Tables that say less of a benchmark, for other pages: its name, and what makes the table.
SUMMARIES: dict[str, tuple[str, Callable[[Results], list[Block]]]] = {
    "streaming_memory_sizes": ("streaming_memory", streaming_memory),
    "sweep_driver_sizes": ("sweep_driver", sweep_driver),
    "zoo_after_a_year": ("zoo_on_hardware", zoo_after_a_year),
    "adaptive_images_by_network": ("adaptive_images", adaptive_images),
    "fit_coverage_by_preset": ("fit_coverage", fit_coverage_by_preset),
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
