"""Calculators of every kind of model: odd geometry, copies, other processes, threads."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import threading
import time
from pathlib import Path

import cloudpickle
import dask
import joblib
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from joblib.externals.loky import get_reusable_executor

from equipot.artifacts import write_package
from equipot.ase import EquipotCalculator
from equipot.compile import compile_model
from equipot.errors import ArtifactError, ConfigError, DataError
from equipot.model import AllegroModel, InvariantModel, NequIPGNNModel, apply_modifier
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_test_support.travel import evaluate, evaluate_and_return

ELEMENTS = {"type_names": ["C", "H", "O"], "r_max": 4.0, "seed": 2, "model_dtype": "float64"}
SMALL = {**ELEMENTS, "l_max": 1, "num_layers": 2, "avg_num_neighbors": 9.0}
OPTIONS = {"skin": 0.3, "max_force": 2e4, "max_temperature": None}


@pytest.fixture(scope="module", autouse=True)
def _one_thread(kernel_folder):
    """Sums of several threads are in any order; kernels are built once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


def nequip(*modifiers):
    model = NequIPGNNModel(**SMALL, num_features=3, radial_mlp_width=4, num_bessels=4, parity=False).build().eval()
    for name in modifiers:
        model = apply_modifier(model, name, {"tolerance": 1e-4} if name == "enable_RadialSplines" else {})
    return model


def allegro(*modifiers):
    embed = TwoBodyBesselScalarEmbed(num_bessels=4)
    sizes = {"num_scalar_features": 4, "num_tensor_features": 2}
    model = AllegroModel(**SMALL, **sizes, radial_chemical_embed=embed).build().eval()
    for name in modifiers:
        model = apply_modifier(model, name)
    return model


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compiled files, made when they are first asked for: ``compiled(kind)``."""
    folder, made = tmp_path_factory.mktemp("compiled"), {}

    def path(kind):
        if kind not in made:
            made[kind] = folder / f"{len(made)}.equipot.pt2"
            compile_model(COMPILED[kind](), made[kind])
        return made[kind]

    return path


FUSED, SPLINES = "enable_FusedKernels", "enable_RadialSplines"
FILES = ["checkpoint", "package", "package with kernels"]
COMPILED = {
    "compiled": lambda: InvariantModel(**ELEMENTS, avg_num_neighbors=9.0).build().eval(),
    "compiled with kernels and splines": lambda: nequip(FUSED, SPLINES),
}
MODELS = {
    "model": nequip,
    "kernels": lambda: nequip(FUSED),
    "splines": lambda: nequip(SPLINES),
    "kernels and splines": lambda: nequip(FUSED, SPLINES),
    "allegro": lambda: allegro(FUSED),
}


EAGER = [*FILES, *MODELS]


@pytest.fixture
def calculator(request, tmp_path, make_model, make_checkpoint):
    kind = request.param
    if kind in MODELS:
        model = MODELS[kind]()
    elif kind == "checkpoint":
        model = make_checkpoint(make_model())
    elif kind in COMPILED:
        model = request.getfixturevalue("compiled")(kind)
    else:
        model = tmp_path / "model.equipot.zip"
        write_package(nequip(FUSED) if "kernels" in kind else make_model(), model)
    return EquipotCalculator(model, **OPTIONS)


@pytest.fixture(scope="module")
def workers():
    """Processes that share nothing with this one."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool
    get_reusable_executor().shutdown(wait=True)


WAYS = {
    "spawn": lambda do, atoms, pool: pool.submit(do, atoms).result(),
    "joblib": lambda do, atoms, pool: joblib.Parallel(n_jobs=2)(joblib.delayed(do)(one) for one in [atoms] * 2)[1],
    "dask": lambda do, atoms, pool: dask.compute(dask.delayed(do)(atoms), scheduler="processes", pool=pool)[0],
}

every_kind = pytest.mark.parametrize(
    "calculator", [*EAGER, *(pytest.param(kind, marks=pytest.mark.slow) for kind in COMPILED)], indirect=True
)
every_kind_slowly = pytest.mark.parametrize("calculator", [*EAGER, *COMPILED], indirect=True)


def crystal():
    atoms = bulk("CO", "zincblende", a=4.4).repeat((2, 1, 1))
    atoms.rattle(0.1, seed=3)
    return atoms


def same(found, expected):
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected), (found, expected)


# ------------------------------------------------------------------------ odd geometry


def slab(height=0.0):
    atoms = bulk("CO", "zincblende", a=4.4, cubic=True).repeat((2, 2, 1))
    atoms.rattle(0.1, seed=3)
    atoms.set_cell([8.8, 8.8, height])
    atoms.pbc = (True, True, False)
    return atoms


@every_kind
def test_atoms_far_apart_are_alone(calculator):
    alone = calculator.get_potential_energy(Atoms("O"))
    for distance in (100.0, 1e6, 9e7):
        pair = Atoms("OO", [[0, 0, 0], [0, distance, 0]])
        assert calculator.get_potential_energy(pair) == pytest.approx(2.0 * alone, rel=1e-14, abs=1e-12)
        assert not calculator.get_forces(pair).any()


@every_kind
def test_a_fragment_far_above_a_slab_costs_no_time(calculator):
    surface, water = slab(), molecule("H2O")
    energies = [calculator.get_potential_energy(surface), calculator.get_potential_energy(water)]
    forces = np.concatenate([calculator.get_forces(surface), calculator.get_forces(water)])
    for height in (1e2, 1e4, 1e7):
        both = surface + water
        both.positions[-3:] += [3.0, 3.0, height]
        start = time.perf_counter()
        assert calculator.get_potential_energy(both) == pytest.approx(sum(energies), abs=1e-5)
        assert time.perf_counter() - start < 5.0  # seconds; with time for the empty space it would be hours
        assert np.abs(calculator.get_forces(both) - forces).max() < 1e-5


@every_kind
def test_cells_of_lower_rank(calculator):
    expected = calculator.get_potential_energy(slab(50.0))
    assert calculator.get_potential_energy(slab()) == pytest.approx(expected, abs=1e-9)
    wire = bulk("CO", "zincblende", a=4.4, cubic=True)
    wire.pbc = (True, False, False)
    expected = calculator.get_potential_energy(wire)
    wire.set_cell([[4.4, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert calculator.get_potential_energy(wire) == pytest.approx(expected, abs=1e-9)


@every_kind
def test_unwrapped_atoms_are_right_or_refused(calculator):
    atoms = crystal()
    energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
    atoms.positions[::2] += 1e6 * atoms.cell.array[0] - 3e5 * atoms.cell.array[2]
    assert calculator.get_potential_energy(atoms) == pytest.approx(energy, abs=1e-5)
    assert np.abs(calculator.get_forces(atoms) - forces).max() < 1e-5
    atoms.positions[1] += 1e12
    with pytest.raises(DataError, match=r"coordinates must be finite and below 1e\+08 Å"):
        calculator.get_potential_energy(atoms)
    tiny = Atoms("CO", [[0, 0, 0], [0.0005, 0, 0]], cell=[1e-3] * 3, pbc=True)
    with pytest.raises(DataError, match="cell: is so small that a radius of .* check the unit of the cell vectors"):
        calculator.get_potential_energy(tiny)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "calculator",
    [
        pytest.param("allegro", marks=pytest.mark.nightly),
        "kernels and splines",
        pytest.param("compiled", marks=pytest.mark.nightly),
    ],
    indirect=True,
)
def test_a_hundred_thousand_atoms(calculator):
    cell = bulk("CO", "rocksalt", a=4.2, cubic=True)
    atoms = cell.repeat((24, 23, 23))
    assert len(atoms) > 100_000
    expected = calculator.get_potential_energy(cell) / len(cell)
    assert calculator.get_potential_energy(atoms) / len(atoms) == pytest.approx(expected, abs=1e-8)
    assert np.abs(calculator.get_forces(atoms)).max() < 1e-8


# ------------------------------------------------------------------------ copies and other processes


@every_kind
def test_copies_are_independent_and_give_the_same_numbers(calculator):
    atoms = crystal()
    atoms.calc = calculator
    atoms.get_potential_energy()
    expected = dict(calculator.results)
    for copied in (copy.deepcopy(atoms), *(way.loads(way.dumps(atoms)) for way in (pickle, cloudpickle))):
        assert copied.calc is not calculator
        assert not copied.calc.calculation_required(copied, ["energy", "forces"])
        same(copied.calc.results, expected)
        same(evaluate(copied), expected)
        for option in ("guard", "device", "info", "implemented_properties"):
            assert getattr(copied.calc, option) == getattr(calculator, option)
        assert copied.calc.neighbors.skin == 0.3
        copied.positions += 0.1
        copied.get_forces()
        assert not calculator.calculation_required(atoms, ["energy", "forces"])
    assert len(pickle.dumps(atoms)) < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@every_kind_slowly
def test_other_processes_give_the_same_numbers(calculator, way, workers):
    atoms = crystal()
    atoms.calc = calculator
    expected = evaluate(atoms)
    same(WAYS[way](evaluate, atoms, workers), expected)
    returned = WAYS[way](evaluate_and_return, atoms, workers)
    assert returned.calc is not calculator
    same(evaluate(returned), expected)


@pytest.mark.slow
@pytest.mark.parametrize("calculator", ["compiled"], indirect=True)
def test_a_file_that_is_not_the_same_is_one_error(calculator, compiled, tmp_path, workers, make_model):
    path = tmp_path / "sent.equipot.pt2"
    path.write_bytes(compiled("compiled").read_bytes())
    atoms = crystal()
    atoms.calc = EquipotCalculator(path, allow_native=True)
    atoms.get_potential_energy()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="sent here as the path of its file, but the file has changed since; load"):
        workers.submit(evaluate, atoms).result(timeout=60)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"but there is no such file; keep it where all processes can read it"):
        workers.submit(evaluate, atoms).result(timeout=60)
    copied = copy.deepcopy(atoms)
    assert evaluate(copied)["energy"] == calculator.get_potential_energy(crystal())


@pytest.mark.slow
def test_many_models_need_no_open_files(workers):
    """Torch's own way to send tensors opens a file for each."""
    atoms = crystal()
    atoms.calc = EquipotCalculator(nequip())
    workers.submit(evaluate, atoms).result()
    files = Path("/proc/self/fd")
    before = len(list(files.iterdir()))
    returned = [workers.submit(evaluate_and_return, atoms).result() for _ in range(5)]
    assert len(returned) == 5
    assert len(list(files.iterdir())) <= before


# ------------------------------------------------------------------------ threads


def in_threads(work, n_threads=8):
    failed = []

    def guarded(index):
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - of any kind, in a thread
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(index,), daemon=True) for index in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]


def agree(found, expected):
    """Whether two results agree to rounding: after some calls a model may be computed by a program."""
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-13, atol=1e-13)


FRAMES: list[Atoms] = [molecule("CH3OH"), molecule("H2O"), molecule("CH4"), crystal()] * 2


@pytest.mark.slow
@every_kind_slowly
@pytest.mark.parametrize("own", [False, True])
def test_threads_give_the_numbers_of_one(calculator, own):
    frames = [atoms.copy() for atoms in FRAMES]
    for index, atoms in enumerate(frames):
        atoms.rattle(0.01, seed=index)
    expected = []
    for atoms in frames:
        atoms.calc = copy.deepcopy(calculator)
        expected.append(evaluate(atoms))
        atoms.calc = copy.deepcopy(calculator) if own else calculator
    refused = []

    def work(index):
        atoms, right = frames[index], expected[index]
        for step in range(15):
            assert agree(atoms.get_potential_energy(), right["energy"])
            assert agree(atoms.get_forces(), right["forces"])
            assert agree(atoms.get_properties(["energy"])["energy"], right["energy"])
            if atoms.pbc.all():
                assert agree(atoms.get_stress(), right["stress"])
            kept = atoms.calc.get_property("energies", atoms, allow_calculation=False)
            assert kept is None or agree(kept, right["energies"])
            try:
                atoms.calc.calculate(atoms)
                assert agree(atoms.calc.results["energy"], right["energy"])
                assert np.array_equal(atoms.calc.atoms.positions, atoms.positions)
            except ConfigError as error:
                refused.append(error)
            if step % 10 == 5:
                atoms.calc.reset()

    in_threads(work)
    assert not (own and refused)
    assert all("another thread has used this calculator" in str(error) for error in refused)
