"""Finding experiments by name or file, and the networks of one that are those of another."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analog_samson.errors import OptionError, did_you_mean, list_faults
from analog_samson.experiments.check import cross_faults
from analog_samson.experiments.schema import Experiment, Method, OwnNetworks, Scale, Setting, SharedNetworks
from analog_samson.models.own_code import MODEL_LIBRARIES, code_fault, is_code
from analog_samson.presets.faults import describe_faults
from analog_samson.runtime.older_python import Traversable
from analog_samson.runtime.plain_values import parse_toml

PACKAGE = "analog_samson.experiments"


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks that an experiment shows; `home` is the experiment that describes them, perhaps another one."""

    home: Experiment
    own: OwnNetworks
    methods: tuple[Method, ...]
    settings: tuple[Setting, ...]
    shared: bool = False

    def scale(self, name: str) -> Scale:
        """The scale of that name; OptionError lists the known ones."""
        if name not in self.own.scales:
            known = ", ".join(self.own.scales)
            raise OptionError(f"scale {name!r}: {self.home.name} has {known}{did_you_mean(name, self.own.scales)}")
        return self.own.scales[name]


def list_experiments() -> list[Experiment]:
    """All experiments that come with the package: tables, figures, then others, each by number."""
    return [load_experiment(name) for name in experiment_names()]


def experiment_names() -> list[str]:
    """Their names, in that order.

    >>> experiment_names()[:4]
    ['table1', 'table2', 'table3', 'fig1']
    """
    files = resources.files(PACKAGE).iterdir()
    return sorted((file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")), key=_rank)


def load_experiment(name_or_path: str | Path, trusted: Collection[str] = ()) -> Experiment:
    """The experiment of that name, or the one in that .toml file; OptionError with all faults at once.

    Args:
        trusted: Code (package.module:callable) that may be run if the file names it as a network.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return parse_experiment(_read(path, str(path)), str(path), trusted)
    known = experiment_names()
    if name_or_path not in known:
        hint = did_you_mean(name_or_path, known) or f"; known are {', '.join(known)}"
        raise OptionError(f"experiment {name_or_path!r}: no such experiment{hint}; a file's name ends in .toml")
    file = resources.files(PACKAGE) / f"{name_or_path}.toml"
    return parse_experiment(_read(file, file.name), file.name)


def parse_experiment(mapping: Mapping[str, Any], where: str, trusted: Collection[str] = ()) -> Experiment:
    """The experiment in parsed TOML; raises OptionError with every fault. trusted: see `load_experiment`."""
    try:
        experiment = Experiment.model_validate(dict(mapping))
    except ValidationError as error:
        raise OptionError(list_faults(where, describe_faults(error, Experiment))) from None
    faults = cross_faults(experiment)
    if faults:
        raise OptionError(list_faults(where, faults))
    _refuse_code(experiment, where, trusted)
    return experiment


def _refuse_code(experiment: Experiment, where: str, trusted: Collection[str]) -> None:
    """Raise OptionError where networks are code that the user did not name as well."""
    settings = experiment.networks.settings if isinstance(experiment.networks, OwnNetworks) else ()
    untrusted = {
        f"networks.settings[{place}].network": setting.network
        for place, setting in enumerate(settings)
        if is_code(setting.network, MODEL_LIBRARIES) and setting.network not in trusted
    }
    if untrusted:
        faults = list_faults(where, [code_fault(entry, name) for entry, name in untrusted.items()])
        again = " ".join(f"--trust {name}" for name in dict.fromkeys(untrusted.values()))
        raise OptionError(f"{faults}\n  if you trust that code, name it yourself: {again}")


def networks_of(experiment: Experiment) -> Networks:
    """The networks to train and show; OptionError where a shared name is not in the other experiment."""
    networks = experiment.networks
    if isinstance(networks, OwnNetworks):
        return Networks(home=experiment, own=networks, methods=networks.methods, settings=networks.settings)
    if not isinstance(networks, SharedNetworks):
        raise OptionError(f"{experiment.name}: trains no network")
    home = load_experiment(networks.of)
    if not isinstance(home.networks, OwnNetworks):
        raise OptionError(f"{experiment.name}: networks.of: {home.name} has no networks of its own")
    methods = {method.name: method for method in home.networks.methods}
    settings = {setting.name: setting for setting in home.networks.settings}
    faults = [
        f"networks.{what}: {home.name} has no {name!r}{did_you_mean(name, known)}"
        for what, names, known in (("methods", networks.methods, methods), ("settings", networks.settings, settings))
        for name in names
        if name not in known
    ]
    if faults:
        raise OptionError(list_faults(experiment.name, faults))
    return Networks(
        home=home,
        own=home.networks,
        methods=tuple(methods[name] for name in networks.methods),
        settings=tuple(settings[name] for name in networks.settings),
        shared=True,
    )


def _rank(name: str) -> tuple[int, int, str]:
    """Tables, figures, others; fig10 after fig9."""
    kind, number = re.fullmatch(r"([a-z_]*)(\d*).*", name).groups()  # type: ignore[union-attr]
    return ("table", "fig").index(kind) if kind in ("table", "fig") else 2, int(number or 0), name


def _read(file: Traversable, where: str) -> dict[str, Any]:
    try:
        return parse_toml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"{where}: no such file; `analog-samson reproduce --list` shows all names") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"{where}: cannot be read as TOML ({error})") from None
