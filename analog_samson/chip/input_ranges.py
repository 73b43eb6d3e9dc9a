"""Input ranges of the digital-to-analog converters, chosen once from data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from analog_samson.chip.choices import LEARNED, NO_SCALING, OUTPUT_ERROR, alpha_of, range_method, scaling_method
from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_sample import InputSample, watch_inputs
from analog_samson.chip.input_scaling import rescaled
from analog_samson.chip.matrix import matrices_of
from analog_samson.chip.range_contest import best_ranges
from analog_samson.chip.range_search import search_range
from analog_samson.crossbar.foreign import unwrapped
from analog_samson.crossbar.materialize import with_plain_weights
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.crossbar.use import Use
from analog_samson.errors import DataError, OptionError
from analog_samson.presets.schema import Converters, Preset
from analog_samson.runtime.renamed import renamed_keyword
from analog_samson.tasks.batch import Run, feed

EACH_VECTOR, ALL_VECTORS = (
    "of each vector",
    "of all vectors together",
)


def needs_calibration(hardware: Preset | ConversionPlan) -> bool:
    """Whether a preset, or one of the presets of a plan, has converters, whose input ranges data must set."""
    presets = [hardware] if isinstance(hardware, Preset) else hardware.presets
    return any(isinstance(preset.periphery, Converters) for preset in presets)


@renamed_keyword("exclude", "keep_digital")
def choose_input_ranges(
    model: nn.Module,
    preset: Preset,
    batches: Iterable[Any] | None,
    *,
    seed: int,
    method: str | Mapping[str, float] = OUTPUT_ERROR,
    scaling: str = NO_SCALING,
    keep_digital: Sequence[str] = (),
    plan: ConversionPlan | None = None,
    run: Run = feed,
) -> dict[str, InputRange]:
    """Choose the input range of every layer that goes on tiles under `preset`. `model` is not changed.

    "output_error" takes, for each layer by itself, the candidate with the smallest error of the layer's output: once
    that of the vectors one by one, relative to their size, and once that of all vectors together. Transformers, whose
    outputs are huge at a few tokens, need the first; some convolutional networks keep more with the second. Of the two
    sets of ranges that one is taken with which the outputs of the network are closer to the digital ones.

    Candidates are quantiles of the absolute inputs, 0.8 to 1, with each of several ADC ranges where the preset lets
    them be chosen. The output is that of the fast forward with everything the preset has (DAC, ADC, noise, IR drop),
    on one programmed draw of the layer's weights that drifted for a day, or to the end of the preset's validity if that
    is earlier. Every candidate meets the same draws. Where noise management scales each vector by its own maximum, the
    range only clips: the largest input is taken.

    "max" takes the largest input, "percentile:99.9" that percentile of the absolute inputs. "std" takes the preset's
    multiple of the standard deviation of the layer's inputs; inputs that are all equal count with their size. Rasch et
    al. 2023, the source of that multiple, only start from it and learn the ranges.

    Memory does not grow with the number of batches: of each layer, at most 4096 input vectors are kept.

    Args:
        model: The digital network, with its layers on one device; it runs on all batches, in eval mode.
        preset: A preset with converters.
        batches: Calibration batches: inputs alone, or with targets, which are not used.
        seed: Names the draws, which come from streams of their own: (seed, path of the layer).
        method: "output_error", "max", "percentile:P" or "std"; or the ranges by path, of which the rest is measured.
        scaling: "smooth:ALPHA" rescales inputs against weights (see `chip.input_scaling`); "none".
        keep_digital: Layers that stay digital, as for `convert`.
        plan: A plan made before, in the place of `keep_digital`.
        run: How the network is run on a batch.

    Returns:
        The ranges by path of the weight. A layer that no input reached, or that was given zeros only, has none.

    Raises:
        DataError: No input reached any layer.
        OptionError: The method or the scaling is unknown.
        PlanError: As `convert`.
    """
    if faults := _method_faults(method, scaling):
        raise OptionError("; ".join(faults))
    alpha = alpha_of(scaling_method(scaling))
    method = range_method(method) if isinstance(method, str) else method
    model = unwrapped(model)
    plan = plan_conversion(model, preset, keep_digital=keep_digital) if plan is None else plan
    plan.check()
    batches = list(batches or ()) if isinstance(batches, Iterator | None) else batches
    placements = tuple(one for one in plan.placements if needs_calibration(one.preset or preset))
    plain = with_plain_weights(model, [module for placement in placements for module, _ in placement.slots(model)])
    samples = {
        one.path: InputSample(one.layout.rows, one.parameter(plain).device, seed=seed, path=one.path)
        for one in placements
    }
    numbers = dict.fromkeys(samples, 0)

    def adding(path: str) -> Callable[[Use], None]:
        def add(use: Use) -> None:
            samples[path].add(use)
            numbers[path] += use.input.numel()

        return add

    watches = [(placement, adding(placement.path)) for placement in placements]
    count = watch_inputs(plain, watches, batches, run)
    if not any(len(sample.vectors) for sample in samples.values()):
        raise DataError("calibration: no images reached the layers; give at least one batch")
    divisions = {} if alpha is None else rescaled(plain, placements, samples, alpha)
    by_vector: dict[str, InputRange] = {}
    together: dict[str, InputRange] = {}
    for placement in placements:
        path = placement.path
        exponents, norm = divisions.get(path, ((), ""))
        placement = replace(placement, input_exponents=exponents)
        hardware = placement.preset or preset
        own = method if isinstance(method, str) else method[path]
        chosen = search_range(placement.parameter(plain), placement, samples.pop(path), hardware, own, seed)
        if chosen is not None:
            digital = -(-numbers[path] // count) if exponents and not norm else 0
            for ranges, one in zip((by_vector, together), chosen, strict=True):
                ranges[path] = replace(one, folded_into=norm, multiplications=digital)
    if by_vector == together:
        return by_vector
    best = best_ranges(model, plan, (by_vector, together), batches, seed=seed, run=run)
    criterion = EACH_VECTOR if best is by_vector else ALL_VECTORS
    return {path: replace(one, criterion=criterion) for path, one in best.items()}


def input_range_faults(
    hardware: Preset | ConversionPlan,
    calibration: Iterable[Any] | None,
    input_range: str | Mapping[str, float | InputRange],
    input_scaling: str,
) -> list[str]:
    """What is wrong with how the ranges of a network's converters are to be set."""
    if not isinstance(input_range, str):
        given = input_scaling != NO_SCALING
        return ["input_scaling: has no effect on given ranges; leave it out"] if given else []
    faults = _method_faults(input_range, input_scaling)
    if calibration is None and needs_calibration(hardware):
        presets = [hardware] if isinstance(hardware, Preset) else hardware.presets
        names = ", ".join(preset.name for preset in presets if needs_calibration(preset))
        faults.append(f"calibration: preset {names} sets its input ranges on calibration batches, got none")
    return faults


def _method_faults(method: str | Mapping[str, float], scaling: str) -> list[str]:
    faults = []
    for option, read, given in (("input_range", _trained_apart, method), ("input_scaling", scaling_method, scaling)):
        try:
            if isinstance(given, str):
                read(given)
        except OptionError as error:
            faults.append(f"{option}: {error}")
    if not isinstance(method, str) and scaling != NO_SCALING:
        faults.append("input_scaling: has no place before given or learned ranges; leave one of the two out")
    return faults


def _trained_apart(method: str) -> None:
    """Refuse what no calibration data can tell."""
    if range_method(method) == LEARNED:
        raise OptionError("learned ranges are those of a trained checkpoint; give them by path")


def set_input_ranges(network: nn.Module, ranges: Mapping[str, float | InputRange]) -> None:
    """Set the input ranges of a converted network's tiles, by layer path; other layers keep theirs.

    Raises OptionError for a range of inputs that are rescaled in another way than the network's.
    """
    for path, matrix in matrices_of(network).items():
        if path not in ranges:
            continue
        chosen = InputRange.of(ranges[path])
        if chosen.exponents != matrix.input_exponents:
            raise OptionError(
                f"{path}: the range is for inputs that are rescaled otherwise; convert with the plan that "
                "with_input_ranges returns for these ranges"
            )
        matrix.set_input_range(chosen.value, exact=chosen.exact)
