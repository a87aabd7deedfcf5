"""pair_style equipot against ASE: systems, ranks, dynamics, restarts, other styles beside it, and what it refuses.

One start of LAMMPS runs all systems for a model and a number of ranks; each test looks at one of them.
"""

import dataclasses
import functools
import re

import ase.units
import numpy as np
import pytest
from ase.md.verlet import VelocityVerlet

from equipot.artifacts import load_compiled
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_lammps import LammpsError
from equipot_lammps._programs import run_script
from equipot_lammps._static import PRESSURE, evaluate, header, write_data
from equipot_test_support.engines import record_capability
from equipot_test_support.lammps import (
    EXACT,
    MASSES,
    SYSTEMS,
    TIME_STEP,
    TYPES,
    VERSION,
    at_rest,
    atoms_of,
    dumped,
    output,
    script_for,
    start,
    traces,
    word,
)

pytestmark = pytest.mark.slow

STEPS = 100
RANKS = (1, 2, 4)
WORST = {}
"""Largest deviation of a force so far, eV/Å, by model, ranks and where features of ghosts come from."""


@dataclasses.dataclass(frozen=True)
class Run:
    frames: dict
    trace: np.ndarray


@pytest.fixture(scope="module")
def dynamics(style, files, tmp_path_factory):
    """NVE of all systems: ``dynamics(kind, ranks, ghosts)`` gives a Run for each."""

    @functools.cache
    def run(kind, ranks, ghosts="auto"):
        folder = tmp_path_factory.mktemp(f"{kind}{ranks}{ghosts}")
        scripts = []
        for name, system in SYSTEMS.items():
            write_data(folder / f"{word(name)}.data", system, 2)
            before = start(name, files(kind), style=f"pair_style equipot ghosts {ghosts}")
            scripts.append(before + output(name, every=STEPS // 2) + f"run {STEPS}\n")
        printed = run_script("clear\n".join(scripts), folder, ranks=ranks, plugins=style)
        found = traces(printed)
        return {
            name: Run(dumped(folder / f"{word(name)}.0.dump"), trace)
            for name, trace in zip(SYSTEMS, found, strict=True)
        }

    return run


CASES = pytest.mark.parametrize(
    ("kind", "ranks", "ghosts"),
    [
        *(("strict", ranks, "auto") for ranks in RANKS),
        ("hops", 1, "auto"),  # without ghosts
        *(("hops", ranks, "layers") for ranks in RANKS),
        ("hops", 2, "shell"),
    ],
)
WAYS = {"auto": "", "layers": ", features exchanged", "shell": ", edges of ghosts"}


@CASES
@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_are_those_of_ase_along_a_trajectory(dynamics, reference, kind, ranks, ghosts, name):
    run = dynamics(kind, ranks, ghosts)[name]
    assert list(run.frames) == [0, STEPS // 2, STEPS]
    worst = 0.0
    for step, rows in run.frames.items():
        atoms = atoms_of(name, rows, reference(kind))
        worst = max(worst, np.abs(rows[:, 8:] - atoms.get_forces()).max())
        assert run.trace[step][2] == pytest.approx(atoms.get_potential_energy(), rel=EXACT, abs=EXACT)
    assert worst < EXACT
    energy = run.trace[:, 1]
    assert np.abs(energy - energy[0]).max() < 1e-3 * len(rows)
    key = (kind, ranks, ghosts)
    WORST[key] = max(WORST.get(key, 0.0), worst)
    text = "strictly local" if kind == "strict" else "message passing on compiled kernels"
    capability = f"NVE of {len(SYSTEMS)} systems, {text}, {ranks} MPI processes{WAYS[ghosts]}, {STEPS} steps"
    command = f"mpirun -np {ranks} lmp -in in.nve" if ranks > 1 else "lmp -in in.nve"
    record_capability("LAMMPS", capability, version=VERSION, command=command, deviation=f"{WORST[key]:.0e} eV/Å")


@CASES
@pytest.mark.parametrize("name", ["cubic", "triclinic"])
def test_energy_and_pressure_follow_ase(dynamics, reference, kind, ranks, ghosts, name):
    run = dynamics(kind, ranks, ghosts)[name]
    atoms = atoms_of(name, run.frames[0], reference(kind))
    mover = VelocityVerlet(atoms, timestep=1000.0 * TIME_STEP * ase.units.fs)
    for step in range(6):
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
        pressure = -np.trace(stress) / 3.0 * PRESSURE["metal"]
        assert run.trace[step][1] == pytest.approx(atoms.get_total_energy(), abs=1e-6)
        assert run.trace[step][3] == pytest.approx(pressure, rel=1e-6)
        mover.run(1)


@pytest.mark.parametrize(("kind", "before", "after"), [("strict", 2, 4), ("hops", 4, 1)])
def test_a_restart_on_another_number_of_ranks_goes_on(style, files, dynamics, tmp_path, kind, before, after):
    write_data(tmp_path / "triclinic.data", SYSTEMS["triclinic"], 2)
    first = start("triclinic", files(kind)) + f"run {STEPS // 2}\nwrite_restart half.restart\n"
    run_script(first, tmp_path, ranks=before, plugins=style)
    second = f"""box tilt large
read_restart half.restart
pair_style equipot
pair_coeff * * {files(kind)} H O
fix move all nve
timestep {TIME_STEP}
{output("triclinic", STEPS // 2)}run {STEPS // 2}
"""
    run_script(second, tmp_path, ranks=after, plugins=style)
    rows = dumped(tmp_path / "triclinic.50.dump")[STEPS]
    unbroken = dynamics(kind, 1)["triclinic"].frames[STEPS]
    np.testing.assert_allclose(rows[:, 2:8], unbroken[:, 2:8], rtol=0, atol=1e-9)
    record_capability(
        "LAMMPS",
        f"write_restart on {before} ranks, read_restart on {after}, {kind}",
        version=VERSION,
        command="read_restart half.restart",
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_units_real(style, files, reference, tmp_path, ranks):
    """A model in eV under units real: kcal/mol."""
    found = evaluate(
        files("strict"), TYPES, {"c": SYSTEMS["triclinic"]}, tmp_path, units="real", ranks=ranks, plugins=style
    )["c"]
    atoms = at_rest("triclinic", reference("strict"))
    np.testing.assert_allclose(found.forces * KCAL_PER_MOL_IN_EV, atoms.get_forces(), rtol=0, atol=EXACT)
    assert found.energy * KCAL_PER_MOL_IN_EV == pytest.approx(atoms.get_potential_energy(), rel=EXACT)
    virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(found.virial * KCAL_PER_MOL_IN_EV, virial, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.virials.sum(0) * KCAL_PER_MOL_IN_EV, virial, rtol=0, atol=1e-7)
    record_capability("LAMMPS", "units real, virials of atoms", version=VERSION, command="units real")


@pytest.mark.parametrize(("kind", "ranks"), [("strict", 2), ("hops", 2), ("hops", 1)])
def test_beside_other_styles(style, files, dynamics, tmp_path, kind, ranks):
    """hybrid/overlay, with a third type of atoms that the model does not know and does not see."""
    write_data(tmp_path / "cubic.data", SYSTEMS["cubic"], 3)
    script = f"""{header(SYSTEMS["cubic"], "metal")}read_data cubic.data
create_atoms 3 single 3.6 3.7 3.5
mass 1 {MASSES[0]}
mass 2 {MASSES[1]}
mass 3 4.0
pair_style hybrid/overlay equipot lj/cut 3.0
pair_coeff * * equipot {files(kind)} H O NULL
pair_coeff * 3 lj/cut 0.0 1.0
pair_coeff 1*2 1*2 lj/cut 0.01 1.5
compute lj all pair lj/cut
compute own all pair equipot
dump d all custom 1 both.dump id type x y z vx vy vz fx fy fz
dump_modify d sort id format float %.17g
thermo_style custom step pe c_lj c_own
thermo_modify format float %.17g
run 0
"""
    printed = run_script(script, tmp_path, ranks=ranks, plugins=style)
    _, total, lj, own = traces(printed)[0][0]
    alone = dynamics(kind, 1)["cubic"]
    assert own == pytest.approx(alone.trace[0][2], rel=EXACT)
    assert total == pytest.approx(own + lj, rel=EXACT)
    assert abs(lj) > 0.01
    forces = dumped(tmp_path / "both.dump")[0][:, 8:]
    assert np.abs(forces[-1]).max() == 0.0
    assert 1e-3 < np.abs(forces[:-1] - alone.frames[0][:, 8:]).max() < 1.0
    record_capability(
        "LAMMPS", f"hybrid/overlay, {kind}", version=VERSION, command="pair_style hybrid/overlay equipot lj/cut 3.0"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("H O", "H Xx"), "the model has no type 'Xx'; it has: H O"),
        (("H O", "H"), "one type name for each of the 2 atom types"),
        (("strict.equipot.pt2", "gone.equipot.pt2"), "there is no such file"),
        (("strict.equipot.pt2", "strict.equipot.zip"), "is not a compiled file of equipot"),
        (("units metal", "units lj"), "needs units metal or real, not lj"),
        (("units metal", "units metal\nnewton off"), "needs newton on with several MPI ranks"),
        (("fix move", "neigh_modify exclude type 1 2\nfix move"), "neigh_modify exclude takes neighbours away"),
        (("pair_style equipot", "pair_style equipot speed 3"), "unknown option 'speed'"),
        (("pair_style equipot", "pair_style equipot max_force -1"), "must be greater than 0"),
        (("pair_style equipot", "pair_style equipot ghosts far"), "ghosts must be auto, layers or shell, got 'far'"),
    ],
)
def test_refusals_say_what_to_do(style, files, tmp_path, changed, message):
    script = script_for("triclinic", files("strict"), tmp_path)
    assert changed[0] in script
    with pytest.raises(LammpsError, match=re.escape(message)):
        run_script(script.replace(*changed), tmp_path, ranks=2, plugins=style)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("create 300.0", "create 5e6", r"atom \d+ moves with a kinetic energy of .* more than max_temperature"),
        (
            "pair_style equipot",
            "pair_style equipot max_force 0.001",
            r"step 0: atom \d+ at .* more than max_force 0.001",
        ),
        ("fix move", "set atom 1*2 x 1 y 1 z 1\nfix move", "energy or force that is not finite"),
    ],
)
def test_runaway_numbers_stop_the_run(style, files, tmp_path, old, new, message):
    script = script_for("cubic", files("strict"), tmp_path).replace(old, new)
    with pytest.raises(LammpsError, match=message):
        run_script(script, tmp_path, ranks=2, plugins=style)
    record_capability(
        "LAMMPS", "runaway numbers stop the run", version=VERSION, command="pair_style equipot max_force 1e6"
    )


@pytest.mark.nightly
@pytest.mark.parametrize("ranks", [1, 2])
def test_single_precision_in_other_units(style, files, reference, tmp_path, ranks):
    """A model of float32 in kcal/mol under units metal."""
    found = evaluate(files("single"), TYPES, {"c": SYSTEMS["triclinic"]}, tmp_path, ranks=ranks, plugins=style)["c"]
    atoms = at_rest("triclinic", reference("single"))
    worst = np.abs(found.forces - atoms.get_forces()).max()
    assert worst < 1e-5
    assert found.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
    record_capability(
        "LAMMPS", "float32 model in kcal/mol", version=VERSION, command="units metal", deviation=f"{worst:.0e} eV/Å"
    )


@pytest.mark.nightly
@pytest.mark.parametrize("ranks", [1, 2])
def test_kernels_and_splines_without_python(style, files, reference, tmp_path, ranks):
    """Forces differ from the exact model by no more than the file states."""
    found = evaluate(files("splines"), TYPES, {"c": SYSTEMS["cubic"]}, tmp_path, ranks=ranks, plugins=style)["c"]
    manifest = load_compiled(files("splines"), allow_native=True).manifest
    atoms = at_rest("cubic", reference("splines"))
    worst = np.abs(found.forces - atoms.get_forces()).max()
    assert manifest.approximations["deviations"]["forces"] < 1e-3
    assert worst < 1e-3
    record_capability(
        "LAMMPS",
        "compiled kernels and radial splines",
        version=VERSION,
        command="equipot compile MODEL OUT.equipot.pt2 --target lammps --modifiers enable_RadialSplines",
        deviation=f"{worst:.0e} eV/Å",
    )
