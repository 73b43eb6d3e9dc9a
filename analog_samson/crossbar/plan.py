"""What will happen to every layer of a model, decided as data before anything is touched."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from analog_samson.crossbar.coverage import KEPT_DIGITAL, Coverage, plan_coverage, tiles_warning
from analog_samson.crossbar.macs import ForwardCount, count_forward
from analog_samson.crossbar.materialize import computed_by
from analog_samson.crossbar.matrices import digital_nature, weight_matrices
from analog_samson.crossbar.occupation import occupy
from analog_samson.crossbar.registry import analog_types, rule_of
from analog_samson.errors import PlanError, list_faults
from analog_samson.presets.schema import Preset, check_preset
from analog_samson.renamed import renamed_keyword

ANALOG, DIGITAL, BLOCKED = "analog", "digital", "blocked"
ROOT = "(model)"  # the path of a model that is itself one layer
_COLUMNS = ("path", "layer_type", "action", "rows", "columns", "tiles", "devices", "macs", "reason")


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One layer: what becomes of it and why; the sizes are those of its crossbar, 0 for a digital layer.

    `cells` counts the crossing points of all its tiles, `macs` its multiply-accumulates for one input sample,
    `matrix_weights` the weights that multiply activations, on tiles or not.
    """

    path: str
    layer_type: str
    action: str
    reason: str
    parameters: int
    matrix_weights: int = 0
    weights: int = 0
    rows: int = 0
    columns: int = 0
    tiles: int = 0
    cells: int = 0
    devices: int = 0
    macs: int = 0
    shared_with: str = ""


@dataclass(frozen=True, kw_only=True)
class HardwareSummary:
    """What a converted model occupies. `utilisation_percent` is used cells over cells of the tiles it needs.

    `macs` counts the whole forward, with the products between layers; 0 where the plan had no input shape.
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


@dataclass(frozen=True)
class ConversionPlan:
    """The rows of a conversion, in the order of ``model.named_modules()``; macs: of the whole forward, 0 if unknown."""

    rows: tuple[PlanRow, ...]
    preset: Preset
    keep_digital: tuple[str, ...] = field(default=())
    macs: int = 0

    def with_action(self, action: str) -> list[PlanRow]:
        return [row for row in self.rows if row.action == action]

    def check(self) -> None:
        """Raise a PlanError that lists every layer that cannot be converted."""
        _check_decisions([(row.path, row.layer_type, row.action, row.reason) for row in self.rows])

    def summary(self) -> HardwareSummary:
        """Totals over all layers; a layer under two names counts once."""
        rows = [row for row in self.rows if not row.shared_with]
        analog = [row for row in rows if row.action == ANALOG]
        weights, parameters = sum(r.weights for r in analog), sum(r.parameters for r in rows)
        coverage = self.coverage()
        analog_macs = sum(r.macs for r in self.rows if r.action == ANALOG)
        return HardwareSummary(
            tiles=sum(r.tiles for r in analog),
            devices=sum(r.devices for r in analog),
            utilisation_percent=_percent(weights, sum(r.cells for r in analog)),
            parameters=parameters,
            analog_parameters_percent=_percent(weights, parameters),
            macs=self.macs,
            analog_macs_percent=_percent(analog_macs, self.macs),
            matrix_weights=coverage.total,
            analog_matrix_weights_percent=coverage.percent,
        )

    def coverage(self) -> Coverage:
        """The matrix weights on tiles, and the layers whose matrices are left out; a layer under two names counts once.

        Returns:
            Counts of weights; `Coverage.is_low` where less than 90 % of them are on tiles.
        """
        return plan_coverage(self.records()) or Coverage(0, ())

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for a run folder."""
        return [asdict(row) for row in self.rows]

    def text(self) -> str:
        """The plan as an aligned table, with a warning below it where few matrix weights are on tiles."""
        cells = [_COLUMNS, *([str(getattr(row, name)) for name in _COLUMNS] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        warning = tiles_warning(self.coverage())
        return "\n".join([*lines, *(["", f"warning: {warning}"] if warning else [])])


@renamed_keyword("exclude", "keep_digital")
def plan_conversion(
    model: nn.Module, preset: Preset, *, keep_digital: Sequence[str] = (), input_shape: Sequence[int] | None = None
) -> ConversionPlan:
    """Decide for every layer of `model` whether it goes on analog tiles under `preset`. The model is not changed.

    keep_digital: paths of layers or of modules that hold them, or patterns such as ``layer1.*.conv2``, that stay
    digital; a layer under several names stays digital if one of them is given.
    input_shape: (C, H, W) of one sample; with it, one forward pass of zeros counts multiply-accumulates.
    Raises PlanError if a pattern fits no layer, or if the model cannot run on that shape.

    >>> from analog_samson import load_preset
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    >>> plan = plan_conversion(net, load_preset("ideal"), input_shape=(1, 8, 8))
    >>> [(row.path, row.action, row.rows, row.columns) for row in plan.rows]
    [('0', 'analog', 9, 4), ('1', 'digital', 0, 0), ('3', 'analog', 144, 10)]
    """
    check_preset(preset)
    _check_patterns(model, keep_digital)
    counted = count_forward(model, input_shape) if input_shape is not None else ForwardCount()
    first_path: dict[int, str] = {}
    rows = []
    decisions = _decisions(model, keep_digital)
    for path, module in _modules(model):
        row = _plan_layer(path, module, preset, decisions[module], first_path, counted)
        if row is not None:
            rows.append(row)
    macs = counted.total + _uncounted(model, counted)
    return ConversionPlan(tuple(rows), preset, tuple(keep_digital), macs)


def crossbar_paths(model: nn.Module, keep_digital: Sequence[str] = ()) -> list[str]:
    """The paths of all layers that go on a crossbar, each layer once; PlanError as `ConversionPlan.check` raises it."""
    _check_patterns(model, keep_digital)
    decisions = _decisions(model, keep_digital)
    paths = {module: path or ROOT for path, module in reversed(list(_modules(model)))}  # the first name of each
    _check_decisions([(paths[module], type(module).__name__, *decision) for module, decision in decisions.items()])
    return [paths[module] for module, (action, _) in decisions.items() if action == ANALOG]


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The layer at a plan's path."""
    return model if path == ROOT else model.get_submodule(path)


def _check_decisions(decisions: Sequence[tuple[str, str, str, str]]) -> None:
    """Raise a PlanError if one of (path, type, action, reason) is blocked, or if none is analog."""
    faults = [f"{path} ({type_}): {reason}" for path, type_, action, reason in decisions if action == BLOCKED]
    if faults:
        raise PlanError(list_faults("conversion plan", faults))
    if not any(action == ANALOG for _, _, action, _ in decisions):
        raise PlanError(f"the model has no layer that goes on a crossbar (known types: {analog_types()})")


def _plan_layer(
    path: str,
    module: nn.Module,
    preset: Preset,
    decision: tuple[str, str],
    first_path: dict[int, str],
    counted: ForwardCount,
) -> PlanRow | None:
    own = sum(p.numel() for p in module.parameters(recurse=isinstance(module, nn.MultiheadAttention)))
    if own == 0:
        return None
    action, reason = decision
    shared_with = first_path.setdefault(id(module), path)
    rule = rule_of(module)
    layout = rule.crossbar(module) if rule is not None else None
    sizes = occupy(layout, preset) if layout is not None and action == ANALOG else {}
    macs = counted.of(module, 0 if layout is None else layout.weights)
    return PlanRow(
        path=path or ROOT,
        layer_type=type(module).__name__,
        action=action,
        reason=reason,
        parameters=own,
        matrix_weights=layout.weights if layout else sum(matrix.numel() for matrix in _matrices(module)),
        macs=macs if shared_with == path else 0,
        shared_with=shared_with if shared_with != path else "",
        **sizes,
    )


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module under each of its paths; what is inside an attention layer belongs to that layer."""
    inside_attention: tuple[str, ...] = ()
    for path, module in model.named_modules(remove_duplicate=False):
        if any(path.startswith(f"{parent}.") for parent in inside_attention):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside_attention += (path,)
        yield path, module


def _decisions(model: nn.Module, keep_digital: Sequence[str]) -> dict[nn.Module, tuple[str, str]]:
    """Action and reason for every module, in the order of the model."""
    names: dict[nn.Module, list[str]] = {}
    for path, module in _modules(model):
        names.setdefault(module, []).append(path)
    return {module: _decide(paths, module, keep_digital) for module, paths in names.items()}


def _decide(paths: Sequence[str], module: nn.Module, keep_digital: Sequence[str]) -> tuple[str, str]:
    """Action and reason for a module that stands at these paths."""
    if any(_fits(path, pattern) for path in paths for pattern in keep_digital):
        return DIGITAL, KEPT_DIGITAL
    path, rule = paths[0], rule_of(module)
    if rule is not None:
        weight: Any = getattr(module, "weight", None)
        remedy = f"give keep_digital {path!r}"
        if not isinstance(weight, Tensor):
            return BLOCKED, f"it has no tensor `weight`; {remedy}"
        if weight.is_complex():
            return BLOCKED, f"its weights are complex, a crossbar holds real ones; {remedy}"
        if obstacle := rule.obstacle(module):
            return DIGITAL, obstacle
        if not isinstance(weight, nn.Parameter) and computed_by(module) is None:
            return BLOCKED, f"its weight is computed by unknown means in every forward; {remedy}"
        computed = computed_by(module)
        return ANALOG, f"holds the weight that {computed} gives" if computed else ""
    if isinstance(module, nn.MultiheadAttention):
        return DIGITAL, "its projections are read by a fused function, not called as layers"
    if not _matrices(module):
        return DIGITAL, f"{digital_nature(module)}: digital by nature"
    return DIGITAL, "no rule for this type: its weight matrix is computed digitally"


def _matrices(module: nn.Module) -> list[Tensor]:
    """The weight matrices of a row; an attention layer's row holds its projections too."""
    parts = module.modules() if isinstance(module, nn.MultiheadAttention) else [module]
    return [matrix for part in parts for matrix in weight_matrices(part).values()]


def _uncounted(model: nn.Module, counted: ForwardCount) -> int:
    """Multiply-accumulates of layers with a rule that the counter missed, since they are no products that it knows."""
    layers = [(module, rule) for module in model.modules() if (rule := rule_of(module)) and id(module) in counted.own]
    return sum(counted.of(layer, rule.crossbar(layer).weights) - counted.own[id(layer)] for layer, rule in layers)


def _fits(path: str, pattern: str) -> bool:
    """Whether a pattern names what is at `path`, or a module that holds it."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


def _check_patterns(model: nn.Module, keep_digital: Sequence[str]) -> None:
    paths = [path for path, _ in model.named_modules(remove_duplicate=False)]
    idle = [pattern for pattern in keep_digital if not any(fnmatchcase(path, pattern) for path in paths)]
    if idle:
        faults = [f"{pattern!r} fits no layer path" for pattern in idle]
        raise PlanError(list_faults("keep_digital", faults))


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
