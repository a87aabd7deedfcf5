"""What plugins yield from their hooks: frozen facts, nothing that imports torch.

``target`` is a dotted path as a string; the host imports it on first use only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Facts common to every declaration."""

    base: ClassVar[str] = ""
    """Dotted path of the abstract class that targets derive from; empty: they are functions or modules."""

    name: str
    """Python identifier that users write, unique per kind, e.g. ``ZBL``."""

    target: str
    """Dotted path of the class or function, e.g. ``equipot_zbl.ZBL``."""

    summary: str
    """One line for listings."""

    deprecated: str = ""
    """If the name is on its way out: what to use instead, and the version that removes it."""

    def __post_init__(self) -> None:
        """Check what the host relies on.

        Raises:
            ValueError: If the name is not an identifier or the target not a dotted path.
        """
        if not self.name.isidentifier():
            raise ValueError(f"{type(self).__name__}.name: not a Python identifier, got {self.name!r}")
        self._check_path("target")

    def _check_path(self, field: str) -> None:
        path = getattr(self, field)
        if "." not in path or not all(part.isidentifier() for part in path.split(".")):
            raise ValueError(
                f"{type(self).__name__}.{field}: not a dotted path, got {path!r}; write 'package.module.Name'"
            )


@dataclass(frozen=True, kw_only=True)
class ModelBuilderEntry(Entry):
    """Declares a subclass of ``equipot.model.ModelBuilder``."""

    base = "equipot.model.ModelBuilder"


@dataclass(frozen=True, kw_only=True)
class PairPotentialEntry(Entry):
    """Declares a subclass of ``equipot.model.PairPotential``."""

    base = "equipot.model.PairPotential"


@dataclass(frozen=True, kw_only=True)
class EnergyTermEntry(Entry):
    """Declares a subclass of ``equipot.model.EnergyTerm`` that is not a pair potential."""

    base = "equipot.model.EnergyTerm"


@dataclass(frozen=True, kw_only=True)
class StatsManagerEntry(Entry):
    """Declares a subclass of ``equipot.data.StatsManager``."""

    base = "equipot.data.StatsManager"


@dataclass(frozen=True, kw_only=True)
class ModifierEntry(Entry):
    """Declares a function ``(model, *, option: type = default) -> model``."""

    persistent: bool
    """True: changes what the model is and is stored with it. False: a hint, skipped if missing."""

    exact_without: bool = False
    """Of a persistent one that only approximates: where its plugin is missing, a stored model is used without
    it, hence exactly; results then differ by the deviations stored with the model."""

    provides: tuple[str, ...] = ()
    """Output fields the modified model gains, e.g. ``("forces", "stress", "virial")``."""

    devices: tuple[str, ...] = ()
    """Device types it works on, e.g. ``("cpu",)``; empty: all."""

    compile_modes: tuple[str, ...] = ()
    """Compile modes it works with, e.g. ``("aotinductor",)``; empty: all."""

    kernel_loader: str = ""
    """Of one whose modules run on kernels: dotted path of a function ``(specs: list[dict]) -> None`` that makes
    these known to torch. It is called before a compiled model that names them is loaded; the specs come from a
    file, so it checks them. Empty: there are none."""

    def __post_init__(self) -> None:
        """Check what the host relies on.

        Raises:
            ValueError: If the name is not an identifier, a path not a dotted path, or facts contradict each other.
        """
        super().__post_init__()
        if self.exact_without and not self.persistent:
            raise ValueError(f"{type(self).__name__}.exact_without: only a persistent modifier is stored, got True")
        if self.kernel_loader:
            self._check_path("kernel_loader")


@dataclass(frozen=True, kw_only=True)
class TargetAliasEntry(Entry):
    """Declares what a name in configs of another program stands for, so that those configs run here.

    A config is translated before it is checked: checkpoints and packages hold the names of equipot
    only. An alias gives no right: the target must be one that a config may name by itself.
    """

    name: str
    """Dotted path of a ``_target_``, name of a resolver or root key, as ``form`` says."""

    target: str = ""
    """What to take: a ``_target_`` of equipot or a plugin, or the function of a resolver; empty: see ``instead``."""

    form: Literal["target", "resolver", "section"] = "target"
    """``target``: a ``_target_``. ``resolver``: ``${name:…}``. ``section``: a root key, taken out of the config."""

    options: str = ""
    """Dotted path of a function ``(node: dict) -> dict`` that translates a node with its ``_target_`` (or a section),
    interpolations unresolved; it may put another ``_target_`` in, and raises ``ConfigError`` with one problem an
    option that it cannot translate. Empty: the options are the same."""

    instead: str = ""
    """What to use where there is no counterpart; then ``target`` is empty, and a config with the name is refused."""

    def __post_init__(self) -> None:
        """Check what the host relies on.

        Raises:
            ValueError: On names of core's own, malformed paths, or neither or both of target and instead.
        """
        where = type(self).__name__
        if self.form not in ("target", "resolver", "section"):
            raise ValueError(f"{where}.form: unknown, got {self.form!r}; 'target', 'resolver' or 'section'")
        if self.form == "target":
            self._check_path("name")
        elif not self.name.isidentifier():
            raise ValueError(f"{where}.name: not a Python identifier, got {self.name!r}")
        if self.name.split(".")[0].startswith("equipot"):
            raise ValueError(f"{where}.name: equipot's own names have no aliases, got {self.name!r}")
        if self.form != "section" and bool(self.target) == bool(self.instead):
            raise ValueError(f"{where}.target: give either target or instead, got {self.target!r} and {self.instead!r}")
        for field in ("target", "options"):
            if getattr(self, field):
                self._check_path(field)


@dataclass(frozen=True, kw_only=True)
class CommandEntry(Entry):
    """Declares a subcommand ``equipot NAME …``: a ``click.Command``.

    Listing and completing commands uses name and summary only; the command is imported when it is called. What its
    function returns is the exit code, None counts as 0; an ``equipot.errors.EquipotError`` that it raises is printed as
    ``error: …`` and the exit code is 2. ``equipot.commands`` has options with several values.
    """

    name: str
    """What users type: lower-case words joined by hyphens, e.g. ``import-nequip``; ``plugins NAME`` is a command of
    the group ``equipot plugins``."""

    target: str
    """Dotted path of the ``click.Command`` object, e.g. ``equipot_from_nequip._command.command``."""

    def __post_init__(self) -> None:
        """Check what the host relies on.

        Raises:
            ValueError: If the name cannot be typed as a command or the target is not a dotted path.
        """
        if not re.fullmatch(r"[a-z][a-z0-9]*([- ][a-z0-9]+)*", self.name):
            raise ValueError(f"{type(self).__name__}.name: not lower-case words joined by hyphens, got {self.name!r}")
        self._check_path("target")
