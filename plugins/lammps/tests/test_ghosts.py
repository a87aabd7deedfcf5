"""Where pair_style equipot gets the features of ghosts from, other kinds of models, and bonds."""

import subprocess

import numpy as np
import pytest
from ase import Atoms

from equipot_lammps import LammpsError
from equipot_lammps._programs import run_script
from equipot_lammps._static import evaluate, write_data
from equipot_lammps._wheels import SOURCES
from equipot_test_support.engines import record_capability
from equipot_test_support.lammps import (
    EXACT,
    SYSTEMS,
    TYPES,
    VERSION,
    at_rest,
    atoms_of,
    dumped,
    output,
    script_for,
    start,
    traces,
)

pytestmark = pytest.mark.slow


def test_where_features_of_ghosts_come_from_is_said(style, files, tmp_path):
    """Of a lone atom, edges cost less than messages."""
    script = "".join(
        f"clear\n{script_for(name, files('hops'), tmp_path, style=f'pair_style equipot {options}')}run 2\n"
        for name, options in (("cubic", ""), ("cubic", "ghosts shell"), ("lone atom", ""))
    )
    printed = run_script(script, tmp_path, ranks=2, plugins=style)
    said = [line for line in printed.splitlines() if "2 message layers over 2 ranks: " in line]
    assert len(said) == 3
    assert "ghosts layers: features are exchanged, ghost shell of 5.2 A; edges of ghosts would be about" in said[0]
    assert "ghosts shell: edges of ghosts are computed, about" in said[1]
    assert "ghost shell of 8.4 A" in said[1]
    assert "ghosts shell: " in said[2]


@pytest.mark.parametrize("ranks", [2, 4])
def test_other_layouts_of_ranks(style, files, reference, tmp_path, ranks):
    """Boxes of unequal sizes exchange with any number of neighbours."""
    write_data(tmp_path / "cubic.data", SYSTEMS["cubic"], 2)
    script = start("cubic", files("hops"), style="comm_style tiled\npair_style equipot ghosts layers")
    printed = run_script(
        script.replace("fix move", "balance 1.0 rcb\nfix move") + output("cubic") + "run 50\n",
        tmp_path, ranks=ranks, plugins=style,
    )  # fmt: skip
    assert "ghosts layers" in printed
    rows = dumped(tmp_path / "cubic.0.dump")[50]
    expected = atoms_of("cubic", rows, reference("hops")).get_forces()
    np.testing.assert_allclose(rows[:, 8:], expected, rtol=0, atol=EXACT)


def test_ghosts_on_one_rank_need_newton(style, files, tmp_path):
    """Images are ghosts then, whose forces must come back."""
    script = script_for("cubic", files("strict"), tmp_path, style="pair_style equipot ghosts shell")
    with pytest.raises(LammpsError, match="needs newton on"):
        run_script(script.replace("units metal", "units metal\nnewton off"), tmp_path, plugins=style)


@pytest.mark.parametrize("ranks", [1, 2])
def test_tensor_products_on_compiled_kernels(style, files, reference, tmp_path, ranks):
    """A model like Allegro."""
    found = evaluate(files("tensors"), TYPES, {"c": SYSTEMS["triclinic"]}, tmp_path, ranks=ranks, plugins=style)["c"]
    atoms = at_rest("triclinic", reference("tensors"))
    worst = np.abs(found.forces - atoms.get_forces()).max()
    assert worst < EXACT
    assert found.energy == pytest.approx(atoms.get_potential_energy(), rel=EXACT)
    virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(found.virial, virial, rtol=0, atol=EXACT)
    record_capability(
        "LAMMPS",
        f"strictly local tensor products on compiled kernels, {ranks} MPI processes",
        version=VERSION,
        command="pair_style equipot",
        deviation=f"{worst:.0e} eV/Å",
    )


def test_virials_of_atoms_with_exchanged_features(style, files, reference, tmp_path):
    options = {"ranks": 2, "plugins": style, "options": "ghosts layers"}
    found = evaluate(files("hops"), TYPES, {"c": SYSTEMS["triclinic"]}, tmp_path, **options)["c"]
    atoms = at_rest("triclinic", reference("hops"))
    virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(found.virial, virial, rtol=0, atol=EXACT)
    np.testing.assert_allclose(found.virials.sum(0), virial, rtol=0, atol=EXACT)


BONDED = """units metal
atom_style bond
region box block 0 9 0 9 0 9
create_box 2 box bond/types 1 extra/bond/per/atom 1 extra/special/per/atom 2
create_atoms 1 single 1 1 1
create_atoms 2 single 2 1.2 1
mass * 1.0
special_bonds lj/coul {factors}
bond_style zero
bond_coeff 1
pair_style equipot
pair_coeff * * {model} H O
create_bonds single/bond 1 1 2
thermo_style custom step pe pe press
thermo_modify format float %.17g
run 0
"""


def test_bonds_that_take_neighbours_away_are_refused(style, files, reference, tmp_path):
    model = files("strict")
    with pytest.raises(LammpsError, match="special_bonds takes bonded neighbours away that the model needs"):
        run_script(BONDED.format(factors="0 1 1", model=model), tmp_path, plugins=style)
    printed = run_script(BONDED.format(factors="1 1 1", model=model), tmp_path, plugins=style)
    atoms = Atoms("HO", positions=[[1, 1, 1], [2, 1.2, 1]], cell=[9, 9, 9], pbc=True)
    atoms.calc = reference("strict")
    assert traces(printed)[0][0, 1] == pytest.approx(atoms.get_potential_energy(), rel=EXACT)


FACTS = """#include "facts.h"
#include <cstdio>
#include <iostream>
int main() {
  equipot::Metadata metadata;
  for (std::string key, value; std::getline(std::cin, key) && std::getline(std::cin, value);) metadata[key] = value;
  try {
    auto facts = equipot::read_facts(metadata, "file");
    std::printf("%g %g\\n", facts.reach(), facts.wide_shell());
  } catch (const equipot::Problem &problem) {
    std::printf("%s\\n", problem.what());
  }
}
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What the pair style makes of metadata: ``facts(hops="2:0 1:1")`` gives the shells in Å, or what is wrong."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "main.cpp").write_text(FACTS)
    program, place = folder / "facts", ["-I", str(SOURCES), str(SOURCES / "facts.cpp")]
    subprocess.run(["g++", "-std=c++17", str(folder / "main.cpp"), *place, "-o", str(program)], check=True)
    outputs = "atomic_energy forces virial"
    known = {"format": "1", "target": "lammps", "type_names": "H O", "r_max": "4.0", "cutoffs": "", "exchanges": "",
             "edge_sets": "far 6.0", "units": "metal", "locality": "hops(2)", "dtype": "float64",
             "inputs": "positions", "outputs": outputs, "kernels": ""}  # fmt: skip

    def found(**changes):
        lines = [line for key, value in {**known, **changes}.items() for line in (f"equipot_{key}", value)]
        done = subprocess.run([program], input="\n".join([*lines, ""]), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return found


@pytest.mark.parametrize(
    ("hops", "found"),
    [
        ("2:0 1:1", "6 8"),  # two layers of 4 Å and a term of 6 Å, which counts once
        ("1:0 2:1", "6 12"),
        ("3:0:1", "6 18"),  # the term reads what the layers made
        ("2:0", "file: its metadata equipot_hops are damaged, got '2:0'; compile it again"),
        ("2:0 2:0:1", "file: its metadata equipot_hops are damaged, got '2:0 2:0:1'; compile it again"),
        ("0:0 1:1", "file: its metadata equipot_hops are damaged, got '0:0 1:1'; compile it again"),
        ("2:0 1:2", "file: its metadata equipot_hops are damaged, got '2:0 1:2'; compile it again"),
    ],
)
def test_the_width_of_the_shell(facts, hops, found):
    assert facts(hops=hops) == found
