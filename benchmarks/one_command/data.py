"""The sets: what a user would have in a file, and the frames on which the potential is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sets import loaders

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / ".cache" / "one_command" / "made"
"""Where the sets are that ``benchmarks/data_checks/make_sets.py`` computes with tblite and ASE."""


@dataclass(frozen=True)
class Data:
    """One set."""

    title: str
    train: Callable[[], list[Any]]
    tests: dict[str, Callable[[], list[Any]]]
    minutes: float
    """Time of a training in the documented table."""
    symbols: tuple[str, ...]
    """Elements; none: those of the files."""
    r_max: float = 5.0
    """Cutoff of the peers' recipes, in Å; ``equipot fit`` chooses its own."""
    batch: int = 5
    """Batch size of nequip's recipe."""
    held_out: bool = False
    """Whether no rule of ``equipot fit`` was chosen by looking at this set."""
    published: str = ""
    """Errors of published models, and what they were trained on."""


def _public(name: str, *arguments: Any) -> Any:
    return getattr(loaders(), name)(*arguments)


def _some(frames: list[Any], count: int, start: int = 0) -> list[Any]:
    """Random frames, always the same; other starts give others of the same set."""
    order = np.random.default_rng(1).permutation(len(frames))[start : start + count]
    return [frames[index] for index in order]


def _mptrj(start: int, count: int) -> list[Any]:
    return _some(_public("xyz", "mattersim_dev/mptrj-random-1k.xyz"), count, start)


def _with_elements_of(known: list[Any], frames: list[Any]) -> list[Any]:
    """Those of the frames that have no element besides those of the known ones, of which nothing can be predicted."""
    elements = {symbol for one in known for symbol in one.symbols}
    return [one for one in frames if elements.issuperset(one.symbols)]


def _ours(name: str, part: slice) -> list[Any]:
    from ase.io import read

    frames = read(ROOT / "examples" / "data" / f"{name}.extxyz", ":")
    alone = read(ROOT / "examples" / "data" / f"{name}_isolated_atoms.extxyz", ":")
    chosen = [frames[index] for index in np.random.default_rng(1).permutation(len(frames))[part]]
    return [*chosen, *alone] if part.start is None else chosen


def _parted(frames: Callable[[], list[Any]], most: int = 500) -> dict[str, Any]:
    """A fifth of the frames, at most 200, for the test; the rest, at most ``most``, for training."""

    def part(*, test: bool) -> list[Any]:
        every = frames()
        count = min(len(every) // 5, 200)
        return _some(every, count) if test else _some(every, most, count)

    return {"train": lambda: part(test=False), "tests": {"test": lambda: part(test=True)}}


def _made(name: str, title: str) -> Data:
    def frames() -> list[Any]:
        from ase.io import read

        path = MADE / f"{name}.xyz"
        if not path.exists():
            command = f"python benchmarks/data_checks/make_sets.py {MADE.relative_to(ROOT)} --only {name}"
            raise FileNotFoundError(f"{path}: is not there; make it, where tblite is installed: {command}")
        return list(read(path, ":"))

    return Data(title, **_parted(frames), minutes=2.0, symbols=(), held_out=True)


def _labelled(
    path: str, energy: str, forces: str = "", *, stress: str = "", virial: str = "", per_atom: bool = False
) -> list[Any]:
    """Frames whose labels have other names, with those that ASE knows; frames without an energy are left out."""
    from ase.calculators.singlepoint import SinglePointCalculator

    found = []
    for atoms in _public("xyz", path):
        value = atoms.get_potential_energy() if energy == "energy" else atoms.info.get(energy)
        if value is None:
            continue
        results = {"energy": value * (len(atoms) if per_atom else 1)}
        if forces:
            results["forces"] = atoms.arrays[forces]
        if stress in atoms.info:
            results["stress"] = atoms.info[stress]
        if virial:
            tensor = -np.reshape(atoms.info[virial], (3, 3)) / atoms.get_volume()
            results["stress"] = tensor.flat[[0, 4, 8, 5, 2, 1]]
        plain = type(atoms)(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        plain.calc = SinglePointCalculator(plain, **results)
        found.append(plain)
    return found


def _framework() -> list[Any]:
    """A metal-organic framework, without the isolated atoms of the files."""
    return [
        one
        for part in ("train", "valid", "test")
        for one in _labelled(f"small_mixed/janus_mlip_{part}.xyz", "dft_energy", "dft_forces", stress="dft_stress")
        if len(one) > 1
    ]


def _molecule(name: str, published: str, *, held_out: bool) -> Data:
    return Data(
        f"rMD17 {name}, 50 frames",
        lambda: _some(_public("rmd17", name, "train"), 50),
        {"test": lambda: _public("rmd17", name, "test")},
        15.0,
        {"ethanol": ("C", "H", "O"), "aspirin": ("C", "H", "O"), "benzene": ("C", "H")}[name],
        held_out=held_out,
        published=published,
    )


def _element(symbol: str, published: str, *, held_out: bool) -> Data:
    return Data(
        f"mlearn {symbol}, with stress",
        lambda: _public("mlearn", symbol, "training"),
        {"test": lambda: _public("mlearn", symbol, "test")},
        15.0,
        (symbol,),
        batch=4,
        held_out=held_out,
        published=published,
    )


SETS = {
    "ethanol": _molecule("ethanol", "NequIP 8.7 meV, 40.2 meV/Å; MACE 6.7, 32.6", held_out=False),
    "aspirin": _molecule("aspirin", "NequIP 19.5 meV, 52.0 meV/Å; MACE 17.0, 43.9", held_out=True),
    "benzene": _molecule("benzene", "NequIP 0.6 meV, 2.9 meV/Å; MACE 0.7, 2.7", held_out=False),
    "acac": Data(
        "acetylacetone at 300 K, 500 frames",
        lambda: [*_public("xyz", "acac/train_300K.xyz"), *_public("xyz", "acac/isolated_atoms.xyz")],
        {
            "300 K": lambda: _public("xyz", "acac/test_MD_300K.xyz"),
            "600 K": lambda: _public("xyz", "acac/test_MD_600K.xyz"),
        },
        30.0,
        ("C", "H", "O"),
        published="RMSE at 300 K: NequIP 0.81 meV, 5.90 meV/Å; MACE 0.9, 5.1; at 600 K: 6.04, 27.8; 4.6, 22.4",
    ),
    "si": _element("Si", "GAP 2.91 meV/atom, 70 meV/Å; MTP 2.21, 60", held_out=False),
    "li": _element("Li", "GAP 0.49 meV/atom, 10 meV/Å; MTP 0.49, 10", held_out=False),
    "mgo": Data(
        "MgO, large strains, with stress",
        lambda: _public("mgo", "train"),
        {"test": lambda: _public("mgo", "test")},
        15.0,
        ("Mg", "O"),
        batch=1,
    ),
    "ecemc": Data(
        "EC/EMC liquid, with stress",
        lambda: [*_some([one for one in _public("ecemc") if len(one) > 1], 160),
                 *[one for one in _public("ecemc") if len(one) == 1]],
        {"test": lambda: _some([one for one in _public("ecemc") if len(one) > 1], 40, 160)},
        15.0,
        ("C", "H", "O"),
        batch=1,
        held_out=True,
    ),
    "mptrj": Data(
        "MPtrj sample, 85 elements, with stress",
        lambda: _mptrj(0, 900),
        {"test": lambda: _with_elements_of(_mptrj(0, 900), _mptrj(900, 100))},
        15.0,
        (),
    ),
    "our_ethanol": Data(
        "ethanol (ours, PBE)",
        lambda: _ours("ethanol_pbe", slice(None, 150)),
        {"test": lambda: _ours("ethanol_pbe", slice(150, 180))},
        3.0,
        ("C", "H", "O"),
    ),
    "our_water": Data(
        "water (ours, GFN1-xTB, with stress)",
        lambda: _ours("water_gfn1", slice(None, 110)),
        {"test": lambda: _ours("water_gfn1", slice(110, None))},
        5.0,
        ("H", "O"),
        batch=2,
    ),
    "water": Data(
        "liquid water, PBE0, 192 atoms", **_parted(lambda: _public("water"), 100), minutes=2.0, symbols=("H", "O"),
        batch=1, held_out=True,
    ),
    "alcohols": Data(
        "ethanol and methanol, PBE",
        lambda: _some(_public("xyz", "ethanol_botnet/train_eth_meth.xyz"), 300),
        {"test": lambda: _some(_public("xyz", "ethanol_botnet/test_eth_meth.xyz"), 200)},
        2.0,
        ("C", "H", "O"),
        held_out=True,
    ),
    "qm9": Data(
        "small organic molecules, energies only",
        **_parted(lambda: _labelled(
            "energy_only_qm9_985/small_molecules-1000.xyz", "dft_formation_energy_per_atom_in_eV", per_atom=True
        ), 800),
        minutes=2.0,
        symbols=("C", "H", "N", "O"),
        held_out=True,
    ),
    "graphite": Data(
        "graphite, 4 atoms, LDA, with stress",
        **_parted(lambda: _labelled("small_mixed/carbon_reduced_100.xyz", "energy", "force", virial="virial")),
        minutes=2.0,
        symbols=("C",),
        held_out=True,
    ),
    "framework": Data(
        "metal-organic framework, 16 frames, with stress", **_parted(_framework), minutes=2.0,
        symbols=("C", "H", "O", "Zr"), batch=1, held_out=True,
    ),
    "alloy": _made("alloy_emt", "copper and gold, EMT, with stress (made)"),
    "argon": _made("argon_lj", "solid argon, Lennard-Jones to 9 Å, with stress (made)"),
    "rock_salt": _made("rock_salt_gfn1", "sodium chloride, GFN1-xTB, with stress (made)"),
    "quartz": _made("quartz_gfn1", "quartz, GFN1-xTB, with stress (made)"),
    "molecules": _made("molecules_gfn2", "eight small molecules, GFN2-xTB (made)"),
    "sulphur": _made("sulphur_gfn2", "four molecules with sulphur, GFN2-xTB (made)"),
    "zinc_blende": _made("zinc_blende_gfn1", "zinc sulphide, GFN1-xTB, with stress (made)"),
    "rutile": _made("rutile_gfn1", "titanium dioxide, GFN1-xTB, with stress (made)"),
    "diamond": _made("diamond_gfn1", "diamond, GFN1-xTB, with stress (made)"),
}  # fmt: skip
"""All sets; their training frames are what ``equipot fit`` gets, which makes its own validation set."""


def write_files(name: str, folder: Path) -> dict[str, Path]:
    """Write a set, with labels as ASE writes them.

    Args:
        name: Of the set.
        folder: Is made; files of an earlier call are kept.

    Returns:
        ``train`` and the names of the test sets to files.
    """
    from ase.io import write

    one = SETS[name]
    parts = {"train": one.train, **one.tests}
    paths = {part: folder / f"{part.replace(' ', '_')}.extxyz" for part in parts}
    folder.mkdir(parents=True, exist_ok=True)
    for part, frames in parts.items():
        if not paths[part].exists():
            unfinished = paths[part].with_suffix(".part")
            write(unfinished, frames(), format="extxyz")
            unfinished.replace(paths[part])
    return paths
