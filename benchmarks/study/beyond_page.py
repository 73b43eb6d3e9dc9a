"""Write docs/results/beyond.md from the values of the study beyond images. Nothing is measured here.

make study-page
"""

import math
from pathlib import Path
from statistics import fmean

import pandas as pd
from choosing import read
from scipy import stats

HERE = Path(__file__).parent
VALUES, PAGE = HERE / "values" / "beyond_test.csv", HERE.parents[1] / "docs" / "results" / "beyond.md"
NETWORKS = {  # name: title, metric, decimals, sign of better
    "chargpt": ("character GPT", "nats a character, lower is better", 3, -1),
    "minilm": ("all-MiniLM, opinions on films", "accuracy, %", 2, 1),
    "g2pm": ("polyphone LSTM", "accuracy, %", 2, 1),
}
METHODS = {
    "sgd": "plain",
    "sam": "SAM",
    "asam": "ASAM",
    "samson_inf": "SAMSON p = inf",
    "noise": "additive noise",
    "hardware_aware": "hardware-aware",
}
PLAIN = ("sgd", False)
ARMS = [(arm, clipped) for clipped in (False, True) for arm in METHODS if not (clipped and arm == "samson_inf")]
PER_LAYER, PER_COLUMN = (f"pcm_rasch_2023, {scaling}, 86400 s" for scaling in ("per_layer", "per_column"))
GAINS = {  # condition: heading
    PER_COLUMN: "`pcm_rasch_2023`, one day, a scale per column",
    PER_LAYER: "`pcm_rasch_2023`, one day, a scale per layer",
    "pcm_nandakumar_2019, per_layer, 86400 s": "`pcm_nandakumar_2019` (exact products), one day, a scale per layer",
    "sigma_c 0.4, none": "sigma_c = 0.4",
}
COLUMNS = {
    "digital": "digital",
    "sigma_c 0.2, none": "sigma_c 0.2",
    "sigma_c 0.4, none": "sigma_c 0.4",
    **{
        f"{preset}, {scaling}, {seconds} s": f"{preset.split('_')[1]}, {scaling.split('_')[1]}, {time}"
        for preset in ("pcm_nandakumar_2019", "pcm_rasch_2023")
        for scaling in ("per_layer", "per_column")
        for seconds, time in (("86400", "1 d"), ("3.1536e+07", "1 y †"))
    },
}
ABSENT = "not measured"
INTRODUCTION = """\
Made by `make study-page` from `benchmarks/study/values/beyond_test.csv`. All of this page is **exploratory**: the
primary contrasts of the protocol (`benchmarks/study/protocol.md`) are on images. Three networks were fine-tuned by
each method and read on simulated chips. Radii, noise and clipping were chosen on held-out samples and other chips
(`benchmarks/study/beyond_chosen.toml`). Clipped SAMSON p = inf is clipped ASAM with another radius, so it has no line
of its own. The unit is the training: its value is the mean over its chips, each of which reads its own part of the
test samples."""
GAIN_TEXT = """\
A method's value minus plain training's (AdamW) of the same seed: the mean over n trainings and, in brackets, its 95 % t
interval, which is not adjusted for the number of entries. Of the GPT, a negative difference is a gain. **Bold** is a
gain whose interval excludes 0, *italic* a loss whose interval does; of the other entries the sign is not known.
Learned input ranges stay near their first values here, for AdamW moves a range by about its learning rate a step."""
SCALE_TEXT = """\
On `pcm_rasch_2023` after one day: each method with one scale per layer, minus plain training with a scale per column. A
method replaces these scales where its interval lies on the side of a gain; where it contains 0, neither is shown to be
better."""


def trainings(values: pd.DataFrame) -> pd.Series:
    """The mean over chips of each training, by network, arm, whether it is clipped, condition and seed."""
    values = values.assign(clipped=values["clip"].notna())
    return values.groupby(["network", "arm", "clipped", "condition", "seed"]).value.mean()


def of(means: pd.Series, network: str, arm: tuple[str, bool], condition: str) -> pd.Series:
    """The trainings of one arm in one condition by seed; empty where nothing was measured."""
    key = (network, *arm, condition)
    return means.loc[key] if key in means.index.droplevel("seed") else pd.Series(dtype=float)


def gain(better: pd.Series, plain: pd.Series, decimals: int, sign: int) -> str:
    """The mean difference of trainings with the same seed, with its interval."""
    differences = (better - plain).dropna().to_numpy()
    if not len(differences):
        return ABSENT
    mean, n = float(differences.mean()), len(differences)
    text = f"{mean:+.{decimals}f}"
    if n == 1:
        return f"{text} (n = 1)"
    half = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    if abs(mean) > half:
        text = f"**{text}**" if mean * sign > 0 else f"*{text}*"
    return f"{text} [{mean - half:+.{decimals}f}, {mean + half:+.{decimals}f}] (n = {n})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose first column is text."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def title(arm: tuple[str, bool]) -> str:
    """Of a method in tables."""
    return METHODS[arm[0]] + (", clipped" if arm[1] else "")


def gains(means: pd.Series, condition: str, reference: str) -> str:
    """The table network x method: each method in a condition, minus plain training in the condition of reference."""
    rows = []
    for arm in ARMS:
        found = [
            gain(of(means, name, arm, condition), of(means, name, PLAIN, reference), decimals, sign)
            for name, (_, _, decimals, sign) in NETWORKS.items()
        ]
        if arm != PLAIN or condition != reference:
            rows.append([title(arm), *found])
    return table(["method", *(NETWORKS[name][0] for name in NETWORKS)], rows)


def measured(means: pd.Series, network: str, decimals: int) -> str:
    """The mean over trainings of every method in every condition."""
    rows = []
    for arm in ARMS:
        found = [of(means, network, arm, condition) for condition in COLUMNS]
        cells = [f"{fmean(one):.{decimals}f}" if len(one) else ABSENT for one in found]
        rows.append([title(arm), str(max(len(one) for one in found)), *cells])
    return table(["method", "n", *COLUMNS.values()], rows)


def page(values: pd.DataFrame) -> str:
    """docs/results/beyond.md, made from the values of the test stage."""
    means = trainings(values) if len(values) else pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[]] * 5))
    means.index.names = ["network", "arm", "clipped", "condition", "seed"]
    parts = ["# Beyond images: a GPT, a sentence transformer and an LSTM", INTRODUCTION]
    parts += ["## Against plain training", GAIN_TEXT]
    for condition, heading in GAINS.items():
        parts += [f"### {heading}", gains(means, condition, condition)]
    parts += ["## Does training replace a scale per column?", SCALE_TEXT, gains(means, PER_LAYER, PER_COLUMN)]
    parts += [
        "## Values",
        "Means over n trainings. Both presets' sources cover one day: a year (†) is extrapolated. Nandakumar is\n"
        "`pcm_nandakumar_2019` (exact products), Rasch `pcm_rasch_2023` (converters); layer and column say what has a\n"
        "digital scale.",
    ]
    for name, (heading, metric, decimals, _) in NETWORKS.items():
        own = values[values.network == name] if len(values) else values
        read_by = int(own.chip.nunique()) if len(own) else 0
        parts += [f"### {heading[0].upper()}{heading[1:]}: {metric}"]
        parts += [f"{read_by} chips a training.\n\n{measured(means, name, decimals)}" if read_by else "Not measured."]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    PAGE.write_text(page(read(VALUES)))


if __name__ == "__main__":
    main()
