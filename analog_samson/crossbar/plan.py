"""What will happen to every weight of a model, decided as data before anything is touched."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from torch import Tensor, nn

from analog_samson.crossbar.coverage import Coverage, CoverageWarning, plan_coverage, tiles_warning
from analog_samson.crossbar.decide import ANALOG, BLOCKED, DIGITAL, Decision
from analog_samson.crossbar.foreign import digital_network, unwrapped
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.observe import Example, Observation, zeros
from analog_samson.crossbar.outliers import OutlierWarning, outlier_warning
from analog_samson.crossbar.registry import analog_types
from analog_samson.crossbar.rows import BETWEEN, PlanRow, make_rows
from analog_samson.crossbar.slots import ROOT, Slot
from analog_samson.crossbar.survey import Survey, survey
from analog_samson.errors import AnalogSamsonError, PlanError, list_faults
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.runtime.call import call
from analog_samson.runtime.renamed import renamed_keyword

__all__ = ["ANALOG", "BLOCKED", "DIGITAL", "ROOT", "ConversionPlan", "Placement", "PlanRow", "plan_conversion"]
_COLUMNS = ("path", "layer_type", "use", "action", "rows", "columns", "groups", "tiles", "devices", "macs")
_RATIO = "max/std"


@dataclass(frozen=True, kw_only=True)
class HardwareSummary:
    """What a converted model occupies. `utilisation_percent` is used cells over cells of the tiles it needs.

    `macs` counts the whole forward, with the products between layers; 0 where the plan had no example.
    `matrix_weights` counts the weights that multiply activations: all that a crossbar could hold.
    """

    tiles: int
    devices: int
    utilisation_percent: float
    parameters: int
    analog_parameters_percent: float
    macs: int
    analog_macs_percent: float
    matrix_weights: int
    analog_matrix_weights_percent: float


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A weight that goes on tiles.

    Attributes:
        path: As in its row.
        owners: Path of a module and name of its parameter, for each place that holds the weight.
        layout, preset: How it lies on the tiles, and their hardware.
        table: Its look-ups stay digital.
        input_exponents: Of the powers of two that its input channels are divided by before the tiles; empty: none.
    """

    path: str
    owners: tuple[tuple[str, str], ...]
    layout: Layout
    preset: Preset | None = None
    table: bool = False
    input_exponents: tuple[int, ...] = ()

    def slots(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        """The modules of `model` that hold the weight, with the names of the parameter."""
        return [(model.get_submodule(path), name) for path, name in self.owners]

    def parameter(self, model: nn.Module) -> nn.Parameter:
        """The weight in `model`, a plain parameter there."""
        module, name = self.slots(model)[0]
        return module.get_parameter(name)


@dataclass(frozen=True, repr=False)
class ConversionPlan:
    """The rows of a conversion, in the order of ``model.named_modules()``, and where the analog ones lie.

    macs: of the whole forward for one sample, 0 if unknown.
    """

    rows: tuple[PlanRow, ...]
    preset: Preset
    keep_digital: tuple[str, ...] = field(default=())
    macs: int = 0
    placements: tuple[Placement, ...] = field(default=(), repr=False)

    @property
    def presets(self) -> list[Preset]:
        """The plan's preset and those of single weights, each once."""
        every = [self.preset, *(placement.preset or self.preset for placement in self.placements)]
        return list({preset.fingerprint: preset for preset in every}.values())

    def with_action(self, action: str) -> list[PlanRow]:
        return [row for row in self.rows if row.action == action]

    def check(self) -> None:
        """Raise a PlanError that lists every weight that cannot be converted."""
        _check_decisions([(row.path, row.layer_type, row.action, row.reason) for row in self.rows])

    def summary(self) -> HardwareSummary:
        """Totals over all weights; one under two names counts once."""
        analog = [row for row in self.rows if row.action == ANALOG and not row.shared_with]
        weights, parameters = sum(r.weights for r in analog), sum(r.parameters for r in self.rows)
        coverage = self.coverage()
        analog_macs = sum(r.macs for r in self.rows if r.action == ANALOG)
        return HardwareSummary(
            tiles=sum(r.tiles for r in analog),
            devices=sum(r.devices for r in analog),
            utilisation_percent=_percent(sum(r.weights * r.slices for r in analog), sum(r.cells for r in analog)),
            parameters=parameters,
            analog_parameters_percent=_percent(weights, parameters),
            macs=self.macs,
            analog_macs_percent=_percent(analog_macs, self.macs),
            matrix_weights=coverage.total,
            analog_matrix_weights_percent=coverage.percent,
        )

    def coverage(self) -> Coverage:
        """The matrix weights on tiles, and the layers whose matrices are left out; a shared weight counts once.

        Returns:
            Counts of weights; `Coverage.is_low` where less than 90 % of them are on tiles.
        """
        return plan_coverage(self.records()) or Coverage(0, ())

    def warnings(self) -> list[tuple[type[UserWarning], str]]:
        """What a reader of results has to know: few weights on tiles, or outliers that waste the range."""
        outliers = outlier_warning(self.records())
        found = [(CoverageWarning, tiles_warning(self.coverage())), (OutlierWarning, outliers)]
        return [(category, text) for category, text in found if text]

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for a run folder."""
        return [asdict(row) for row in self.rows]

    def __repr__(self) -> str:
        """What goes on tiles, in a line; `text()` gives the rows."""
        told, blocked = self.summary(), len(self.with_action(BLOCKED))
        return (
            f"<ConversionPlan for {self.preset.name}: {len(self.placements)} weights on {told.tiles} tiles, "
            f"{told.analog_parameters_percent:.1f} % of {told.parameters:,} parameters"
            f"{f', {blocked} cannot be converted' if blocked else ''}>"
        )

    def _repr_html_(self) -> str:
        """The rows as a table that scrolls in its own width, for a notebook."""
        import pandas as pd

        table = pd.DataFrame(self.records()).to_html(index=False)
        return f'<p>{escape(repr(self))}</p><div style="overflow-x: auto">{table}</div>'

    def text(self) -> str:
        """The plan as an aligned table, with its warnings below."""
        names = (*_COLUMNS, *(["preset"] if any(row.preset for row in self.rows) else []))
        lines = [[*names, _RATIO, "reason"]]
        for row in self.rows:
            ratio = f"{row.largest_over_std:.1f}" if row.largest_over_std else "-"
            lines.append([*(str(getattr(row, name)) or "-" for name in names), ratio, row.reason])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*shown, *(line for _, text in self.warnings() for line in ("", f"warning: {text}"))])


@renamed_keyword("exclude", "keep_digital")
def plan_conversion(
    model: nn.Module,
    preset: Hardware,
    *,
    keep_digital: Sequence[str] = (),
    on_chip: Sequence[str] = (),
    layer_presets: Mapping[str, Hardware] = {},
    input_shape: Sequence[int] | None = None,
    example: Any = None,
) -> ConversionPlan:
    """Decide for every weight of `model` whether it goes on analog tiles under `preset`. The model is not changed.

    With an example, one forward pass shows how each weight is used: weights of modules without a rule can go on tiles
    then, and multiply-accumulates are counted.

    Args:
        model: The network.
        preset: The hardware: a preset, its name or its file.
        keep_digital: What stays digital: paths of weights or of modules that hold them, patterns such as
            ``layer1.*.conv2``, or a shortcut: ``first``, ``last``, ``head``, ``embeddings``. A layer under several
            names stays digital if one of them is named.
        on_chip: What goes on tiles although it is digital by default, in the same form: look-up tables, adapters.
        layer_presets: Other hardware for single weights, by the same patterns; the last that fits decides.
        input_shape: (C, H, W) of one sample; the example is then one sample of zeros.
        example: A batch as the network takes it: a tensor, a tuple of arguments or a mapping of named arguments; or an
            `Example`, which says how the network is run on it.

    Raises:
        PlanError: aihwkit has converted the network already, a pattern fits nothing, a weight is both kept digital and
            put on the chip, or the model cannot run on the example.

    >>> from analog_samson import load_preset
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    >>> plan = plan_conversion(net, load_preset("ideal"), input_shape=(1, 8, 8))
    >>> [(row.path, row.action, row.rows, row.columns) for row in plan.rows]
    [('0', 'analog', 9, 4), ('1', 'digital', 0, 0), ('3', 'analog', 144, 10)]
    """
    preset = as_preset(preset)
    model = digital_network(model)
    if example is None and input_shape is not None:
        example = zeros(model, input_shape)
    if example is not None and not isinstance(example, Example):
        example = Example(batch=example, run=_run)
    single = {pattern: as_preset(one) for pattern, one in layer_presets.items()}
    found = survey(model, preset=preset, layer_presets=single, keep=keep_digital, put=on_chip, example=example)
    rows = make_rows(model, preset, found)
    total = _total(found.observation, rows)
    if (between := total - sum(row.macs for row in rows)) > 0:
        rows.append(BETWEEN.with_macs(between))
    return ConversionPlan(tuple(rows), preset, tuple(keep_digital), total, _placements(found, preset))


def _run(model: nn.Module, batch: Any) -> Any:
    """The model's output for an example; a PlanError where it cannot run on it."""
    try:
        return call(model, batch)
    except AnalogSamsonError:
        raise
    except Exception as error:  # the forward is the user's: it may raise anything
        what = "the example"
        if isinstance(batch, Tensor) and batch.ndim:
            samples = "one sample" if len(batch) == 1 else f"{len(batch)} samples"
            what = f"{samples} of shape {tuple(batch.shape[1:])}"
        reason = str(error) or type(error).__name__
        raise PlanError(f"the model cannot run on {what}: {reason}") from error


def crossbar_placements(
    model: nn.Module,
    keep_digital: Sequence[str] = (),
    *,
    preset: Preset | None = None,
    on_chip: Sequence[str] = (),
    example: Example | None = None,
) -> tuple[Placement, ...]:
    """The weights that go on a crossbar, each once; PlanError as `ConversionPlan.check` raises it."""
    model = unwrapped(model)
    found = survey(model, preset=preset, keep=keep_digital, put=on_chip, example=example)
    kinds = [(slot.path, type(slot.module).__name__, one.action, one.reason) for slot, one in found.decisions.items()]
    _check_decisions(kinds)
    return _placements(found, preset)


def crossbar_paths(model: nn.Module, keep_digital: Sequence[str] = ()) -> list[str]:
    """The paths of all weights that go on a crossbar; PlanError as `ConversionPlan.check` raises it."""
    return [placement.path for placement in crossbar_placements(model, keep_digital)]


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The layer at a plan's path."""
    return model if path == ROOT else model.get_submodule(path)


def _placements(found: Survey, preset: Preset | None) -> tuple[Placement, ...]:
    groups: dict[int, list[tuple[Slot, Decision]]] = {}
    for slot, decision in found.decisions.items():
        if decision.action == ANALOG:
            groups.setdefault(slot.key, []).append((slot, decision))
    placements = []
    for members in groups.values():
        slot, decision = members[0]
        assert decision.layout is not None
        owners = tuple((one.module_path, one.name) for one, _ in members)
        table = any(each.table for _, each in members)
        hardware = found.presets.get(slot, preset)
        placements.append(
            Placement(path=slot.path, owners=owners, layout=decision.layout, preset=hardware, table=table)
        )
    return tuple(placements)


def _total(observation: Observation | None, rows: Sequence[PlanRow]) -> int:
    """Multiply-accumulates of one sample; at least those of the weights, whose kernels torch's counter may not know."""
    if observation is None:
        return 0
    return max(observation.macs // observation.samples, sum(row.macs for row in rows))


def _check_decisions(decisions: Sequence[tuple[str, str, str, str]]) -> None:
    """Raise a PlanError if one of (path, type, action, reason) is blocked, or if none is analog."""
    faults = [f"{path} ({type_}): {reason}" for path, type_, action, reason in decisions if action == BLOCKED]
    if faults:
        raise PlanError(list_faults("conversion plan", faults))
    if not any(action == ANALOG for _, _, action, _ in decisions):
        seen = [f"{path} ({type_}): {reason}" for path, type_, _, reason in decisions]
        message = f"the model has no weight that goes on a crossbar (known types: {analog_types()})"
        raise PlanError(list_faults(message, seen) if seen else message)


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
