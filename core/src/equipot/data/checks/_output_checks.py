"""Checks of what programs say in their outputs; the readers note it, see ``NOTES`` in ``equipot.data._collection``."""

from __future__ import annotations

from equipot.commands import setting
from equipot.data._collection import DROPPED, FORCE_CONSISTENT, UNCONVERGED
from equipot.data.checks._catalogue import Check, define

UNCONVERGED_SCF = define(
    Check(
        code=UNCONVERGED,
        severity="warning",
        title="A self-consistent cycle did not converge",
        law="Energies and forces are those of a self-consistent density.",
        threshold="The program says so: VASP `EDIFF was not reached`, or all NELM steps without `EDIFF is reached`, "
        "in `vasprun.xml` all NELM steps, of which the last changed the energy by EDIFF or more; "
        "Quantum ESPRESSO `convergence NOT achieved`; Gaussian `Convergence criterion not met`; ORCA `not fully "
        "converged` or `SCF NOT CONVERGED`; CP2K `SCF run NOT converged` or `outer SCF loop FAILED`; FHI-aims "
        "`SELF-CONSISTENCY CYCLE DID NOT CONVERGE`, or a restart of the mixer that is the last thing.",
        why="Such energies are wrong by any amount, such forces more so; one frame can spoil a small set.",
        remedy=lambda: f"Repeat the calculation, or leave the frames out with {setting('data.unconverged', 'drop')}.",
    )
)

UNCONVERGED_DROPPED = define(
    Check(
        code=DROPPED,
        severity="note",
        title="Frames that did not converge are left out",
        law="Energies and forces are those of a self-consistent density.",
        threshold="Any frame that `data.unconverged: drop` left out; the first of the others carries the number.",
        why="The frames that fail are often the most distorted ones, which the model then never sees.",
        remedy="Repeat the calculations of these frames if they matter.",
    )
)

FORCE_CONSISTENT_ENERGY = define(
    Check(
        code=FORCE_CONSISTENT,
        severity="note",
        title="The free energy is taken, since forces are its derivatives",
        law="Forces are the negative derivatives of the energy that is learnt.",
        threshold="A frame has forces and, in calc.results, `energy` and `free_energy` that differ by more than "
        "1e-9 eV/atom, and `labels` is not given. Columns of databases with these names do not count.",
        why="With smeared occupations forces belong to the electronic free energy; the energy that is extrapolated to "
        "zero smearing differs by up to tens of meV per cell, which a model sees as noise.",
        remedy=lambda: (
            "Nothing; the other one is taken with "
            f"{setting('labels', {'total_energy': 'energy', 'forces': 'forces', 'stress': 'stress'})}."
        ),
    )
)
