"""The generic Gaussian conductance model: every device is off by a relative error of strength sigma_c."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.batchnorm import adapted_statistics
from analog_samson.crossbar.materialize import with_plain_weights
from analog_samson.crossbar.plan import Placement, crossbar_placements
from analog_samson.crossbar.watch import Slot, exchanged
from analog_samson.errors import OptionError, list_faults
from analog_samson.renamed import renamed_keyword
from analog_samson.results.condition import ADABS, UNCALIBRATED, Condition
from analog_samson.results.memory import MemoryStore
from analog_samson.results.protocol import Store
from analog_samson.simulation.drift import DriftResult, Labelled, Progress, first_example, measure_cell
from analog_samson.tasks.evaluation import classification_of, data_faults
from analog_samson.tasks.task import Task

GAUSSIAN = "gaussian_joshi_2020"


@renamed_keyword("exclude", "keep_digital")
def sweep_conductance_noise(
    model: nn.Module,
    data: Labelled,
    *,
    sigmas: Sequence[float],
    instances: int,
    seed: int,
    task: Task | None = None,
    adabs: bool = False,
    calibration: Labelled | None = None,
    bf16: bool = False,
    keep_digital: Sequence[str] = (),
    label: str = "model",
    store: Store | None = None,
    progress: Progress = lambda text: None,
) -> DriftResult:
    """Accuracy under G = G_T * delta, delta ~ N(1, sigma_c^2) per device (SAMSON paper, eq. 7-8), for each sigma_c.

    The mapping to conductances is linear, so the weights of all crossbar layers are multiplied by delta; biases
    and other digital parameters are not. One instance draws one standard normal per device, for each layer from the
    stream of (seed, instance, path), and scales it by every sigma_c: neighbouring points differ by sigma_c alone.
    sigma_c = 0 draws nothing and is measured once. task: as in `simulate_drift`. `model` is put back exactly. Raises
    OptionError, and PlanError for layers of which nobody knows whether they go on a crossbar.

    >>> model, data = nn.Linear(2, 2, bias=False), [(torch.eye(2), torch.tensor([0, 1]))]
    >>> _ = nn.init.eye_(model.weight)
    >>> result = sweep_conductance_noise(model, data, sigmas=[0.0, 0.1], instances=2, seed=0)
    >>> [(r.sigma_c, r.instance, r.value) for r in result.records if r.metric == "accuracy_percent"]
    [(0.0, 0, 100.0), (0.1, 0, 100.0), (0.1, 1, 100.0)]
    """
    _check(sigmas, instances, adabs, data, calibration)
    task = classification_of(data) if task is None else task
    kept: Store = MemoryStore() if store is None else store
    if isinstance(kept, MemoryStore):
        kept.expect(label, GAUSSIAN, ("gaussian",))
    placements = crossbar_placements(model, keep_digital, example=first_example(model, data, task))
    model = with_plain_weights(model, [module for one in placements for module, _ in one.slots(model)])
    for instance, condition in _cells(sigmas, instances, adabs):
        if kept.has(instance, condition):
            continue
        assert condition.sigma_c is not None
        with _noisy(model, placements, condition.sigma_c, seed, instance), ExitStack() as stack:
            if condition.calibration == ADABS:
                assert calibration is not None
                stack.enter_context(adapted_statistics(model, calibration))
            cell = {"checkpoint": label, "preset": GAUSSIAN, "instance": instance}
            kept.commit(measure_cell(model, data, cell, condition, task, bf16=bf16))
        progress(f"sigma_c {condition.sigma_c:g}, instance {instance + 1} of {instances}")
    images = sum(len(labels) for _, labels in data)
    return DriftResult(tuple(r for r in kept.records() if r.stage == "gaussian"), images=images)


def _cells(sigmas: Sequence[float], instances: int, adabs: bool) -> Iterator[tuple[int, Condition]]:
    """Every instance under every condition; without noise all instances are the same one."""
    for instance in range(instances):
        for sigma in sigmas:
            for method in (UNCALIBRATED, ADABS) if adabs else (UNCALIBRATED,):
                if sigma > 0 or instance == 0:
                    yield instance, Condition(stage="gaussian", sigma_c=float(sigma), calibration=method)


@contextmanager
def _noisy(model: nn.Module, placements: Sequence[Placement], sigma: float, seed: int, instance: int) -> Iterator[None]:
    """Each weight times delta inside, the network's own after.

    The parameter is exchanged, not changed: an embedding may hold it too, digitally.
    """
    exchanges: list[tuple[Slot, Tensor]] = []
    for placement in placements:
        weight, draws = placement.parameter(model), rng.generator(seed, "gaussian", instance, placement.path)
        normal = torch.randn(weight.shape, generator=draws, dtype=weight.dtype)
        noisy = nn.Parameter(weight.detach() * (1 + sigma * normal.to(weight.device)), requires_grad=False)
        exchanges += [(slot, noisy) for slot in dict.fromkeys(placement.slots(model))]
    with exchanged(exchanges):
        yield


def _check(sigmas: Sequence[Any], instances: int, adabs: bool, data: Labelled, calibration: Labelled | None) -> None:
    faults = [f"sigmas: expected finite numbers of 0 or more, got {s}" for s in sigmas if not 0 <= s < float("inf")]
    if not sigmas:
        faults.append("sigmas: expected at least one sigma_c, got none")
    if instances < 1:
        faults.append(f"instances: expected 1 or more, got {instances}")
    if calibration is None and adabs:
        faults.append("calibration: AdaBS recomputes statistics on calibration batches, got none")
    faults += data_faults(data=data, calibration=calibration)
    if faults:
        raise OptionError(list_faults("sweep_conductance_noise", faults))
