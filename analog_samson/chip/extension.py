"""aihwkit's compiled extension, or a stand-in that lets the rest of aihwkit load.

All of aihwkit imports its extension at once, though only its compiled tiles compute with it. Under a torch that it was
not built for, the extension may be impossible to load (1.1.0 under torch 2.9: an undefined symbol). Noise models,
mapping and compensation are Python and torch, and the fast engine needs no more of aihwkit than these.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_EXTENSION = "aihwkit.simulator.rpu_base"


class _Missing:
    """Stands for any name of an extension that cannot be loaded; calling it is an error."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> "_Missing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ImportError(self._reason)


class _StandIn(ModuleType):
    """The extension's parts, none of which can be used; it says that it has no CUDA tiles."""

    def __init__(self, reason: str) -> None:
        super().__init__(_EXTENSION)
        self.tiles = self.devices = _Missing(reason)
        self.cuda = ModuleType(f"{_EXTENSION}.cuda")
        self.cuda.is_compiled = lambda: False  # type: ignore[attr-defined]


class _ExtensionLoader(Loader):
    """Loads the extension, or the stand-in where that fails."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        try:
            return self._loader.create_module(spec)
        except ImportError as error:
            return _StandIn(str(error).removeprefix(f"{error.path}: "))

    def exec_module(self, module: ModuleType) -> None:
        if not isinstance(module, _StandIn):
            self._loader.exec_module(module)


class ExtensionFinder(MetaPathFinder):
    """Finds the extension as Python does, and has it loaded by `_ExtensionLoader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python's import asks of every finder; None for all modules but this one."""
        if fullname != _EXTENSION:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, ExtensionFinder))
        spec = next((spec for one in others if (spec := one.find_spec(fullname, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ExtensionLoader(spec.loader)
        return spec


def install_finder() -> None:
    """Let the first import of the extension, whenever it comes, go through `ExtensionFinder`; loads nothing."""
    if not any(isinstance(finder, ExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ExtensionFinder())
