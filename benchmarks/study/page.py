"""Write docs/results/index.md and its figures from the tidy file of measured values. Nothing is measured here.

make study-page
python benchmarks/study/page.py --values mine.csv.gz --out FOLDER
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from analysis import (
    DIGITAL,
    DIGITS,
    JUDGED,
    PLAIN_SIGMA,
    PLAIN_YEAR,
    RECIPE,
    REFERENCE,
    RESNET32,
    SCRATCH,
    SIGMA,
    TUNED,
    YEAR,
    Condition,
    Effect,
    Study,
    ascent_strength,
    step_times,
)
from collect import VALUES
from figures import figures
from jinja2 import Environment, StrictUndefined

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "results"
COLUMNS = (DIGITAL, PLAIN_YEAR, YEAR, PLAIN_SIGMA, SIGMA)


def page(study: Study) -> str:
    """The text of the page in Markdown; every number in it comes from the tidy file or a measured result beside it."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"effect": effect_text, "points": "{:.1f}".format, "percent": "{:.2f}".format}
    template = environment.from_string((HERE / "page.md.j2").read_text(encoding="utf-8"))
    primary = {(one.setting, one.method, one.minus, one.condition.name): one for one in study.primary}

    def effect(setting: str, method: str, minus: str, condition: Condition) -> Effect:
        (found,) = study.effects(setting, [(method, minus)], condition)
        return primary.get((setting, method, minus, condition.name), found)

    def mean(setting: str, method: str, condition: Condition) -> float:
        return float(study.means(setting, condition).loc[method].mean())

    settings = {"DIGITS": DIGITS, "TUNED": TUNED, "RECIPE": RECIPE, "RESNET32": RESNET32, "SCRATCH": SCRATCH}
    conditions = {"DIGITAL": DIGITAL, "YEAR": YEAR, "SIGMA": SIGMA, "PLAIN_SIGMA": PLAIN_SIGMA}
    conditions["SIGMA_ZERO"] = Condition("sigma 0", "0", "σ 0")
    return template.render(
        **settings,
        **conditions,
        effect=effect,
        mean=mean,
        titles=study.titles,
        networks=len(study.final[["setting", "method", "seed"]].drop_duplicates()),
        candidates=len(study.values[study.values.metric == "score"]),
        primary=study.primary,
        primary_table=primary_table(study),
        spread_table=spread_table(study),
        accuracy_tables={setting: accuracy_table(study, setting) for setting in REFERENCE},
        strength_table=strength_table(study),
        ingredients=ingredient_table(study),
        steps=step_table(study),
        sharpness=sharpness_table(study),
        tuning=tuning_table(study),
        tuned=study.tuning,
        strength=chosen_strength(study)["loss_rise"],
    )


def effect_text(effect: Effect) -> str:
    """A difference as a sentence has it.

    Returns:
        For example `+2.93 points (95 % interval [2.36, 3.51], 5 trainings)`.
    """
    inner = f"95 % interval [{effect.low:.2f}, {effect.high:.2f}], {effect.trainings} trainings"
    if not effect.significant:
        adjusted = "" if effect.holm is None else f" after Holm's correction, p = {p_text(effect.holm)}"
        inner += f"; not significant{adjusted}"
    return f"{effect.points:+.2f} points ({inner})"


def p_text(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Markdown; align has l or r for each column."""
    rules = [{"l": ":--", "r": "--:"}[one] for one in align]
    return "\n".join("| " + " | ".join(row) + " |" for row in [headers, rules, *rows])


def interval(effect: Effect) -> str:
    return f"{effect.points:+.2f} [{effect.low:.2f}, {effect.high:.2f}]"


def primary_table(study: Study) -> str:
    rows = [
        (
            study.titles[one.setting],
            f"{study.titles[one.method]} − {study.titles[one.minus]}",
            one.condition.title,
            interval(one),
            p_text(one.holm if one.holm is not None else one.p) + ("" if one.significant else " (not significant)"),
            str(one.trainings),
        )
        for one in study.primary
    ]
    headers = ("setting", "contrast", "condition", "points, 95 % interval", "p (Holm)", "trainings")
    return table(headers, rows, "lllrrr")


def spread_table(study: Study) -> str:
    """How alike the residual deviations of the methods are, which the model takes as one."""
    rows = []
    for setting in REFERENCE:
        for condition in JUDGED:
            fit = study.fit(setting, condition)
            ends = f"{fit.by_method.min():.2f} to {fit.by_method.max():.2f}" if len(fit.methods) > 2 else "–"
            rows.append((study.titles[setting], condition.title, f"{fit.deviation:.2f}", str(fit.freedom), ends))
    headers = ("setting", "condition", "residual SD (points)", "degrees of freedom", "SD of single methods")
    return table(headers, rows, "llrrr")


def accuracy_table(study: Study, setting: str) -> str:
    """Every method: mean and standard deviation over trainings, and the difference from the setting's reference."""
    means = [study.means(setting, condition) for condition in COLUMNS]
    reference = REFERENCE[setting]
    differences = {
        condition: {
            one.method: one for one in study.effects(setting, [(m, reference) for m in means[0].index], condition)
        }
        for condition in JUDGED
    }
    rows = []
    for method in means[0].index:
        cells = [_mean_text(one.loc[method]) for one in means]
        against = [differences[c].get(method) if method != reference else None for c in JUDGED]
        count = str(means[0].loc[method].notna().sum()) if method != "original" else "not trained"
        rows.append((study.titles[method], count, *cells, *("–" if one is None else interval(one) for one in against)))
    minus = [f"{c.title}: minus {study.titles[reference]}" for c in JUDGED]
    headers = ("method", "trainings", *(c.title for c in COLUMNS), *minus)
    return table(headers, rows, "l" + "r" * (len(headers) - 1))


def _mean_text(values: pd.Series) -> str:
    known = values.dropna()
    return f"{known.mean():.2f}" + (f" ± {known.std(ddof=1):.2f}" if len(known) > 1 else "")


def chosen_strength(study: Study) -> pd.DataFrame:
    """The rise of the loss at the radius that each method of the fine-tuned ResNet-20 was given, by method."""
    tuned = study.tuning.query("setting == @TUNED")
    found = tuned.merge(ascent_strength(), left_on=["method", "chosen"], right_on=["method", "hyperparameters"])
    return found.set_index("method")


def strength_table(study: Study) -> str:
    rows = [
        (study.titles[str(name)], row.chosen, f"{row.loss_rise:.3f}") for name, row in chosen_strength(study).iterrows()
    ]
    return table(("method", "chosen", "rise of the loss by one step (nats)"), rows, "llr")


def ingredient_table(study: Study) -> str:
    by_method: dict[str, list[Effect]] = {}
    for one in study.ingredients:
        by_method.setdefault(one.minus, []).append(one)
    rows = [
        (study.titles[name].removeprefix("all but "), *(interval(one) for one in effects))
        for name, effects in by_method.items()
    ]
    return table(("ingredient", *(f"{c.title}: with − without" for c in JUDGED)), rows, "lrr")


def step_table(study: Study) -> str:
    rows = []
    for method, row in step_times()[TUNED].iterrows():
        accuracy = [_mean_text(study.means(TUNED, condition).loc[method].loc[[0, 1, 2]]) for condition in JUDGED]
        rows.append((study.titles[str(method)], f"{row.gradients:g}", f"{row.median_ratio:.2f}", *accuracy))
    headers = ("method", "gradients a step", "time of a step", *(c.title for c in JUDGED))
    return table(headers, rows, "lrrrr")


def sharpness_table(study: Study) -> str:
    rows = []
    found = {c: study.sharpness(TUNED, c).set_index(["measure", "group"]) for c in JUDGED}
    for measure in dict.fromkeys(measure for measure, _ in found[YEAR].index):
        name = str(measure).removeprefix("sharpness_").removesuffix("_weights_only").replace("_", " ")
        cells = [
            f"{found[c].loc[(measure, group), 'coefficient']:.2f} ({found[c].loc[(measure, group), 'n']})"
            for c in JUDGED
            for group in ("plain", "clipping", "all")
        ]
        rows.append((name, *cells))
    groups = [f"{c.title}: {group}" for c in JUDGED for group in ("no clipping", "clipping", "all")]
    return table(("sharpness", *groups), rows, "lrrrrrr")


def tuning_table(study: Study) -> str:
    rows = []
    for _, row in study.tuning.iterrows():
        grid = "; ".join(f"{name} {', '.join(f'{value:g}' for value in values)}" for name, values in row.grid.items())
        edges = ", ".join(row.edges) or "–"
        cells = (study.titles[row.setting], study.titles[row.method], grid, row.chosen, f"{row.score:.2f}")
        rows.append((*cells, f"{row.lead:.2f}", edges))
    headers = ("setting", "method", "grid", "chosen", "score (%)", "lead (points)", "at an edge")
    return table(headers, rows, "llllrrl")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the page of the study and its figures.")
    parser.add_argument("--values", type=Path, default=VALUES, help="tidy file (default: the committed one)")
    parser.add_argument("--out", type=Path, default=PAGE, help="folder of the page (default: docs/results)")
    given = parser.parse_args(arguments)
    study = Study.load(given.values)
    given.out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {"index.md": page(study).encode(), **figures(study)}
    for name, content in files.items():
        (given.out / name).write_bytes(content)
    print(f"wrote {given.out / 'index.md'} and {len(files) - 1} figures")


if __name__ == "__main__":
    main()
