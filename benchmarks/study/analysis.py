"""The statistics of the study: means over trainings, effects with intervals, tuning and sharpness. Numbers only.

The unit of analysis is the training: an accuracy is the mean over the simulated chips of one training. In each setting
and condition, one additive model holds for all trained methods and training seeds,

    accuracy = method + seed + residual,

with one residual variance (method x seed; ordinary least squares). Seeds are blocks because a seed draws the same chips
and the same order of images for every method. Differences of methods have t intervals of that model.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from collect import VALUES, read_tidy
from scipy import stats

from analog_samson.runtime.older_python import tomllib

HERE = Path(__file__).parent
STEP_TIMES = HERE.parent / "results" / "training_step.json"
DIGITS, TUNED, RECIPE = "digits_cnn_digits", "resnet20_cifar10_tuned", "resnet20_cifar10_recipe"
RESNET32, SCRATCH = "resnet32_cifar10_tuned", "resnet20_cifar10_scratch"
REFERENCE = {DIGITS: "sgd", TUNED: "sgd", RECIPE: "recipe", RESNET32: "sgd_clip", SCRATCH: "sgd"}


class Condition(NamedTuple):
    """What accuracy is measured under; the names are those of the tidy file."""

    name: str
    adapted: str
    title: str


DIGITAL = Condition("digital", "", "digital")
YEAR, SIGMA = Condition("1y", "1", "1 year, AdaBS"), Condition("sigma 0.4", "1", "σ 0.4, AdaBS")
PLAIN_YEAR, PLAIN_SIGMA = Condition("1y", "0", "1 year"), Condition("sigma 0.4", "0", "σ 0.4")
JUDGED = (YEAR, SIGMA)
# Chosen after all values had been seen; the questions were those of the study from its start.
PRIMARY = (
    (TUNED, "samson_inf_clip", "sgd_clip"),
    (RESNET32, "samson_inf_clip", "sgd_clip"),
    (SCRATCH, "samson_inf_clip", "sgd_clip"),
    (TUNED, "sgd_clip", "sgd"),
    (SCRATCH, "sgd_clip", "sgd"),
    (TUNED, "samson_inf", "sgd"),
    (TUNED, "samson_inf", "asam"),
)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A difference of two methods in points, with its 95 % interval.

    Args:
        p: Two-sided, of this difference alone.
        holm: Adjusted by Holm over the primary contrasts; None for other differences.
        trainings: The smaller number of trainings of the two methods.
    """

    setting: str
    method: str
    minus: str
    condition: Condition
    points: float
    low: float
    high: float
    p: float
    trainings: int
    holm: float | None = None

    @property
    def significant(self) -> bool:
        """By the adjusted p of a primary contrast; else whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0 if self.holm is None else self.holm < 0.05


@dataclass(frozen=True)
class Fit:
    """The additive model of one setting and condition; `effects` are of the methods, in the order of `methods`."""

    methods: list[str]
    effects: np.ndarray
    covariance: np.ndarray
    freedom: int
    deviation: float
    by_method: pd.Series


class Study:
    """The tidy values beside the protocol that they were measured by."""

    def __init__(self, values: pd.DataFrame, protocol: dict[str, Any]) -> None:
        self.values = values
        self.networks = protocol["networks"]
        self.titles = {one["name"]: one["title"] for key in ("methods", "settings") for one in self.networks[key]}
        self.families = {method["name"]: method["family"] for method in self.networks["methods"]}
        self.final = values[values.stage == "final"]
        self._fits: dict[tuple[str, Condition], Fit] = {}

    @classmethod
    def load(cls, values: Path = VALUES) -> "Study":
        return cls(read_tidy(values), load_protocol())

    @cached_property
    def _by_training(self) -> pd.Series:
        """Every final value averaged over chips, by setting, condition, adapted, metric, method and seed."""
        keys = ["setting", "condition", "adapted", "metric", "method", "seed"]
        return self.final.groupby(keys)["value"].mean().sort_index()

    def means(self, setting: str, condition: Condition) -> pd.DataFrame:
        """Accuracy in percent, averaged over chips: a row for each method in the protocol's order, a column a seed."""
        metric = "top1_percent" if condition == DIGITAL else "accuracy_percent"
        table = self._by_training.loc[setting, condition.name, condition.adapted, metric].unstack("seed")
        return table.loc[[name for name in self.titles if name in table.index]]

    def fit(self, setting: str, condition: Condition) -> Fit:
        """The additive model of a setting under a condition, over the methods with at least two trainings."""
        if (setting, condition) not in self._fits:
            self._fits[setting, condition] = self._fit(self.means(setting, condition))
        return self._fits[setting, condition]

    @staticmethod
    def _fit(table: pd.DataFrame) -> Fit:
        long = table[table.notna().sum(axis=1) >= 2].stack().dropna()
        methods = list(dict.fromkeys(long.index.get_level_values(0)))
        seeds = sorted(set(long.index.get_level_values(1)))
        columns = [(long.index.get_level_values(0) == name).astype(float) for name in methods]
        columns += [(long.index.get_level_values(1) == seed).astype(float) for seed in seeds[1:]]
        design = np.column_stack(columns)
        found, _, rank, _ = np.linalg.lstsq(design, long.to_numpy(), rcond=None)
        residual = long - design @ found
        freedom = len(long) - int(rank)
        variance = float((residual**2).sum()) / freedom
        covariance = np.linalg.pinv(design.T @ design) * variance
        by_method = (residual**2).groupby(level=0).mean() ** 0.5
        return Fit(methods, found, covariance, freedom, variance**0.5, by_method)

    def effects(self, setting: str, pairs: Iterable[tuple[str, str]], condition: Condition) -> list[Effect]:
        """First of each pair minus second, where both have been trained at least twice."""
        fit, table = self.fit(setting, condition), self.means(setting, condition)
        found = []
        for method, minus in pairs:
            if method not in fit.methods or minus not in fit.methods:
                continue
            weights = np.zeros(len(fit.effects))
            weights[fit.methods.index(method)], weights[fit.methods.index(minus)] = 1, -1
            points, error = weights @ fit.effects, (weights @ fit.covariance @ weights) ** 0.5
            reach = stats.t.ppf(0.975, fit.freedom) * error
            found.append(
                Effect(
                    setting=setting,
                    method=method,
                    minus=minus,
                    condition=condition,
                    points=float(points),
                    low=float(points - reach),
                    high=float(points + reach),
                    p=float(2 * stats.t.sf(abs(points) / error, fit.freedom)),
                    trainings=int(table.loc[[method, minus]].notna().sum(axis=1).min()),
                )
            )
        return found

    @cached_property
    def primary(self) -> list[Effect]:
        """The primary contrasts under both judged conditions, with p adjusted over all of them."""
        every = [
            effect
            for setting, *pair in PRIMARY
            for condition in JUDGED
            for effect in self.effects(setting, [(pair[0], pair[1])], condition)
        ]
        adjusted = holm([effect.p for effect in every])
        return [Effect(**effect.__dict__ | {"holm": p}) for effect, p in zip(every, adjusted, strict=True)]

    @cached_property
    def ingredients(self) -> list[Effect]:
        """All ingredients minus all but one, under both judged conditions."""
        pairs = [("recipe", name) for name in self.titles if name.startswith("recipe_no_")]
        return [effect for condition in JUDGED for effect in self.effects(RECIPE, pairs, condition)]

    @cached_property
    def tuning(self) -> pd.DataFrame:
        """One row a tuned method: its grid, what was chosen, the lead over the next score, and what is at an edge."""
        grids = {method["name"]: method["grid"] for method in self.networks["methods"]}
        scores = self.values[(self.values.stage == "tuning") & (self.values.metric == "score")]
        rows = []
        for (setting, method), group in scores.groupby(["setting", "method"], sort=False):
            ranked = group.sort_values("value", ascending=False, kind="stable")
            chosen = dict(part.split("=") for part in ranked.hyperparameters.iloc[0].split())
            edges = []
            for name, grid in grids[method].items():
                if float(chosen[name]) in (min(grid), max(grid)):
                    edges.append(f"{name} {'smallest' if float(chosen[name]) == min(grid) else 'largest'}")
            lead = float(ranked.value.iloc[0] - ranked.value.iloc[1])
            options = " ".join(f"{name}={value}" for name, value in chosen.items())
            rows.append((setting, method, grids[method], options, float(ranked.value.iloc[0]), lead, edges))
        return pd.DataFrame(rows, columns=["setting", "method", "grid", "chosen", "score", "lead", "edges"])

    def sharpness(self, setting: str, condition: Condition) -> pd.DataFrame:
        """Spearman's rank correlation of sharpness with accuracy, a point a method: measure, group, coefficient, n."""
        here = self.final[
            (self.final.setting == setting)
            & (self.final.metric == "value")
            & self.final.condition.str.startswith("sharpness")
        ]
        accuracy = self.means(setting, condition).stack().rename("accuracy")
        rows = []
        for measure, group in here.groupby("condition", sort=False):
            points = group.set_index(["method", "seed"])["value"].rename("sharpness").to_frame().join(accuracy)
            points = points.dropna().groupby(level=0).mean()
            family = points.index.map(self.families)
            for name, chosen in (("plain", points[family == "plain"]), ("clipping", points[family == "clipping"])):
                rows.append((measure, name, *_spearman(chosen)))
            rows.append((measure, "all", *_spearman(points)))
        return pd.DataFrame(rows, columns=["measure", "group", "coefficient", "n"])


def load_protocol() -> dict[str, Any]:
    """The tables of study.toml."""
    return tomllib.loads((HERE / "study.toml").read_text(encoding="utf-8"))


def _spearman(points: pd.DataFrame) -> tuple[float, int]:
    return float(points["sharpness"].corr(points["accuracy"], method="spearman")), len(points)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p of each test: at most 5 % of such families have one below 0.05 where no effect is real."""
    adjusted, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(np.argsort(p)):
        largest = max(largest, (len(p) - place) * p[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def step_times() -> dict[str, pd.DataFrame]:
    """By setting, the measured time of a training step over that of clipped SGD; see benchmarks/training_step.py."""
    cases = json.loads(STEP_TIMES.read_text(encoding="utf-8"))["cases"]
    return {case["setting"]: pd.DataFrame(case["rows"]).set_index("method") for case in cases}


def ascent_strength() -> pd.DataFrame:
    """The rise of the loss by one ascent step of each radius; see ascent_strength.py."""
    return pd.read_csv(HERE / "ascent_strength.csv")
