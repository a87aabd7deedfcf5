"""pair_style equipot against ASE: systems, ranks, dynamics, restarts, other styles beside it, and what it refuses.

One start of LAMMPS runs all systems for a model and a number of ranks; each test looks at one of them.
"""

import dataclasses
import functools
import re

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.md.verlet import VelocityVerlet

from equipot.artifacts import load_compiled
from equipot.ase import EquipotCalculator
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_lammps import LammpsError
from equipot_lammps._programs import run_script
from equipot_lammps._static import PRESSURE, Structure, evaluate, header, write_data
from equipot_test_support.engines import record_capability

pytestmark = pytest.mark.slow

TYPES = ["H", "O"]
MASSES = [1.008, 15.999]
STEPS = 100
TIME_STEP = 1e-4  # ps
EXACT = 1e-10
RANKS = (1, 2, 4)
WORST = {}
"""Largest deviation of a force so far, eV/Å, by model and ranks."""
VERSION = "22Jul2025 update 4"


def grid(n, distance, *, cell=None, pbc=(True, True, True), types=None):
    """Atoms around the points of a grid, of random types."""
    random = np.random.default_rng(n)
    cell = np.eye(3) * n * distance if cell is None else np.array(cell)
    points = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) / n
    positions = points @ cell + random.normal(size=(n**3, 3)) * 0.12
    return Structure(positions, cell, pbc, list(random.integers(0, 2, n**3)) if types is None else types)


SYSTEMS = {
    "cubic": grid(4, 1.9),
    "triclinic": grid(3, 2.1, cell=[[6.4, 0.0, 0.0], [1.9, 6.1, 0.0], [-1.4, 2.2, 6.8]]),
    "slab": grid(3, 2.0, pbc=(True, True, False)),
    "wire": grid(3, 2.0, pbc=(True, False, False)),
    "cluster": grid(3, 2.0, pbc=(False, False, False)),
    # smaller than the cutoff: atoms see images of themselves
    "tiny": Structure(
        np.array([[0.1, 0, 0], [1.3, 1.2, 1.4]]),
        np.array([[2.7, 0, 0], [0.4, 2.5, 0], [0, 0.3, 2.9]]),
        (True,) * 3,
        [0, 1],
    ),
    "one element": grid(3, 2.1, types=[1] * 27),
    # all on one side of a long box: other ranks have no atoms
    "empty ranks": dataclasses.replace(grid(2, 2.0), cell=np.diag([4.0, 4.0, 60.0])),
    "lone atom": Structure(np.array([[1.0, 1.0, 1.0]]), np.eye(3) * 9.0, (True,) * 3, [1]),
    "far apart": Structure(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.eye(3), (False,) * 3, [1, 0]),
}


def word(name):
    return name.replace(" ", "_")


def start(name, model, units="metal", style="pair_style equipot"):
    """A script up to the forces."""
    system = SYSTEMS[name]
    alone = len(system.positions) == 1  # which has no temperature
    return f"""{header(system, units)}read_data {word(name)}.data
mass 1 {MASSES[0]}
mass 2 {MASSES[1]}
{style}
pair_coeff * * {model} {" ".join(TYPES)}
velocity all {"set 3.0 2.0 1.0" if alone else "create 300.0 7 loop all mom no"}
fix move all nve
timestep {TIME_STEP * (1000 if units == "real" else 1)}
"""


def output(name, first=0):
    return f"""thermo_style custom step etotal pe press
thermo 1
thermo_modify format float %.17g
dump d all custom 50 {word(name)}.{first}.dump id type xu yu zu vx vy vz fx fy fz
dump_modify d sort id format float %.17g
"""


def dumped(path):
    """Atoms and forces of each frame of a dump, by step."""
    frames, lines = {}, path.read_text().splitlines()
    heads = [index for index, line in enumerate(lines) if line == "ITEM: TIMESTEP"]
    for head in heads:
        n_atoms = int(lines[head + 3])
        rows = lines[head + 9 : head + 9 + n_atoms]
        frames[int(lines[head + 1])] = np.array([[float(value) for value in row.split()] for row in rows])
    return frames


def traces(printed):
    """Step, total energy, potential energy and pressure of every step, for each run that was printed."""
    blocks = re.findall(r"^ *Step .*\n((?: *\d+ .*\n)+)", printed, flags=re.MULTILINE)
    return [np.array([[float(value) for value in row.split()] for row in block.splitlines()]) for block in blocks]


@dataclasses.dataclass(frozen=True)
class Run:
    frames: dict
    trace: np.ndarray


@pytest.fixture(scope="module")
def dynamics(style, files, tmp_path_factory):
    """NVE of all systems: ``dynamics(kind, ranks)`` gives a Run for each."""

    @functools.cache
    def run(kind, ranks):
        folder = tmp_path_factory.mktemp(f"{kind}{ranks}")
        scripts = []
        for name, system in SYSTEMS.items():
            write_data(folder / f"{word(name)}.data", system, 2)
            scripts.append(start(name, files(kind)) + output(name) + f"run {STEPS}\n")
        printed = run_script("clear\n".join(scripts), folder, ranks=ranks, plugins=style)
        found = traces(printed)
        return {
            name: Run(dumped(folder / f"{word(name)}.0.dump"), trace)
            for name, trace in zip(SYSTEMS, found, strict=True)
        }

    return run


@pytest.fixture(scope="module")
def reference(files):
    """A calculator on the model before it was compiled: ``reference(kind)``."""

    @functools.cache
    def calculator(kind):
        return EquipotCalculator(str(files(kind)).replace(".pt2", ".zip"), max_force=None)

    return calculator


def atoms_of(name, rows, calculator):
    """A frame of a dump in ASE, with velocities."""
    system = SYSTEMS[name]
    symbols = [TYPES[int(kind) - 1] for kind in rows[:, 1]]
    cell = np.array(system.cell) * np.array(system.pbc)[:, None] + np.diag([30.0] * 3) * ~np.array(system.pbc)[:, None]
    atoms = Atoms(symbols, positions=rows[:, 2:5], cell=cell, pbc=system.pbc)
    atoms.set_masses([MASSES[int(kind) - 1] for kind in rows[:, 1]])
    atoms.set_velocities(rows[:, 5:8] / (1000.0 * ase.units.fs))
    atoms.calc = calculator
    return atoms


CASES = pytest.mark.parametrize(("kind", "ranks"), [(kind, ranks) for kind in ("strict", "hops") for ranks in RANKS])


@CASES
@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_are_those_of_ase_along_a_trajectory(dynamics, reference, kind, ranks, name):
    run = dynamics(kind, ranks)[name]
    assert list(run.frames) == [0, 50, 100]
    worst = 0.0
    for step, rows in run.frames.items():
        atoms = atoms_of(name, rows, reference(kind))
        worst = max(worst, np.abs(rows[:, 8:] - atoms.get_forces()).max())
        assert run.trace[step][2] == pytest.approx(atoms.get_potential_energy(), rel=EXACT, abs=EXACT)
    assert worst < EXACT
    energy = run.trace[:, 1]
    assert np.abs(energy - energy[0]).max() < 1e-3 * len(rows)
    WORST[kind, ranks] = max(WORST.get((kind, ranks), 0.0), worst)
    text = "strictly local" if kind == "strict" else "message passing on compiled kernels"
    capability = f"NVE of {len(SYSTEMS)} systems, {text}, {ranks} MPI processes"
    command = f"mpirun -np {ranks} lmp -in in.nve" if ranks > 1 else "lmp -in in.nve"
    record_capability(
        "LAMMPS", capability, version=VERSION, command=command, deviation=f"{WORST[kind, ranks]:.0e} eV/Å"
    )


@CASES
@pytest.mark.parametrize("name", ["cubic", "triclinic"])
def test_energy_and_pressure_follow_ase(dynamics, reference, kind, ranks, name):
    run = dynamics(kind, ranks)[name]
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
    unbroken = dynamics(kind, before)["triclinic"].frames[STEPS]
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
    system = SYSTEMS["triclinic"]
    atoms = Atoms([TYPES[kind] for kind in system.types], positions=system.positions, cell=system.cell, pbc=True)
    atoms.calc = reference("strict")
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


def script_for(name, model, tmp_path, **options):
    write_data(tmp_path / f"{word(name)}.data", SYSTEMS[name], 2)
    return start(name, model, **options) + "run 20\n"


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


def test_the_ghost_shell_of_message_passing_is_said(style, files, tmp_path):
    printed = run_script(script_for("cubic", files("hops"), tmp_path), tmp_path, ranks=2, plugins=style)
    assert "2 message layers over 2 ranks: ghost shell of 8.4 A" in printed


@pytest.mark.nightly
@pytest.mark.parametrize("ranks", [1, 2])
def test_single_precision_in_other_units(style, files, reference, tmp_path, ranks):
    """A model of float32 in kcal/mol under units metal."""
    found = evaluate(files("single"), TYPES, {"c": SYSTEMS["triclinic"]}, tmp_path, ranks=ranks, plugins=style)["c"]
    system = SYSTEMS["triclinic"]
    atoms = Atoms([TYPES[kind] for kind in system.types], positions=system.positions, cell=system.cell, pbc=True)
    atoms.calc = reference("single")
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
    system = SYSTEMS["cubic"]
    atoms = Atoms([TYPES[kind] for kind in system.types], positions=system.positions, cell=system.cell, pbc=True)
    atoms.calc = reference("splines")
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
