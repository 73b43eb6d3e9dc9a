"""Variants of a run that tell what becomes of the inputs of its converters."""

from functools import partial
from typing import Any

from analog_samson.analysis.error_budget import FIRST_LAYER, ONLY, REMEDY, WITHOUT
from analog_samson.chip.choices import NO_SCALING, SMOOTH, scaling_method
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.presets.ablation import CLIPPING, INPUT_RANGE, can_take_exact_inputs, clips, effects, only
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.variants import Variant, all_names, alone_label, analog_layers, digital_macs_percent


def input_variants(plan: ConversionPlan, options: SimulateOptions) -> list[Variant]:
    """What clipping and rounding at the input ranges cost together, and what the first layer does, taken away or alone.

    Alone, both are measured from the digital network. Rescaled inputs are a remedy. None without converters.
    """
    converters = [preset for preset in plan.presets if clips(preset)]
    if not converters:
        return []
    given: dict[str, Any] = {"preset": plan.preset, "keep_digital": options.keep_digital}
    alone = "DAC" if any("DAC" in effects(preset) for preset in converters) else CLIPPING
    found = [
        Variant(
            label=f"{ONLY} {alone}",
            kind=ONLY,
            subject=INPUT_RANGE,
            **given | {"preset": only(plan.preset, alone)},
            change=partial(only, effect=alone),
        )
    ]
    if all(map(can_take_exact_inputs, converters)):
        found.append(
            Variant(label=f"{WITHOUT} {INPUT_RANGE}", kind=WITHOUT, subject=INPUT_RANGE, exact_inputs=True, **given)
        )
    if options.engine == "fast" and options.input_scaling == NO_SCALING:
        scaling = scaling_method(SMOOTH)
        found.append(
            Variant(
                label=f"rescaled {scaling}",
                kind=REMEDY,
                subject=f"inputs rescaled digitally ({scaling})",
                input_scaling=scaling,
                facts={"digital_macs_percent": digital_macs_percent(plan, ())},
                **given,
            )
        )
    layers = analog_layers(plan)
    for row in layers if len(layers) > 1 else ():
        if row.first:
            subject = f"{FIRST_LAYER} ({row.path})"
            others = all_names(plan, [other.path for other in layers if other is not row])
            for kind, label, kept in (
                (ONLY, alone_label(row), others),
                (WITHOUT, f"{WITHOUT} {FIRST_LAYER}", all_names(plan, [row.path])),
            ):
                digital = (*options.keep_digital, *kept)
                found.append(Variant(label=label, kind=kind, subject=subject, **given | {"keep_digital": digital}))
    return found
