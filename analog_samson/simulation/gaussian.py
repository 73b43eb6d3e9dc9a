"""The generic Gaussian conductance model: every device is off by a relative error of strength sigma_c."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.calibration import calibrated, for_generic_noise
from analog_samson.chip.choices import NoiseDevice
from analog_samson.crossbar.materialize import with_plain_weights
from analog_samson.crossbar.plan import Placement, crossbar_placements
from analog_samson.crossbar.watch import Slot, exchanged
from analog_samson.errors import OptionError, list_faults
from analog_samson.results.condition import ADABS, GAUSSIAN, Condition
from analog_samson.results.memory import kept_in
from analog_samson.results.protocol import Store
from analog_samson.runtime.devices import check_noise_device
from analog_samson.runtime.renamed import renamed_keyword
from analog_samson.simulation.adaptive import Images, sample_scores
from analog_samson.simulation.cells import Cells, calibrations
from analog_samson.simulation.drift import Progress, calibration_faults, check_calibrations, first_example
from analog_samson.simulation.result import SimulationResult
from analog_samson.tasks.evaluation import classification_of, data_faults
from analog_samson.tasks.task import Task

GENERIC = "generic_gaussian"  # what records have in the place of a preset; runs of 0.1 have gaussian_joshi_2020


@renamed_keyword("exclude", "keep_digital")
def sweep_conductance_noise(
    model: nn.Module,
    data: Iterable[Any],
    *,
    sigmas: Sequence[float],
    instances: int,
    seed: int,
    task: Task | None = None,
    calibrate: Sequence[str] = (),
    adabs: bool = False,
    calibration: Iterable[Any] | None = None,
    bf16: bool = False,
    keep_digital: Sequence[str] = (),
    on_chip: Sequence[str] = (),
    noise_device: NoiseDevice = "cpu",
    images: Images = "all",
    label: str = "model",
    store: Store | None = None,
    progress: Progress = lambda text: None,
) -> SimulationResult:
    """Quality under G = G_T * delta, delta ~ N(1, sigma_c^2) per device (SAMSON paper, eq. 7-8), for each sigma_c.

    The mapping to conductances is linear, so the weights of all crossbar layers are multiplied by delta; biases and
    other digital parameters are not. One instance draws one standard normal per device, for each layer from the stream
    of (seed, instance, path), and scales it by every sigma_c: neighbouring points differ by sigma_c alone. sigma_c = 0
    draws nothing and is measured once.

    Args:
        model: The digital network; it is put back exactly.
        data: Batches of the task that can be iterated more than once.
        sigmas: Relative conductance errors.
        instances: How many draws for each.
        seed: Names all draws.
        task, calibrate, adabs, calibration, bf16, keep_digital, label, store, progress: As in `simulate_drift`.
        on_chip: As in `plan_conversion`.
        noise_device: As in `SimulatedDevice`.
        images: As in `simulate_drift`; what a drift study of the store chose holds here too.

    Returns:
        The records of every draw, with the label "generic_gaussian" in the place of a preset.

    Raises:
        OptionError: With every option that is wrong.
        PlanError: Nobody knows of a layer whether it goes on a crossbar.

    >>> model, data = nn.Linear(2, 2, bias=False), [(torch.eye(2), torch.tensor([0, 1]))]
    >>> _ = nn.init.eye_(model.weight)
    >>> result = sweep_conductance_noise(model, data, sigmas=[0.0, 0.1], instances=2, seed=0)
    >>> [(r.sigma_c, r.instance, r.value) for r in result.records if r.metric == "accuracy_percent"]
    [(0.0, 0, 100.0), (0.1, 0, 100.0), (0.1, 1, 100.0)]
    """
    calibrate = calibrations((*((ADABS,) if adabs else ()), *calibrate))
    faults = [f"sigmas: expected finite numbers of 0 or more, got {s}" for s in sigmas if not 0 <= s < float("inf")]
    if not sigmas:
        faults.append("sigmas: expected at least one sigma_c, got none")
    if instances < 1:
        faults.append(f"instances: expected 1 or more, got {instances}")
    faults += [
        f"calibrate: {name} corrects the tiles of a chip, not the generic Gaussian model; leave it out"
        for name in calibrate
        if name not in for_generic_noise(calibrate)
    ]
    faults += calibration_faults(calibrate, calibration) + data_faults(data=data, calibration=calibration)
    if faults:
        raise OptionError(list_faults("sweep_conductance_noise", faults))
    check_calibrations(model, calibrate)
    task = classification_of(data) if task is None else task
    scores, kept = sample_scores(images, task), kept_in(store, label, GENERIC, (GAUSSIAN,))
    placements = crossbar_placements(model, keep_digital, on_chip=on_chip, example=first_example(model, data, task))
    model = with_plain_weights(model, [module for one in placements for module, _ in one.slots(model)])
    cells = Cells(store=kept, data=data, task=task, checkpoint=label, preset=GENERIC, bf16=bf16)

    @contextmanager
    def noisy(condition: Condition, instance: int = 0) -> Iterator[nn.Module]:
        with (
            noisy_weights(model, placements, condition.sigma_c or 0.0, seed, instance, noise_device),
            calibrated(condition.calibration, model, calibration, task.run),
        ):
            yield model

    pilot = [Condition(stage=GAUSSIAN, sigma_c=float(s), calibration=each) for s in sigmas for each in calibrate]
    cells.choose_images(model, scores, map(noisy, pilot), seed, instances)
    for instance in range(instances):
        # Without noise all instances are the same one.
        strengths = [float(sigma) for sigma in sigmas if sigma > 0 or instance == 0]
        conditions = [Condition(stage=GAUSSIAN, sigma_c=s, calibration=each) for s in strengths for each in calibrate]
        for condition in cells.missing(instance, conditions):
            with noisy(condition, instance):
                cells.keep(cells.measure(model, instance, condition))
            progress(f"sigma_c {condition.sigma_c:g}, instance {instance + 1} of {instances}")
    return SimulationResult(
        records=tuple(record for record in kept.records() if record.stage == GAUSSIAN),
        seed=seed,
        samples=cells.samples,
        images=cells.sample,
        metrics=task.metrics,
        packed=cells.kept([GAUSSIAN]),
    )


@contextmanager
def noisy_weights(
    model: nn.Module,
    placements: Sequence[Placement],
    sigma: float,
    seed: int,
    instance: int,
    noise_device: NoiseDevice = "cpu",
) -> Iterator[None]:
    """Each weight times delta inside, the network's own after.

    The parameter is exchanged, not changed: an embedding may hold it too, digitally.
    """
    exchanges: list[tuple[Slot, Tensor]] = []
    for placement in placements:
        weight = placement.parameter(model)
        check_noise_device(noise_device, weight.device)
        place = weight.device if noise_device == "cuda" else "cpu"
        draws = rng.generator(seed, "gaussian", instance, placement.path, device=place)
        normal = torch.randn(weight.shape, generator=draws, dtype=weight.dtype, device=place)
        noisy = nn.Parameter(weight.detach() * (1 + sigma * normal.to(weight.device)), requires_grad=False)
        exchanges += [(slot, noisy) for slot in dict.fromkeys(placement.slots(model))]
    with exchanged(exchanges):
        yield
