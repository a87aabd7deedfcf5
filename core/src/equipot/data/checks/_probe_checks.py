"""What the checks of consistency look for: energies, forces and stresses that do not belong together."""

from __future__ import annotations

from equipot.commands import setting
from equipot.data.checks._catalogue import Check, define

FORCES_UNRELATED = define(
    Check(
        code="forces-unrelated",
        severity="warning",
        title="Forces do not follow from the positions",
        law="A simple linear model of pairs and neighbour densities explains most of the forces of the frames that it "
        "was not fitted to.",
        threshold="It explains less than 30 % of the variance of the forces (sound sets: 80 % and more), or less than "
        "70 % where it explains over 70 %, and 20 % more, with a usual mistake taken back.",
        why="There is nothing to learn: the forces are those of other frames, of another order of the atoms, of "
        "another orientation, or of other cells.",
        remedy="Compare how positions and forces of one frame were written: the same frame, the same order of atoms, "
        "the same axes, cell vectors as rows.",
    )
)
FORCES_MISPLACED = define(
    Check(
        code="forces-misplaced",
        severity="warning",
        title="Forces of single frames belong to other atoms or another frame",
        law="Where a simple model explains the forces of a set, it finds the direction of the forces in each frame.",
        threshold="Cosine between modelled and given forces of a frame below 0.3, where the set's fit explains over "
        "70 % and the frame's forces are not small (at least 0.3 of the median frame's).",
        why="A few such frames cost as much as many sound ones can teach.",
        remedy="Recompute these frames or leave them out.",
    )
)
FORCES_TORQUE = define(
    Check(
        code="forces-torque",
        severity="warning",
        title="Forces turn a free molecule",
        law="Forces on a molecule without periodicity and outer field exert no torque.",
        threshold="Torque above 2 % of the sum of all levers times forces, with a net force below 5 % of all forces.",
        why="The forces belong to another order of the atoms, another orientation (e.g. the standard orientation of a "
        "quantum-chemistry program) or another frame.",
        remedy="Write positions and forces in the same axes and the same order; with an outer field or point charges "
        "silence this check.",
    )
)
FORCES_SIGN = define(
    Check(
        code="forces-sign",
        severity="warning",
        title="Forces have the wrong sign",
        law="Forces are minus the gradient of the energy.",
        threshold="One model explains energies and forces together with the sign of one flipped, and not as they are: "
        "explained variance of the energies higher by more than 0.3; or bonds of hydrogen push when stretched.",
        why="Atoms would be driven uphill: structures fall apart in the first steps of a simulation.",
        remedy="Many programs print gradients: multiply by -1.",
    )
)
FORCES_UNIT = define(
    Check(
        code="forces-unit",
        severity="warning",
        title="Units of energies and forces do not agree, or neither can be right",
        law="One model explains energies and forces together. Stretching a bond of hydrogen with carbon, nitrogen or "
        "oxygen costs 15 to 90 eV/Å².",
        threshold="With energies divided by a factor beyond 4 (or below 1/4) the explained parts of energies and "
        "forces together grow by more than 0.3; or the bonds' stiffness is below 6 or above 250 eV/Å².",
        why="Energies and forces pull the model in different directions; if both are wrong together, training looks "
        "fine and every simulation is wrong.",
        remedy=lambda: (
            f"Convert to eV and eV/Å before training; kcal/mol and kcal/mol/Å are read with {setting('units', 'real')}."
        ),
    )
)
ENERGY_UNIT = define(
    Check(
        code="energy-unit",
        severity="warning",
        title="Energies lie where no energies in eV can be",
        law="The energy of atoms is not below that of all their electrons (Thomas-Fermi energy with Scott's and "
        "Schwinger's corrections), which is -13.6 eV for hydrogen and -1030 eV for carbon.",
        threshold="Median over the frames below 1.25 times that sum (kcal/mol, kJ/mol, an added offset), or within 3 "
        "% of it when read as Hartree or Rydberg.",
        why="Errors in meV mean nothing, and energies of other sources cannot be combined with these.",
        remedy=lambda: (
            f"Convert to eV; kcal/mol are read with {setting('units', 'real')}. An offset per atom is best taken off."
        ),
    )
)
ENERGY_OUTLIER = define(
    Check(
        code="energy-outlier",
        severity="warning",
        title="Energies of single frames do not fit",
        law="What a fit to energies and forces leaves of the energies is alike in all frames.",
        threshold="Residual per square root of the number of atoms over 30 robust standard deviations.",
        why="One such frame can outweigh all others in a squared loss.",
        remedy="Look at these calculations: another reference (cohesive energy), another set-up, no convergence.",
    )
)
ENERGY_RESIDUAL = define(
    Check(
        code="energy-residual",
        severity="note",
        title="Energies of single frames are unusual",
        law="What a fit to energies and forces leaves of the energies is alike in all frames.",
        threshold="Residual per square root of the number of atoms of 8 to 30 robust standard deviations.",
        why="Often strained or hot frames, sometimes wrong ones.",
        remedy="Look at the first of these frames.",
    )
)
ENERGY_RAISED = define(
    Check(
        code="energy-raised",
        severity="warning",
        title="A group of energies is too high or too low",
        law="Unusual residuals of the energies are few and of both signs.",
        threshold="At least 3 frames and 1 %, with ordinary forces (up to twice the median frame's), with residuals "
        "over 12 robust standard deviations, 9 in 10 of one sign.",
        why="Self-consistent fields that did not converge, or ended in an excited state, leave the energy too high "
        "while the forces look right.",
        remedy="Look for warnings of convergence in the outputs of these frames; recompute them or leave them out.",
    )
)
ENERGY_LEVELS = define(
    Check(
        code="energy-levels",
        severity="warning",
        title="Energies of two levels of theory",
        law="The residuals of the energies after a joint fit form one group.",
        threshold="Two groups, each of at least 10 % of the frames, explain more than 90 % of the residuals' variance "
        "(one normal distribution: 64 %), with a gap between them of over 4 standard deviations within a group.",
        why="Two functionals, basis sets or pseudopotentials differ by an amount per atom that no potential can "
        "follow.",
        remedy="Compute all frames with the same settings, or train on one group.",
    )
)
ENERGY_PER_ATOM = define(
    Check(
        code="energy-per-atom",
        severity="warning",
        title="Energies are per atom",
        law="Energies of frames grow with their number of atoms.",
        threshold="Where sizes differ: the energy grows with less than the power 0.3 of the size; or one model "
        "explains energies times the number of atoms (explained parts of energies and forces together higher by 0.3).",
        why="Models predict total energies: large frames would get far too small ones.",
        remedy="Multiply by the number of atoms, or read the key with the total energy.",
    )
)
ENERGY_COHESIVE = define(
    Check(
        code="energy-cohesive",
        severity="warning",
        title="Energies and isolated atoms have different zeros",
        law="Binding energies, which are energies minus those of the isolated atoms, lie between -15 and 30 eV per "
        "atom.",
        threshold="Median outside of this range, in a set with isolated atoms of all its elements.",
        why="Cohesive or formation energies with total energies of atoms: shifts would be wrong by hundreds of eV.",
        remedy="Give total energies throughout, or leave the isolated atoms out.",
    )
)
STRESS_SIGN = define(
    Check(
        code="stress-sign",
        severity="warning",
        title="Stress has the wrong sign",
        law="Stress is positive under tension; it follows from the pairs that explain the forces.",
        threshold="Slope of the given on the modelled shear (or deviatoric) stress negative, with a correlation "
        "stronger than -0.7.",
        why="Cells would grow when compressed.",
        remedy=lambda: (
            "VASP and QUIP virials count compression as positive: "
            f"{setting('labels', {'stress': '{key: KEY, convention: negative_stress}'})}."
        ),
    )
)
STRESS_UNIT = define(
    Check(
        code="stress-unit",
        severity="warning",
        title="Stress has another unit, or is a virial",
        law="Stress in eV/Å³ follows from the pairs that explain the forces in eV/Å.",
        threshold="Slope of the given on the modelled shear (or deviatoric) stress outside of 1/4 to 4 with a "
        "correlation over 0.7; or any component over 3 eV/Å³ (480 GPa) with a median over 1.",
        why="Stress outweighs energies and forces, or counts for nothing.",
        remedy=lambda: (
            "Divide GPa by 160.2 and kbar by 1602; a virial in eV is read with "
            f"{setting('labels', {'stress': '{key: KEY, convention: virial}'})}."
        ),
    )
)
STRESS_ORDER = define(
    Check(
        code="stress-order",
        severity="warning",
        title="Components of the stress are in another order",
        law="Six numbers are in the order xx yy zz yz xz xy.",
        threshold="Correlation of the shear components with the model in another order higher by more than 0.25 than "
        "in this order, and over 0.7.",
        why="Shear would be learnt along wrong axes; energies and forces hide it.",
        remedy="VASP writes xx yy zz xy yz zx: reorder, or give the nine numbers of the tensor.",
    )
)
FORCES_ZEROED = define(
    Check(
        code="forces-zeroed",
        severity="warning",
        title="Forces of some atoms are exactly zero",
        law="Forces of all atoms are those of the calculation, and their sum is zero.",
        threshold="More than 2 % of the atoms have a force of exactly zero in frames whose other atoms have forces "
        "that do not add up to zero (over 1 % of their size).",
        why="The model learns that atoms feel nothing where constraints (fixed layers) were applied when writing.",
        remedy="Write the raw forces (in ASE: get_forces(apply_constraint=False)).",
    )
)
ELEMENT_LABEL = define(
    Check(
        code="element-label",
        severity="warning",
        title="Single frames have an element that their energies deny",
        law="Frames of different composition have different energies.",
        threshold="A composition of at most 2 % of the frames with energies inside the range of another one with the "
        "same number of atoms, which has 20 frames and more.",
        why="The energies of the elements are fitted to a mistake.",
        remedy="Compare the elements of these frames with those of the others.",
    )
)
POSITIONS_UNIT = define(
    Check(
        code="positions-unit",
        severity="warning",
        title="Distances between atoms are those of another unit",
        law="Nearest neighbours are at about the sum of their covalent radii.",
        threshold="Median of the nearest distance over that sum outside 0.5 to 1.5, without noble gases and dimers.",
        why="Positions in Bohr or in fractions of the cell: forces, stress and densities are wrong throughout.",
        remedy="Multiply positions and cell in Bohr by 0.5292; multiply fractional coordinates by the cell.",
    )
)
CELL_TRANSPOSED = define(
    Check(
        code="cell-transposed",
        severity="warning",
        title="Cell vectors are columns",
        law="Cell vectors are rows; atoms then keep their distances across the boundaries.",
        threshold="At least 3 frames, and one in ten of those with lopsided cells, have atoms nearer than 0.55 of the "
        "sum of the covalent radii, and none nearer than 0.7 with the cell transposed.",
        why="Neighbours across the boundaries are at wrong places.",
        remedy="Transpose the cell when writing.",
    )
)
