"""A network on hardware that can be programmed again and again: `SimulatedDevice`, and one of its chips."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from typing import Any

from torch import nn

from analog_samson import rng
from analog_samson.chip.calibration import calibrated
from analog_samson.chip.choices import NoiseDevice, ReadNoise
from analog_samson.chip.convert import mount
from analog_samson.chip.fold import Pairs, foldable, folded
from analog_samson.chip.input_range import InputRange, with_input_ranges
from analog_samson.chip.input_ranges import needs_calibration, set_input_ranges
from analog_samson.chip.matrix import TileMatrix
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.chip.weight_error import weight_error
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.errors import OptionError
from analog_samson.results.condition import AFFINE, DRIFT, Condition, calibration_parts
from analog_samson.runtime.devices import check_noise_device
from analog_samson.runtime.memory_format import call_in_channels_last, takes_channels_last
from analog_samson.tasks.batch import Run, feed

MANY_WEIGHTS = 2**25  # 128 MiB of float32: above, a chip's devices take too much memory to be kept


class SimulatedDevice:
    """Hardware for one network: tiles are built, input ranges set and foldable layers found, once.

    A network of more than `MANY_WEIGHTS` weights is simulated in little memory: the tiles refer to the weights of the
    digital network, which must not change, and are programmed weight by weight for each time. The chips are the same.

    Attributes:
        network: The network on the tiles. Use it inside `Chip.at`; outside, its weights are those of no chip.
        plan: What was put on tiles.

    >>> import torch
    >>> from analog_samson import load_preset, plan_conversion
    >>> model = nn.Linear(4, 2)
    >>> device = SimulatedDevice(model, plan_conversion(model, load_preset("pcm_nandakumar_2019")))
    >>> chip = device.program(seed=0, instance=0)
    >>> with chip.at(Condition(stage="drift", time_seconds=86400.0)) as network:
    ...     network(torch.ones(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        plan: ConversionPlan,
        *,
        calibration: Iterable[Any] | None = None,
        input_ranges: Mapping[str, float | InputRange] | None = None,
        engine: str = "fast",
        sample: Any = None,
        run: Run = feed,
        read_noise: ReadNoise = "per_condition",
        noise_device: NoiseDevice = "cpu",
    ) -> None:
        """Put the planned weights of `model` on tiles; `model` is not changed and nothing is drawn.

        Args:
            model: The digital network.
            plan: What goes on tiles, and under which preset.
            calibration: Batches for the calibration of a condition.
            input_ranges: The largest input of each layer with converters by its path, or all that was chosen with it.
            engine: "fast", or "aihwkit" for its own layers on the compiled tile.
            sample: A few inputs, on which folding batch norm is tried; None folds nothing.
            run: How the network is run on a batch of `calibration`.
            read_noise: When devices are read: once for each condition, or anew ("per_read") for drift compensation and
                for each pass through the network, of calibration and of the test.
            noise_device: Where device noise is drawn: "cpu", the same chips on every device, or "cuda", on the GPU of
                the network, whose chips are others.

        Raises:
            PlanError: The plan has blocked rows.
            OptionError: The preset has converters and no input range was given, or noise is drawn on a GPU for a
                network that is on none.
        """
        if needs_calibration(plan) and input_ranges is None:
            raise OptionError(f"input_ranges: preset {plan.preset.name} has converters, whose input ranges must be set")
        ranges = {path: InputRange.of(one) for path, one in (input_ranges or {}).items()}
        self.plan, self.calibration, self._run = with_input_ranges(plan, ranges), calibration, run
        self._read_noise = read_noise
        many = sum(placement.layout.weights for placement in plan.placements) > MANY_WEIGHTS
        self._mounted = mount(model, self.plan, engine, shared=many and read_noise == "per_condition")
        for matrix in self._mounted.matrices.values():
            if noise_device == "cuda":
                check_noise_device(noise_device, matrix.device)
                matrix.noise_device = matrix.device
        set_input_ranges(self.network, ranges)
        self._pairs: Pairs = {}
        if sample is not None and isinstance(self._mounted, CrossbarNetwork):
            self._pairs = foldable(model, sample)
            if takes_channels_last(model, sample):
                call_in_channels_last(self.network)
        self._current: Chip | None = None

    @property
    def network(self) -> Any:
        """The network on the tiles."""
        return self._mounted.network

    def program(self, seed: int, instance: int) -> "Chip":
        """Program a new chip, in the place of the one before.

        Each weight draws its programming noise and drift exponents from the stream of (seed, instance, path), so that
        other layers do not decide which devices a weight gets; its failed devices come from a stream of their own.
        """
        self._current = Chip(self, seed, instance)
        for path, matrix in self._mounted.matrices.items():
            if not matrix.shared:
                self._program(self._current, path, matrix)
        return self._current

    def moments(
        self, seed: int, instance: int, conditions: Iterable[Condition]
    ) -> Iterator[AbstractContextManager[Any]]:
        """Yield the context `Chip.at` of each condition, for a chip that is programmed at the first."""
        yield from map(self.program(seed, instance).at, conditions)

    def _program(self, chip: "Chip", path: str, matrix: TileMatrix) -> None:
        with rng.stream(chip.seed, "program", chip.instance, path):
            matrix.program(rng.generator(chip.seed, "faults", chip.instance, path, device=matrix.noise_device))

    def weight_error(self) -> float:
        """How far the weights on the tiles are from the ones asked for, see `chip.weight_error`."""
        return weight_error(self.network)

    @contextmanager
    def _aged(self, chip: "Chip", condition: Condition) -> Iterator[Any]:
        if chip is not self._current:
            raise OptionError("this chip was overwritten: the device has been programmed anew since")
        if condition.stage != DRIFT or condition.time_seconds is None:
            raise OptionError(f"a chip has no condition {condition}; give stage 'drift' and a time")
        method, at = calibration_parts(condition.calibration)
        time, stack = condition.time_seconds, ExitStack()
        with stack:
            if at is not None:
                self._enter(stack, chip, at)
                self._calibrate(stack, chip, at, method)
            self._enter(stack, chip, time)
            if at is None:
                self._calibrate(stack, chip, time, method)
            # The affine correction comes before batch norm, so that the two cannot be one.
            if isinstance(self._mounted, CrossbarNetwork) and method != AFFINE:
                stack.enter_context(folded(self._mounted, self._pairs))
            stack.enter_context(self._reading(chip, time, "test"))
            yield self.network

    def _enter(self, stack: ExitStack, chip: "Chip", time: float) -> None:
        """Let the chip be of this age, with streams of its own, also for a network that draws numbers itself."""
        draw = (chip.seed, "drift", chip.instance, time)
        stack.enter_context(rng.stream(*draw))
        for path, matrix in self._mounted.matrices.items():
            if matrix.shared:
                self._program(chip, path, matrix)
            with rng.stream(*draw, path):
                if time == 0:
                    matrix.rewind()
                elif self._read_noise == "per_read":
                    matrix.drift(time, rng.generator(*draw, path, "compensation", device=matrix.noise_device))
                else:
                    matrix.drift(time)
            if matrix.shared:
                matrix.release()
            self._mounted.refresh(path)
            matrix.converter_noise = rng.ContinuedStream(*draw, path, "converters", device=matrix.device)

    def _calibrate(self, stack: ExitStack, chip: "Chip", time: float, method: str) -> None:
        with self._reading(chip, time, "calibration"):
            stack.enter_context(calibrated(method, self.network, self.calibration, self._run))

    @contextmanager
    def _reading(self, chip: "Chip", time: float, purpose: str) -> Iterator[None]:
        """Within, each pass through the network reads the devices anew, where read noise is drawn for each reading."""
        if self._read_noise != "per_read" or time == 0:
            yield
            return
        draw, number = (chip.seed, "drift", chip.instance, time), count()

        def read(*_: Any) -> None:
            reading = next(number)
            for path, matrix in self._mounted.matrices.items():
                with rng.stream(*draw, path):  # what else is drawn at this time stays
                    stream = rng.generator(*draw, path, purpose, reading, device=matrix.noise_device)
                    matrix.read(time, stream)
                self._mounted.refresh(path)

        hook = self.network.register_forward_pre_hook(read)
        try:
            yield
        finally:
            hook.remove()


class Chip:
    """One programmed instance of a `SimulatedDevice`."""

    def __init__(self, device: SimulatedDevice, seed: int, instance: int) -> None:
        self._device, self.seed, self.instance = device, seed, instance

    def at(self, condition: Condition) -> Any:
        """Context: the network as this chip computes it under a condition, ages in any order.

        Read noise is drawn once for each time and weight, from the stream of (seed, instance, time, path), and holds
        while the context lasts: calibration and test see the same draw, unless the device reads anew in every pass.
        Converters draw in every forward, each weight's from a stream of its own; those of engine "aihwkit" follow no
        seed. A calibration of an earlier time adapts the network at that time, before the chip ages further.

        Args:
            condition: A stage "drift" with its time [s], with or without calibration.

        Raises:
            OptionError: The device was programmed anew, or has no calibration batches where the condition needs them.
        """
        return self._device._aged(self, condition)
