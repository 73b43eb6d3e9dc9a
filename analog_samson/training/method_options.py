"""The options of a training that choose the method, and those that only some methods have."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from torch import nn

from analog_samson.errors import OptionError, did_you_mean
from analog_samson.options import Options, Shown, Written
from analog_samson.sharpness.methods import SGD, find_method, import_method, make_perturbation, training_methods
from analog_samson.sharpness.perturb import Ascent, plan_ascent
from analog_samson.sharpness.perturbations import Perturbation, RandomPerturbation, WorstCase
from analog_samson.sharpness.selection import SelectionName, find_selection, selection_name

METHOD = "Method"
Size = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]
Part = Annotated[float | None, Field(gt=0, le=1)]
_OF_METHODS = ("rho", "p", "eta", "sigma")  # options of a perturbation that have a field here


def _method(text: str) -> str:
    name, known = import_method(text), training_methods()
    if name not in known:
        raise OptionError(f"expected one of {', '.join(known)}, got {text!r}{did_you_mean(text, known)}")
    return name


TrainMethod = Annotated[
    str,
    Field(description="sgd, sam, asam, samson, rwp (random weight perturbation) or package.module:Class."),
    Written(_method, metavar="METHOD"),
    Shown(panel=METHOD),
]


class MethodOptions(Options):
    """Which method trains, as a name with options or as one object; None takes the method's default."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    method: TrainMethod = SGD
    perturbation: Annotated[
        Perturbation | None,
        Field(exclude=True, description="The method as an object, in the place of its name and options; Python only."),
    ] = None
    rho: Annotated[
        Size,
        Field(description="Radius of the neighbourhood, dimensionless (sam, rwp: in units of the weights)."),
        Shown(panel=METHOD, default="sam 0.05, asam and samson 0.5, rwp by --sigma"),
    ] = None
    p: Annotated[
        float | None,
        Field(ge=1, description="Norm of SAMSON: a number of 1 or more, or inf."),
        Shown(panel=METHOD, default="inf"),
    ] = None
    eta: Annotated[
        Size,
        Field(description="Added to |w| in the scale of ASAM and SAMSON, in units of the weights."),
        Shown(panel=METHOD, default="by --selection"),
    ] = None
    selection: Annotated[
        SelectionName | None,
        BeforeValidator(selection_name),
        Field(description="What is perturbed."),
        Shown(panel=METHOD, default="weights_only"),
    ] = None
    sigma: Annotated[
        Size,
        Field(description="RWP: standard deviation of each weight's step, in units of the weights."),
        Shown(panel=METHOD, default="0.01"),
    ] = None
    perturbed_share: Annotated[
        Part,
        Field(
            description="RWP: weight of the perturbed gradient; below 1 the rest is the clean one, for a second pass."
        ),
        Shown(panel=METHOD, default="1"),
    ] = None
    ramp_epochs: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Epochs in which rho or sigma grows linearly from 0 to its full size.",
        ),
        Shown(panel=METHOD, default="off"),
    ] = None
    ascent_every: Annotated[
        int | None,
        Field(ge=1, description="Compute an ascent step in every k-th step only; the steps between reuse it."),
        Shown(panel=METHOD, default="1"),
    ] = None
    ascent_fraction: Annotated[
        Part,
        Field(description="Compute the ascent gradient on this part of each batch."),
        Shown(panel=METHOD, default="1"),
    ] = None
    ascent_sync: Annotated[
        bool,
        Field(description="torchrun: compute the ascent gradient on the global batch instead of the local shard."),
        Shown(panel=METHOD, flags=("--ascent-sync",)),
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _name_of_perturbation(cls, values: Any) -> Any:
        given = values.get("perturbation") if isinstance(values, dict) else None
        return {"method": given.name, **values} if isinstance(given, Perturbation) else values

    def problems(self) -> Iterator[str]:
        yield from self._without_effect()
        yield from self._of_perturbation()
        yield from super().problems()

    def effective_perturbation(self) -> Perturbation | None:
        """The method with its defaults filled in; None for training at the weights themselves."""
        if self.method == SGD:
            return None
        given = {name: getattr(self, name) for name in _OF_METHODS}
        perturbation = self.perturbation or make_perturbation(self.method, **given)
        return perturbation.filled(find_selection(self.selected).eta)

    def ascent(self, model: nn.Module) -> Ascent | None:
        """What is perturbed along the gradient; None for the methods that do not."""
        perturbation = self.effective_perturbation()
        if not isinstance(perturbation, WorstCase):
            return None
        return plan_ascent(model, perturbation=perturbation, selection=self.selected)

    @property
    def selected(self) -> SelectionName:
        """The selection mode, filled in."""
        return self.selection or "weights_only"

    @property
    def moves_weights_only(self) -> bool:
        """Whether weights on the crossbar, and no others, are perturbed."""
        return self.method != SGD and self.selected == "weights_only"

    def ramp(self, now: float) -> float:
        """The share of its full size that a perturbation has, `now` in epochs since the start.

        >>> [MethodOptions(method="samson", ramp_epochs=4).ramp(now) for now in (0, 1, 4, 9)]
        [0.0, 0.25, 1.0, 1.0]
        """
        return 1.0 if self.ramp_epochs is None else min(now / self.ramp_epochs, 1.0)

    def resolved_method(self) -> dict[str, Any]:
        """The options of the method as plain values, with its defaults; empty for training without perturbation.

        An option that has no field here is stored as METHOD_OPTION.
        """
        perturbation = self.effective_perturbation()
        if perturbation is None:
            return {}
        options = perturbation.options().items()
        values: dict[str, Any] = {
            name if name in _OF_METHODS else f"{self.method}_{name}": value for name, value in options
        }
        values |= {"selection": self.selected}
        if isinstance(perturbation, WorstCase):
            values |= {"ascent_every": self.ascent_every or 1, "ascent_fraction": self.ascent_fraction or 1.0}
        if isinstance(perturbation, RandomPerturbation):
            values |= {"perturbed_share": self.perturbed_share or 1.0}
        return values

    def _without_effect(self) -> Iterator[str]:
        """Options that do nothing under the method."""
        kind = None if self.method == SGD else find_method(self.method)
        taken = {"method", "perturbation"}
        if kind is not None:
            taken |= {*kind.option_names(), "selection", "ramp_epochs"}
            taken |= {"ascent_every", "ascent_fraction", "ascent_sync"} if issubclass(kind, WorstCase) else set()
            taken |= {"perturbed_share"} if issubclass(kind, RandomPerturbation) else set()
        for name in MethodOptions.model_fields:
            if name not in taken and getattr(self, name) is not None and getattr(self, name) is not False:
                yield f"{name}: has no effect with method {self.method}; leave it out or choose another method"

    def _of_perturbation(self) -> Iterator[str]:
        """Options that the method refuses, or that contradict a perturbation given as an object."""
        if self.perturbation is not None:
            if self.method != self.perturbation.name:
                yield f"method: got {self.method} beside a perturbation of {self.perturbation.name}; give one of them"
            beside = [name for name in _OF_METHODS if getattr(self, name) is not None]
            if beside:
                yield f"{', '.join(beside)}: the perturbation has options of its own; leave these out"
            return
        try:
            self.effective_perturbation()
        except OptionError as error:
            yield from (line.strip() for line in str(error).splitlines()[1:])
