"""A made-up but lifelike budget of a synthetic run, equal for equal arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.analysis.error_budget import AS_IS
from analog_samson.results.records import Record
from analog_samson.results.runfile import BUDGET_FOLDER
from analog_samson.results.store import RunFolder

TIME = 31536000.0
COSTS = {"drift": 4.0, "programming noise": 1.0, "read noise": 0.0}  # points that each effect costs
ALONE = {"drift": 0.8, "programming noise": 0.2, "read noise": 0.0}  # points that each effect costs alone: less
LOSSES = {"stem": 2.0, "head": 0.1, "blocks.0.conv": 0.5}  # points that each layer loses alone
GAINS = {"compensation none": -40.0, "compensation per column": 0.2, "AdaBS": 2.0, "most sensitive layer digital": 3.0}
DIGITAL, AGED = 91.0, 86.0


def synthetic_error_budget(
    run: Path,
    *,
    instances: int = 5,
    skip: tuple[str, ...] = (),
    classes: int = 4,
    alone: Mapping[str, float] = ALONE,
    against: str = "",
) -> None:
    """An error budget in the run folder `run`; records of the labels in `skip` are missing.

    alone: points that each effect costs alone, with the effect `against` beside it, which costs its own in `alone`.
    """
    variants = [*_effect_variants(alone, against), *VARIANTS]
    levels = {(AS_IS, False): AGED}
    for row in variants:
        if (row["label"], row["adabs"]) != (AS_IS, False):
            levels[row["label"], row["adabs"]] = _level(row, alone)
    luck = np.random.default_rng(3).normal(0, 0.3, instances)
    own = np.random.default_rng(4)
    with RunFolder.create(run / BUDGET_FOLDER, {"instances": instances}) as folder:
        folder.set_meta("error_budget", {"time_seconds": TIME, "instances": instances, "images": 400, "skipped": []})
        folder.set_meta("variants", variants)
        folder.commit(_records("pcm_nandakumar_2019", "digital", 0, DIGITAL))
        for (label, adabs), level in levels.items():
            noise = own.normal(0, 0.1, instances)
            for instance in range(instances if label not in skip else 0):
                value = level + luck[instance] + (0.0 if label == AS_IS and not adabs else noise[instance])
                folder.commit(_records(label, "drift", instance, float(value), adabs=adabs))
        folder.set_meta("outcomes/digital", _outcome(0, classes))
        for instance in range(instances):
            folder.set_meta(f"outcomes/{instance}", _outcome(instance + 1, classes))


def _variant(label: str, kind: str, subject: str, adabs: bool = False, **facts: Any) -> dict[str, Any]:
    return {"label": label, "kind": kind, "subject": subject, "adabs": adabs, **facts}


def _effect_variants(alone: Mapping[str, float], against: str) -> list[dict[str, Any]]:
    facts = {"against": against} if against else {}
    own = [_variant(f"only {against}", "only", against)] if against else []
    return [
        *own,
        *(_variant(f"without {name}", "without", name) for name in COSTS),
        *(_variant(f"only {name}", "only", name, **facts) for name in alone if name != against),
    ]


VARIANTS = [
    *(
        _variant(f"only layer {p}", "layer", p, layer_type="Conv2d", macs_percent=20.0, devices_percent=10.0)
        for p in LOSSES
    ),
    _variant("compensation none", "remedy", "compensation none", digital_macs_percent=5.0),
    _variant(AS_IS, "remedy", "compensation global (as it is)", digital_macs_percent=5.0),
    _variant("compensation per_column", "remedy", "compensation per column", digital_macs_percent=5.0),
    _variant(AS_IS, "remedy", "AdaBS", adabs=True, digital_macs_percent=5.0),
    _variant(
        "1 most sensitive digital",
        "remedy",
        "most sensitive layer digital",
        digital_macs_percent=25.0,
        layers=["stem"],
    ),
]


def _level(row: dict[str, Any], alone: Mapping[str, float]) -> float:
    """Mean accuracy of a variant."""
    if row["kind"] == "without":
        return AGED + COSTS[row["subject"]]
    if row["kind"] == "only":
        return DIGITAL - alone[row["subject"]] - alone.get(row.get("against", ""), 0.0)
    return DIGITAL - LOSSES[row["subject"]] if row["kind"] == "layer" else AGED + GAINS[row["subject"]]


def _records(preset: str, stage: str, instance: int, value: float, *, adabs: bool = False) -> list[Record]:
    """Accuracy, and a loss that goes with it."""
    return [
        Record(
            checkpoint="sgd",
            preset=preset,
            stage=stage,
            calibration="adabs" if adabs else "none",
            instance=instance,
            time_seconds=TIME if stage == "drift" else None,
            sigma_c=None,
            metric=metric,
            value=number,
        )
        for metric, number in (("accuracy_percent", value), ("loss", (100 - value) / 30))
    ]


def _outcome(chip: int, classes: int) -> dict[str, Any]:
    """100 images a class; chip 0 is the digital network, others take class 0 for class 1 more often."""
    wrong = 5 + 5 * (chip > 0) + chip % 2
    confusion = [[0, 1, wrong], [0, 0, 100 - wrong], *([c, c, 100] for c in range(1, classes))]
    total = 100 * classes
    return {
        "edges": [0.0, 1.0, 2.0, 3.0],
        "margins": [total // 4 + 20 * (chip > 0), total // 4, total // 4, total // 4 - 20 * (chip > 0)],
        "changed": 0 if chip == 0 else wrong - 5,
        "classes": classes,
        "confusion": confusion,
    }
