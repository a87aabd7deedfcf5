"""Checks of what a file says besides its numbers: units, weights, names of elements, its end."""

from __future__ import annotations

from equipot.commands import option, setting
from equipot.data.checks._catalogue import Check, define

UNIT_TAG = define(
    Check(
        code="unit-tag",
        severity="warning",
        title="A unit in the file is not understood",
        law="A unit that a file states (energy-unit=, stress_units=, units=) is the one that its numbers are read in.",
        threshold="any key with the word unit whose text is not a known unit of a label that is read; a known unit "
        "that differs is an error when the file is read",
        why="If the unit is another one, all energies, forces or stresses are wrong by a factor.",
        remedy=lambda: (
            f"Compare the unit with {option('units')}, or name it: "
            f"{setting('labels', {'total_energy': '{key: KEY, unit: UNIT}'})}."
        ),
    )
)

UNUSED_WEIGHTS = define(
    Check(
        code="unused-weights",
        severity="note",
        title="Weights in the file are not used",
        law="Weights of frames, labels or atoms count only if data.weights names them.",
        threshold="any numeric key with the word weight that is not 1",
        why="Frames that were meant to count little, or not at all, count as much as the others.",
        remedy=lambda: (
            "Name the key, e.g. "
            f"{setting('data.weights', {'frame': 'config_weight', 'forces': 'config_forces_weight'})}, or ignore this."
        ),
    )
)

SPECIES_CASE = define(
    Check(
        code="species-case",
        severity="note",
        title="Names of atoms in capitals are read as elements of two letters",
        law="A symbol of two letters has one capital: Ca is calcium, CA is often a carbon of a force field.",
        threshold="any name of two capitals that is an element when written with one",
        why="A carbon atom would be calcium, or a hydrogen atom holmium.",
        remedy=lambda: f"If they are names of a force field, say so: {setting('species', {'CA': 'C', 'HO': 'H'})}.",
    )
)

NO_LINE_END = define(
    Check(
        code="no-line-end",
        severity="warning",
        title="The last line of a file has no line end",
        law="Programs end every line, the last one too.",
        threshold="the last character of an extended XYZ file is not a line end; a last number that has fewer decimals "
        "than all others of its kind is an error when the file is read",
        why="If the file was cut off (by a full disk, for example), its last number is wrong, and frames are missing.",
        remedy="Compare the number of frames with what was computed; write the file again if it was cut off.",
    )
)
