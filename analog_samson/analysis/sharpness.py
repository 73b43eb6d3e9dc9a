"""What a study of sharpness found, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from analog_samson.analysis.correlation import Correlation, correlate
from analog_samson.analysis.robustness import Robustness
from analog_samson.results.csv_text import csv_text

PERCENT = "keskar"  # the one measure that is not in nats
Correlations = dict[tuple[str, str], tuple[Correlation, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One measure of one checkpoint: every number that decides it, and its value [nats; for keskar percent].

    loss: at the weights themselves [nats]. batch_size is m of eq. 10.
    """

    checkpoint: str
    sha256: str
    data: str
    method: str
    rho: float
    p: float
    selection: str
    steps: int
    batch_size: int
    samples: int
    batches: int
    loss: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessStudy:
    """Findings by checkpoint and method, in the order asked for, and what runs say of the checkpoints, if any."""

    findings: tuple[Finding, ...]
    robustness: Robustness | None
    notes: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> list[str]:
        return list(dict.fromkeys(finding.checkpoint for finding in self.findings))

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(finding.method for finding in self.findings))


def correlations(study: SharpnessStudy) -> Correlations:
    """(method, measure of robustness) to its three correlations, over the checkpoints that have both."""
    found: Correlations = {}
    if study.robustness is None:
        return found
    for measure in study.robustness.measures:
        for method in study.methods:
            pairs = [
                (finding.value, study.robustness.values[finding.checkpoint][measure])
                for finding in study.findings
                if finding.method == method and measure in study.robustness.values[finding.checkpoint]
            ]
            found[method, measure] = correlate(*zip(*pairs, strict=True))
    return found


def rows_as_csv(study: SharpnessStudy) -> str:
    """One line per finding, floats exact, with the checkpoint's robustness behind; what is not known is empty."""
    measures = study.robustness.measures if study.robustness else []
    known = study.robustness.values if study.robustness else {}
    rows = ([*asdict(one).values(), *_cells(known.get(one.checkpoint, {}), measures)] for one in study.findings)
    return csv_text([*Finding.__dataclass_fields__, *measures], rows)


def _cells(known: Mapping[str, float], measures: Sequence[str]) -> list[float | str]:
    return [known.get(measure, "") for measure in measures]
