"""The declarations that plugins yield from their hooks.

They are frozen and do not import torch: a ``target`` is a dotted path, which the host imports on first use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

PerWhat = Literal["frame", "atom", "edge"]
"""What a data field has one row for."""

FieldDtype = Literal["float64", "model_dtype", "int64", "bool"]
"""Type of the numbers of a data field."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Base of all declarations."""

    base: ClassVar[str] = ""
    """Dotted path of the abstract class that targets derive from; empty if there is none."""

    name: str
    """Name that users write, e.g. ``ZBL``: a Python identifier, unique among those of its kind."""

    target: str
    """Dotted path of the class or function, e.g. ``equipot_zbl.ZBL``."""

    summary: str
    """One line for lists of components."""

    deprecated: str = ""
    """For a name that will be removed: what to use instead, and the version that removes it."""

    def __post_init__(self) -> None:
        """Raise a ValueError if the name is not an identifier or the target not a dotted path."""
        if not self.name.isidentifier():
            raise ValueError(f"{type(self).__name__}.name: not a Python identifier, got {self.name!r}")
        self._check_path("target")

    def _check_path(self, field: str) -> None:
        path = getattr(self, field)
        if "." not in path or not all(part.isidentifier() for part in path.split(".")):
            where = f"{type(self).__name__}.{field}"
            raise ValueError(f"{where}: not a dotted path, got {path!r}; write 'package.module.Name'")


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
    """Whether it changes the model's results and is stored with it; else it is a hint, ignored if missing."""

    exact_without: bool = False
    """For a persistent modifier that only approximates: a stored model may be used without it, that is exactly,
    where its plugin is missing. The results then differ by the deviations stored with the model."""

    automatic: bool = False
    """Whether training, evaluation, the ASE calculator and ``equipot compile`` apply it without being asked, on its
    ``devices``. Only for a modifier that is not persistent, needs no options and keeps every result up to rounding. It
    raises a ``ConfigError`` for a model it has nothing for, which is then left alone without a word, and an
    ``equipot.errors.UnavailableError`` where this machine lacks something, which one line says."""

    provides: tuple[str, ...] = ()
    """Output fields that it adds to the model, e.g. ``("forces", "stress", "virial")``."""

    devices: tuple[str, ...] = ()
    """Device types it works on, e.g. ``("cpu",)``; empty: all."""

    compile_modes: tuple[str, ...] = ()
    """Compile modes it works with, e.g. ``("aotinductor",)``; empty: all."""

    kernel_loader: str = ""
    """For a modifier whose modules call kernels: dotted path of a function ``(specs: list[dict]) -> None`` that
    registers them with torch. It is called before a compiled model with these kernels is loaded, and must check the
    specs, since they come from a file. Empty without kernels."""

    kernel_code: str = ""
    """For kernels that engines without Python can call: dotted path of a function that gives the files with their code,
    ``(specs: list[dict], *, portable: bool) -> dict[str, bytes]``; they then travel in the compiled file. Portable ones
    must run on other machines of this kind. A name of a file is one plain part of a path: letters, digits, ``.``, ``-``
    and ``_``. Empty: such engines are refused."""

    native_library: str = ""
    """Goes with ``kernel_code``: dotted path of a function ``(folder: pathlib.Path) -> pathlib.Path`` that builds, or
    finds built, a shared library in a folder and returns its path. The library registers the same operations as
    ``kernel_loader`` without Python, and exports ``extern "C" const char *equipot_load_kernels(const char *path)``,
    which reads the code out of a compiled file and returns null, or a message if that fails."""

    def __post_init__(self) -> None:
        """Raise a ValueError if a name or path is malformed, or another field contradicts ``persistent``."""
        super().__post_init__()
        if self.exact_without and not self.persistent:
            raise ValueError(f"{type(self).__name__}.exact_without: only a persistent modifier is stored, got True")
        if self.automatic and self.persistent:
            raise ValueError(f"{type(self).__name__}.automatic: a persistent modifier must be asked for, got True")
        for path in ("kernel_loader", "kernel_code", "native_library"):
            if getattr(self, path):
                self._check_path(path)


@dataclass(frozen=True, kw_only=True)
class FieldEntry(Entry):
    """Declares a data field: a row of the table ``equipot.fields.FIELDS``.

    Two plugins may declare the same field if they agree in everything but the words of ``meaning``.
    """

    name: str = field(init=False, default="", repr=False)
    """The key."""

    target: str = field(init=False, default="", repr=False)
    """Empty: a field is data, not code."""

    summary: str = field(init=False, default="", compare=False, repr=False)
    """The meaning."""

    key: str
    """Key in frames and batches, and name of the label in configs: a Python identifier, e.g. ``dipole``."""

    per: PerWhat
    """Whether it has a row per frame, atom or edge."""

    shape: tuple[str | int, ...]
    """Shape, with the symbols n_frames, n_atoms and n_edges, e.g. ``("n_frames", 3)``; another symbol is a size that
    depends on the model."""

    dtype: FieldDtype = "float64"
    """Type of the numbers; labels are float64."""

    unit: str
    """Unit, e.g. ``e Å``; empty for numbers without one. Energies in it are written as eV, which stands for that of the
    unit system."""

    irreps: str | None
    """e3nn irreps of a physical tensor, None for indices and flags. With a shape of (3,) or (3, 3) per row, components
    are Cartesian, in the order x, y, z; with any other, they are in e3nn's order."""

    meaning: str = field(compare=False)
    """One line for lists and tables."""

    label: bool = False
    """Whether data may have it as a label, which models learn. The mask ``<key>_mask`` is per frame or atom."""

    ase_property: str | None = None
    """Its key in ``Calculator.results`` of ASE, e.g. ``dipole``, ``charges``; None: it has none."""

    extensive: bool = False
    """Per frame: whether it adds up over parts that do not interact, as energies do."""

    std_of: str = ""
    """For the standard deviation of the error of another output: the key of that one, e.g. ``total_energy``. It has the
    same unit, and as many rows; without an axis of components, it is the same for all of them. ``equipot eval`` then
    compares it with the errors."""

    def __post_init__(self) -> None:
        """Raise a ValueError if the parts contradict each other."""
        where, rows = f"{type(self).__name__} {self.key!r}", f"n_{self.per}s"
        if not self.key.isidentifier():
            raise ValueError(f"{where}.key: not a Python identifier, got {self.key!r}")
        if self.per not in get_args(PerWhat) or rows not in self.shape:
            text = "must be 'frame', 'atom' or 'edge', with n_frames, n_atoms or n_edges in the shape"
            raise ValueError(f"{where}.per: {text}, got {self.per!r} and {self.shape!r}")
        if self.irreps is not None and not re.fullmatch(_IRREPS, self.irreps):
            raise ValueError(f"{where}.irreps: must be irreps of e3nn such as '1o', got {self.irreps!r}")
        if self.ase_property is not None and not self.ase_property.isidentifier():
            raise ValueError(f"{where}.ase_property: not a Python identifier, got {self.ase_property!r}")
        if re.search(r"meV|cal|kJ|[Hh]artree|[Rr]ydberg", self.unit):
            raise ValueError(f"{where}.unit: must have energies in eV (of any unit system), got {self.unit!r}")
        if self.extensive and self.per != "frame":
            raise ValueError(f"{where}.extensive: only a field per frame adds up over parts, got one per {self.per}")
        if self.std_of and (not self.std_of.isidentifier() or self.std_of == self.key or self.label):
            text = "must be the key of another field, and the field not a label"
            raise ValueError(f"{where}.std_of: {text}, got {self.std_of!r}")
        if self.label:
            self._check_label(where)
        for derived, value in (("name", self.key), ("summary", self.meaning)):
            object.__setattr__(self, derived, value)

    def _check_label(self, where: str) -> None:
        fixed = all(isinstance(size, int) and size > 0 for size in self.shape[1:])
        if self.per == "edge" or self.dtype != "float64" or not fixed:
            text = "a label is float64, per frame or atom, with numbers after n_frames or n_atoms in its shape"
            raise ValueError(f"{where}.label: {text}, got {self.dtype} of shape {self.shape!r}")
        if self.key.endswith(("_mask", "_weight")):
            raise ValueError(f"{where}.key: masks and weights of labels end like this, got {self.key!r}")


_IRREPS = r"(\d+x)?\d+[eo]( ?\+ ?(\d+x)?\d+[eo])*"


@dataclass(frozen=True, kw_only=True)
class ExportTargetEntry(Entry):
    """Declares a subclass of ``equipot.compile.ExportTarget``: an engine that runs compiled models.

    Users choose it with ``equipot compile MODEL OUT --target NAME``.
    """

    base = "equipot.compile.ExportTarget"


PART_KINDS: dict[str, str] = {
    "data_module": "lightning.LightningDataModule",
    "dataset": "",
    "transform": "equipot.data.transforms.Transform",
    "field": "",
    "reduction": "equipot.data.Reduction",
    "recipe": "equipot.model.ModelRecipe",
    "embedding": "equipot.options.Options",
    "model_part": "equipot.options.Options",
    "training_module": "lightning.LightningModule",
    "loss": "equipot.train.Loss",
    "metrics": "equipot.train.Measure",
    "metric": "torchmetrics.Metric",
    "criterion": "torch.nn.modules.loss._Loss",
    "weight_average": "equipot.train.WeightAverage",
    "gradient_combination": "equipot.train.GradientCombination",
    "optimizer": "torch.optim.Optimizer",
    "parameter_groups": "",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "trainer": "lightning.Trainer",
    "callback": "lightning.Callback",
    "logger": "lightning.pytorch.loggers.Logger",
    "strategy": "lightning.pytorch.strategies.Strategy",
    "profiler": "lightning.pytorch.profilers.Profiler",
    "precision": "lightning.pytorch.plugins.Precision",
    "cluster_environment": "lightning.pytorch.plugins.environments.ClusterEnvironment",
}
"""Kinds of parts, and the class that the parts of a kind derive from; empty if they have no class in common.

``field``: what a statistic or metric looks at. ``recipe``: a model made from another recipe's. ``embedding`` and
``model_part``: options inside a model's options, stored with it. ``loss`` and ``metrics``: options of a training
module. ``metric``: a single one of ``torchmetrics``. ``criterion``: a loss of ``torch.nn``.
"""


@dataclass(frozen=True, kw_only=True)
class PartEntry(Entry):
    """Declares a class that configs may name by its path as ``_target_``, e.g. a loss, callback or transform."""

    name: str = field(init=False, default="")
    """The target: parts have no short names."""

    kind: str
    """What the class is, a key of ``PART_KINDS``: ``loss``, ``callback``, ``transform``, …"""

    target: str
    """Dotted path of the class as users write it, e.g. ``equipot_toolbox.SoftAdapt``. Choose it to last: a part of a
    model is stored in files under this path."""

    def __post_init__(self) -> None:
        """Raise a ValueError if the target is not a dotted path or the kind unknown."""
        self._check_path("target")
        object.__setattr__(self, "name", self.target)
        if self.kind not in PART_KINDS:
            text = f"unknown, got {self.kind!r}; one of {', '.join(PART_KINDS)}"
            raise ValueError(f"{type(self).__name__}.kind: {text}")


@dataclass(frozen=True, kw_only=True)
class TargetAliasEntry(Entry):
    """Declares the meaning of a name in configs of another program, so that these run in equipot.

    A config is translated before it is checked, so that checkpoints and packages only hold names of equipot.
    The target must be one that configs may also name directly.
    """

    name: str
    """Dotted path of a ``_target_``, name of a resolver, or root key, depending on ``form``."""

    target: str = ""
    """Its replacement: a ``_target_`` of equipot or a plugin, or the function of a resolver. Empty with ``instead``, or
    for a ``_target_`` that is just dropped because its place takes the options alone."""

    form: Literal["target", "resolver", "section"] = "target"
    """``target``: a ``_target_``. ``resolver``: ``${name:…}``. ``section``: a root key that is removed."""

    options: str = ""
    """Dotted path of a function ``(node: dict) -> dict`` that translates a node with its ``_target_`` (or a section)
    before interpolations are resolved. It may put in another ``_target_``, and raises a ``ConfigError`` with a problem
    for each option that it cannot translate. Empty if the options are the same."""

    instead: str = ""
    """What to use if there is no counterpart: configs with the name are refused, and ``target`` stays empty."""

    def __post_init__(self) -> None:
        """Raise a ValueError for a name of equipot, a malformed path, or a wrong choice of target and instead."""
        where = type(self).__name__
        if self.form not in ("target", "resolver", "section"):
            raise ValueError(f"{where}.form: unknown, got {self.form!r}; 'target', 'resolver' or 'section'")
        if self.form == "target":
            self._check_path("name")
        elif not self.name.isidentifier():
            raise ValueError(f"{where}.name: not a Python identifier, got {self.name!r}")
        if self.name.split(".")[0].startswith("equipot"):
            raise ValueError(f"{where}.name: equipot's own names have no aliases, got {self.name!r}")
        both, none = self.target and self.instead, not (self.target or self.instead)
        if self.form != "section" and (both or (none and self.form == "resolver")):
            raise ValueError(f"{where}.target: give either target or instead, got {self.target!r} and {self.instead!r}")
        for option in ("target", "options"):
            if getattr(self, option):
                self._check_path(option)


@dataclass(frozen=True, kw_only=True)
class CommandEntry(Entry):
    """Declares a subcommand ``equipot NAME …``: a ``click.Command``.

    Lists and completion use name and summary only; the command is imported when it is called. Its return value is the
    exit code (None is 0). An ``equipot.errors.EquipotError`` is printed as ``error: …`` with exit code 2. See
    ``equipot.commands`` for options with several values.
    """

    name: str
    """What users type: lower-case words joined by hyphens, e.g. ``import-nequip``. ``plugins NAME`` belongs to the
    group ``equipot plugins``."""

    target: str
    """Dotted path of the ``click.Command`` object, e.g. ``equipot_from_nequip._command.command``."""

    diagnosis: str = ""
    """Dotted path of a function ``() -> tuple[dict[str, str], list[str]]`` that ``equipot doctor`` calls: facts about
    this machine by name, and what is broken, one sentence each that says what to do. Empty if there is none."""

    def __post_init__(self) -> None:
        """Raise a ValueError if the name is not of that form or the target not a dotted path."""
        if not re.fullmatch(r"[a-z][a-z0-9]*([- ][a-z0-9]+)*", self.name):
            raise ValueError(f"{type(self).__name__}.name: not lower-case words joined by hyphens, got {self.name!r}")
        for path in ("target", *(["diagnosis"] if self.diagnosis else [])):
            self._check_path(path)
