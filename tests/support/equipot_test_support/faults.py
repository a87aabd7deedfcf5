"""Real frames to plant faults in, and what the checks of the data say of them."""

import functools

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read

from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data.checks._judge import one_pass
from equipot.data.checks._survey import Asked
from equipot_test_support import ROOT
from equipot_test_support.water import labelled

DATA = ROOT / "examples" / "data"


@functools.cache
def _stored(name):
    return read(DATA / f"{name}.extxyz", ":")


def _copies(name, number):
    return [labelled(one, **one.calc.results) for one in _stored(name)[:number]]


def ethanol(number=40):
    """Ethanol molecules with energies and forces of PBE, no cell."""
    return _copies("ethanol_pbe", number)


def water_boxes(number=30):
    """Periodic boxes of 12 water molecules with energies, forces and stress of GFN1-xTB; some are triclinic."""
    return _copies("water_gfn1", number)


def isolated_atoms():
    """H, C and O, with the energies that belong to ``ethanol``."""
    return _copies("ethanol_pbe_isolated_atoms", None)


@functools.cache
def _alloys():
    random, frames = np.random.default_rng(5), []
    for index in range(30):
        atoms = bulk("Cu", cubic=True, a=3.7).repeat((1, 1, 1 + index % 3))
        atoms.numbers[random.random(len(atoms)) < 0.5] = 79
        atoms.rattle(0.08, seed=index)
        atoms.calc = EMT()
        values = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        frames.append(labelled(atoms, **values))
    return frames


def alloys(number=30):
    """Periodic crystals of Cu and Au with 4, 8 or 12 atoms, and energies, forces and stress of EMT."""
    return [labelled(one, **one.calc.results) for one in _alloys()[:number]]


def changed(atoms, *, info=None, arrays=None, **values):
    """A copy with other labels (None: without the label), positions, cell, pbc or numbers."""
    geometry = {key: values.pop(key) for key in ("positions", "cell", "pbc", "numbers") if key in values}
    results = {**atoms.calc.results, **values}
    own = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell, "pbc": atoms.pbc, **geometry}
    made = labelled(Atoms(**own), **{key: value for key, value in results.items() if value is not None})
    made.info.update({**atoms.info, **(info or {})})
    for name, value in (arrays or {}).items():
        made.set_array(name, np.asarray(value))
    return made


def collection(frames, name="train.xyz", labels=None, **options):
    """Frames as a reader gives them."""
    placed = ((f"{name}, frame {index}", atoms) for index, atoms in enumerate(frames))
    return collect_frames(placed, label_contract(labels), **options)


def found(frames, labels=None, **asked):
    """What the checks that fit nothing find: code to finding.

    Args:
        frames: One set of frames, or several by name.
        labels: As in a config.
        asked: Attributes of ``Asked``.
    """
    sets = frames if isinstance(frames, dict) else {"train": frames}
    made = {name: collection(one, f"{name}.xyz", labels) for name, one in sets.items()}
    findings, _ = one_pass(made, Asked(contract=label_contract(labels), **asked))
    assert len({one.code for one in findings}) == len(findings), "a code twice"
    return {one.code: one for one in findings}


def warned(frames, labels=None, **asked):
    """Codes of errors and warnings."""
    return {code for code, one in found(frames, labels, **asked).items() if one.severity != "note"}


def planted(frames, change, *indices):
    """Frames of which those with these indices (or all) are changed."""
    return [change(one) if not indices or index in indices else one for index, one in enumerate(frames)]
