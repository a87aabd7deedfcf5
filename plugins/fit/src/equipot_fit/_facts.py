"""What labelled data are: gathered once, through core's data module, before anything is decided from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from equipot.errors import ConfigError, DataError, problem
from equipot.fields import mask_key
from equipot_fit._geometry import Surroundings, evenly, memory, surroundings
from equipot_fit._other_labels import OtherLabel, charge_key, judged, wanted

if TYPE_CHECKING:
    from equipot.data import ASEDataModule, FrameCollection
    from equipot.data.checks import Verdict

FEWEST_FRAMES = 2
"""Frames besides isolated atoms: one to learn from, one to tell whether that helped."""

TAILED = 2.0
"""Few large forces count where the root mean square is so many times that of normal ones of the same mean size."""

_LOOKED_AT = 20_000
"""Frames whose forces, stresses and boundaries are looked at."""

_LABELS = ("total_energy", "forces", "stress")


class Sizes(NamedTuple):
    """Smallest, middle and largest number."""

    smallest: int
    median: float
    largest: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the data are. Frames of isolated atoms are counted apart: they give energies of atoms and nothing else."""

    files: tuple[str, ...]
    """The files, as they were named."""
    test_files: tuple[str, ...] = ()
    """Files that are kept for testing."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the files are read, as in the data section of a config, e.g. ``{"labels": {"forces": "REF_forces"}}``."""
    guessed_labels: bool = False
    """Whether the keys of the labels were found by their names, because none was given and ASE's are not there."""

    n_frames: int
    """Frames other than isolated atoms."""
    n_test_frames: int = 0
    """Frames in the test files."""
    n_atoms: Sizes
    """Atoms of a frame."""
    elements: Mapping[str, int]
    """Number of atoms of each element, isolated ones included, sorted by symbol."""
    periodic: Literal["none", "all", "mixed"]
    """Whether frames are periodic in any direction: none, all, or some of them."""
    labels: Mapping[str, int]
    """Number of frames that have ``total_energy``, ``forces`` and ``stress``."""
    others: tuple[OtherLabel, ...] = ()
    """Labels besides these, and whether they are learnt."""
    energy_spread: float | None = None
    """Root mean square per atom of what a fit of one energy per element leaves of the energies, in the unit of the
    data (eV, or kcal/mol); None without energies."""
    forces_mean: float | None = None
    """Mean absolute component of the forces, in the unit of the data by Å; None without forces."""
    forces_rms: float | None = None
    """Root mean square of the components of the forces, in the unit of the data by Å; None without forces."""
    stress_rms: float | None = None
    """Root mean square of the components of the stress, in the unit of the data by Å³; None without stress."""

    isolated: tuple[str, ...] = ()
    """Elements of which there is an isolated atom with an energy."""
    energies_rule: str = ""
    """Where energies of atoms come from: ``isolated atoms``, ``least squares`` or ``mean``; empty without energies."""
    energies_reason: str = ""
    """Why, in one line."""
    compositions: int
    """Number of different compositions."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """Number of frames by ``config_type`` (or ``group``), if frames have more than one."""
    kinds: int = 1
    """Number of different pairs of composition and group."""
    memory: int = 0
    """After how many frames a trajectory has forgotten where it was; 0: they are not steps of one."""
    surroundings: Surroundings = field(default_factory=Surroundings)
    """Neighbours, close contacts and density."""
    findings: tuple[str, ...] = ()
    """Warnings of core's checks of the data, as ``code: message``."""

    @property
    def unit(self) -> str:
        """Unit of energies: eV or kcal/mol."""
        return "kcal/mol" if self.options.get("units") == "real" else "eV"

    @property
    def forces_size(self) -> float | None:
        """Root mean square of the forces, or of normally distributed ones of the same mean size; None without forces.

        The second where few large forces make the first more than ``TAILED`` times as large.
        """
        if not self.forces_rms or not self.forces_mean:
            return self.forces_rms
        normal = float(np.sqrt(np.pi / 2.0)) * self.forces_mean
        return normal if self.forces_rms > TAILED * normal else self.forces_rms

    def edges_per_frame(self, r_max: float) -> float:
        """Directed pairs within a radius in a frame of middle size.

        Args:
            r_max: Å; between the radii at which neighbours were counted, counts grow with the third power.
        """
        counted = self.surroundings.neighbors
        radius = min(counted, key=lambda one: abs(one - r_max))
        factor = 1.0 if radius == r_max else (r_max / radius) ** 3
        return max(counted[radius] * factor * self.n_atoms.median, 1.0)


def gather(
    paths: Sequence[str],
    *,
    test: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Facts:
    """Read labelled data and say what they are.

    Args:
        paths: Files of any format that training reads.
        test: Files that are kept for testing.
        options: How files are read, as in the data section of a config (``labels``, ``units``, ``weights``,
            ``species``, ``ase_args``, ``unconverged``, ``accept``, …).

    Raises:
        DataError: If a file cannot be read, or nothing can be learnt from the data.
        ConfigError: If options are wrong, or a file is given twice.
    """
    given = [*paths, *test]
    if not paths:
        raise ConfigError(problem("DATA", "no file is given", hint="name a file of labelled structures"))
    if twice := [path for path in given if given.count(path) > 1]:
        raise DataError(problem(twice[0], "is given twice"))
    module, whole, guessed = _read(paths, dict(options or {}))
    apart = set(module.isolated_frames(whole))
    pool = [index for index in range(len(whole.places)) if index not in apart]
    labels = _counts(whole, pool)
    _require(paths, module, whole, pool, labels)
    module, whole, others = _with_others(paths, module, whole, pool, dict(options or {}))
    tests = {f"test{number}": module.read([path]) for number, path in enumerate(test)}
    for path, frames in zip(test, tests.values(), strict=True):
        _require_labels(path, frames, labels)
    verdict = _judged(module, {"train": whole, **tests}, [*labels, *(one.label for one in others if one.modifier)])
    return _facts(_Read(paths, test, module, whole, pool, labels, others), tests, verdict, guessed=guessed)


class _Read(NamedTuple):
    """What was read."""

    paths: Sequence[str]
    test: Sequence[str]
    module: ASEDataModule
    whole: FrameCollection
    pool: list[int]
    """Indices of frames other than isolated atoms."""
    labels: dict[str, int]
    others: tuple[OtherLabel, ...] = ()


def _facts(read: _Read, tests: Mapping[str, FrameCollection], verdict: Verdict, *, guessed: bool) -> Facts:
    module, whole, pool = read.module, read.whole, read.pool
    sizes = [sum(count for _, count in whole.composition(index)) for index in range(len(whole.places))]
    counted = [sizes[index] for index in pool]
    groups = Counter(whole.groups[index] for index in pool) if whole.groups else Counter()
    kinds = {(whole.composition(index), whole.groups[index] if whole.groups else "") for index in pool}
    return Facts(
        files=tuple(read.paths),
        test_files=tuple(read.test),
        options=_stated(module),
        guessed_labels=guessed,
        n_frames=len(pool),
        n_test_frames=sum(len(one.places) for one in tests.values()),
        n_atoms=Sizes(min(counted), float(np.median(counted)), max(counted)),
        elements=_elements(whole),
        labels=read.labels,
        others=read.others,
        compositions=len({whole.composition(index) for index in pool}),
        groups=dict(sorted(groups.items())) if len(groups) > 1 else {},
        kinds=len(kinds),
        memory=memory(whole, pool),
        surroundings=surroundings(whole.frames, pool, sizes),
        findings=tuple(f"{one.code}: {one.message}" for one in verdict.of("warning")),
        **_looked_at(whole, evenly(pool, _LOOKED_AT)),
        **_energies(read),
    )


# ------------------------------------------------------------------------------ reading


_READING = ("units", "labels", "weights", "unconverged", "species", "ase_args", "mask_nan_labels", "accept", "strict")


def _read(paths: Sequence[str], options: dict[str, Any]) -> tuple[ASEDataModule, FrameCollection, bool]:
    """The data module and all frames; labels that are not under ASE's names are looked for by what keys are called."""
    from equipot.data import suggested_labels

    module, whole = _frames(paths, options)
    if options.get("labels"):
        return module, whole, False
    keys = {key for found in whole.keys for key in found}
    kept = {label: source.key for label, source in module.label_contract.items() if label in whole.labels}
    found = suggested_labels(keys, kept)
    if not found and (not kept or "total_energy" in kept):
        return module, whole, False
    labels = _as_given({label: module.label_contract[label] for label in kept}, keys)
    module, whole = _frames(paths, {**options, "labels": {**labels, **found}})  # only forces, if there is nothing else
    return module, whole, bool(found)


def _with_others(
    paths: Sequence[str], module: ASEDataModule, whole: FrameCollection, pool: Sequence[int], options: dict[str, Any]
) -> tuple[ASEDataModule, FrameCollection, tuple[OtherLabel, ...]]:
    """The data with those other labels that are learnt, and what is to be said of all others."""
    keys = {key for found in whole.keys for key in found}
    contract = {label: source for label, source in module.label_contract.items() if label in whole.labels}
    found = wanted(keys, contract, options.get("labels"))
    if not found:
        return module, whole, ()
    own = module.options.labels or _as_given(contract, keys)
    with_charge = {"total_charge": charge} if (charge := charge_key(keys)) and "total_charge" not in own else {}
    _, read = _frames(paths, {**options, "labels": {**own, **found, **with_charge}})
    boundary = _looked_at(whole, evenly(pool, _LOOKED_AT))["periodic"]
    others = judged(read, pool, found, boundary, list(_elements(whole)))
    learnt = {one.label: one.key for one in others if one.modifier}
    left = {label: key for label, key in own.items() if label not in found}
    if learnt or left != own:
        module, whole = _frames(paths, {**options, "labels": {**left, **learnt}})
    return module, whole, others


def _as_given(contract: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Labels that are read by ASE's names, as a config would say it."""
    free = {"key": "energy", "force_consistent": "free_energy"} if "results:free_energy" in keys else "energy"
    return {label: free if label == "total_energy" else source.key for label, source in contract.items()}


def _frames(paths: Sequence[str], options: Mapping[str, Any]) -> tuple[ASEDataModule, FrameCollection]:
    from equipot.data import ASEDataModule

    module = ASEDataModule(seed=1, split_dataset={"file_path": list(paths), "train": 1.0}, **options)
    return module, module.read(list(paths))


def _stated(module: ASEDataModule) -> dict[str, Any]:
    """Options of reading that differ from their defaults."""
    defaults: dict[str, Any] = {"units": "metal", "unconverged": "error"}
    values = {name: getattr(module.options, name) for name in _READING}
    return {name: value for name, value in values.items() if value and value != defaults.get(name)}


def _counts(whole: FrameCollection, pool: Sequence[int]) -> dict[str, int]:
    """Number of frames with each label that counts there."""
    counts = dict.fromkeys(_LABELS, 0)
    for index in pool:
        for label, one in whole.reports[index].items():
            without = one.rows > 0 and one.rows == one.zero_weights
            if label in counts and one.source and not one.ignored and not without:
                counts[label] += 1
    return {label: count for label, count in counts.items() if count}


def _require(
    paths: Sequence[str],
    module: ASEDataModule,
    whole: FrameCollection,
    pool: Sequence[int],
    labels: Mapping[str, int],
) -> None:
    """Refuse data from which nothing can be learnt."""
    from equipot.data import Census

    where = ", ".join(paths)
    if not whole.places:
        raise DataError(problem(where, "has no frames"))
    if len(pool) < FEWEST_FRAMES:
        alone = len(whole.places) - len(pool)
        besides = f" besides {alone} isolated atom{'s' * (alone != 1)}" if alone else ""
        hint = "a potential needs frames to learn from and others to judge it by; some 20 are a start"
        raise DataError(problem(where, f"has {len(pool)} frame{'s' * (len(pool) != 1)}{besides}", hint=hint))
    if not labels.keys() & {"total_energy", "forces"}:
        census = Census(module.label_contract, module.options.units)
        census.add("train", whole)
        what = f"no frame has an energy or forces under the names {_names(module)}"
        keys = {key for found in whole.keys for key in found}
        if others := wanted(keys, module.label_contract, module.options.labels):
            what += f"; {', '.join(others)} can only be learnt together with them"
        raise DataError(problem(where, what, hint=census.key_hint("train")))
    largest = max(labels.values())
    if largest < FEWEST_FRAMES:
        raise DataError(problem(where, f"only {largest} of {len(pool)} frames has labels", hint="label more frames"))


def _require_labels(path: str, frames: FrameCollection, labels: Mapping[str, int]) -> None:
    """Refuse frames to test on that have none of the energies or forces that are learnt."""
    learnt = [label for label in ("total_energy", "forces") if label in labels]
    found = _counts(frames, range(len(frames.places)))
    if missing := [label for label in learnt if label not in found]:
        keys = sorted({key for one in frames.keys for key in one})
        what = (
            f"no frame has {' or '.join(missing)}, which the other files have; keys found: {', '.join(keys) or 'none'}"
        )
        raise DataError(problem(path, what, hint="leave --test out, or name a file with the same labels"))


def _names(module: ASEDataModule) -> str:
    return ", ".join(source.key for source in module.label_contract.values())


def _judged(module: ASEDataModule, sets: Mapping[str, FrameCollection], labels: Sequence[str]) -> Verdict:
    """What core's checks say.

    Raises:
        DataError: With all errors, one on each line.
    """
    module.use_labels(labels)
    verdict = module.verdict(sets=sets)
    if verdict.failures:
        lines = [f"{one.code}: {one.message} ({one.example}); {one.check.advice}" for one in verdict.failures]
        raise DataError("\n".join(lines))
    return verdict


# ------------------------------------------------------------------------------ numbers


def _elements(whole: FrameCollection) -> dict[str, int]:
    from ase.data import chemical_symbols

    found: Counter[str] = Counter()
    for index in range(len(whole.places)):
        for number, count in whole.composition(index):
            found[chemical_symbols[number]] += count
    return dict(sorted(found.items()))


def _looked_at(whole: FrameCollection, indices: Sequence[int]) -> dict[str, Any]:
    """Boundaries and sizes of forces and stresses."""
    periodic = 0
    sums = {label: [0.0, 0.0, 0] for label in ("forces", "stress")}
    for index in indices:
        frame = whole.frames[index]
        periodic += bool(frame["pbc"].any())
        for label, total in sums.items():
            if label in frame:
                values = frame[label][frame[mask_key(label)]]
                total[0] += float(values.square().sum())
                total[1] += float(values.abs().sum())
                total[2] += values.numel()
    kind = "none" if periodic == 0 else "all" if periodic == len(indices) else "mixed"
    sizes = {
        f"{label}_rms": float(np.sqrt(square / count)) if count else None for label, (square, _, count) in sums.items()
    }
    _, absolute, count = sums["forces"]
    return {"periodic": kind, "forces_mean": absolute / count if count else None, **sizes}


def _energies(read: _Read) -> dict[str, Any]:
    """Energies of atoms: where they come from, and what they leave of the energies."""
    from equipot.data import collect_references
    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper

    if "total_energy" not in read.labels:
        return {}
    mapper = ChemicalSpeciesToAtomTypeMapper(list(_elements(read.whole)))
    pool = set(read.pool)
    pairs = ((frame, index not in pool) for index, frame in enumerate(read.whole.frames))
    references = collect_references(pairs, mapper)
    chosen, fit = references.choose(), references.fit()
    return {
        "isolated": tuple(references.isolated),
        "energies_rule": chosen.rule,
        "energies_reason": chosen.reason,
        "energy_spread": None if fit is None else fit.residual,
    }
