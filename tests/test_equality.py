"""One matrix of equality: every way to a number against every odd frame, in float64 and float32.

The expected numbers come from the trained model in memory, called with edges that are found by brute force, so that no
path shares a neighbour list, a file or a calculator with them.
"""

import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.io import write
from scipy.spatial import cKDTree

from equipot.artifacts import load, load_model, write_package
from equipot.ase import EquipotCalculator
from equipot.ase import _evaluate_in_parts as in_parts
from equipot.data._frames import frame_from_atoms
from equipot.data.transforms import default_transforms
from equipot.errors import DataError
from equipot.graph import collate, split
from equipot.model import apply_modifier
from equipot_test_support.commands import equipot
from equipot_test_support.folders import SMALL_ALLEGRO, current
from equipot_test_support.odd_frames import CELL, FRAMES, REFUSED, frame, pair, two_waters
from equipot_test_support.roads import with_forces
from equipot_test_support.water import CONFIG, random_labels
from equipot_testing.frames import Structure

TOLERANCE = {"float64": 1e-10, "float32": 2e-5}
"""Largest deviation relative to the largest magnitude (at least 1) of energy, forces or stress, between two paths."""

SPLINES = 1e-4
"""The tolerance that splines are asked for, eV/Å of a force component; the energy of each atom and stresses are held to
it as well."""

MODELS = {
    "NequIPGNNModel": {"num_layers": 2, "l_max": 1, "num_features": 4, "radial_mlp_width": 8},
    "AllegroModel": {
        "radial_chemical_embed": {"_target_": "equipot_allegro.TwoBodyBesselScalarEmbed", "num_bessels": 4},
        **SMALL_ALLEGRO,
    },
}

# ------------------------------------------------------------------------ the files


class Files:
    """A small model trained for two epochs, and its files, made on demand in one folder."""

    def __init__(self, name, dtype, folder):
        self.name, self.dtype, self.folder = name, dtype, folder
        self._made, self._paths = {}, {}

    def path(self, name):
        """The function of atoms that one of the paths consists of; its model is loaded once for all frames."""
        if name not in self._paths:
            self._paths[name] = PATHS[name](self)
        return self._paths[name]

    def __getitem__(self, kind):
        """What the method of this name makes, made once."""
        if kind not in self._made:
            self._made[kind] = getattr(self, f"_{kind}")()
        return self._made[kind]

    # Each method below makes what is asked for by its name without the underscore.

    def _config(self):
        made = yaml.safe_load(CONFIG)
        made["run"] = ["train"]
        made["training_module"]["model"] |= {
            "_target_": f"equipot.model.{self.name}",
            "pair_potential": {"_target_": "equipot.pair_potentials.ZBL", "units": "metal"},
            **MODELS[self.name],
            "model_dtype": self.dtype,
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(made), encoding="utf-8")
        write(self.folder / "water.extxyz", random_labels(20, cell=[6.0] * 3, spread=0.1))
        return path

    def _checkpoint(self):
        equipot("train", self["config"], "--output", "whole")
        return self.folder / "whole" / "last.ckpt"

    def _resumed(self):
        equipot("train", self["config"], "--output", "half", "trainer.max_epochs=1")
        resume = ["--resume", "half/last.ckpt", "--allow", "trainer.max_epochs"]
        equipot("train", self["config"], "--output", "rest", *resume)
        return self.folder / "rest" / "last.ckpt"

    def _model(self):
        return load_model(self["checkpoint"]).eval()

    def _package(self):
        return self._packaged("checkpoint", "model.equipot.zip")

    def _energy_only(self):
        """The package without forces, as if trained on energies alone."""
        path = self.folder / "energy_only.equipot.zip"
        equipot("package", "modify", self["package"], path, "--modifiers", "disable_ForceStressOutput")
        assert load_model(path).info.outputs == ("atomic_energy", "total_energy")
        return path

    def _modified(self):
        path = self.folder / "modified.equipot.zip"
        equipot("package", "modify", self["energy_only"], path, "--modifiers", "enable_ForceStressOutput")
        return path

    def _compiled(self):
        path = self.folder / "model.equipot.pt2"
        equipot("compile", self["package"], path)
        return path

    def _compiled_fast(self):
        path = self.folder / "fast.equipot.pt2"
        modifiers = ["--modifiers", "enable_FusedKernels", f"enable_RadialSplines:tolerance={SPLINES}"]
        equipot("compile", self["package"], path, *modifiers)
        return path

    def _without_plugin(self):
        """Numbers of all frames from a package of the model on kernels, in a process without the kernels' plugin."""
        write_package(apply_modifier(self["model"], "enable_FusedKernels"), self.folder / "on_kernels.equipot.zip")
        write(self.folder / "frames.traj", [frame(name) for name in FRAMES])
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT, "on_kernels.equipot.zip", "frames.traj"],
            env={**os.environ, "EQUIPOT_PLUGINS": "-kernels"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _packaged(self, kind, name):
        equipot("package", "build", self[kind], name)
        return self.folder / name

    def _expected(self):
        """Numbers of each frame, with edges by brute force."""
        return {name: _brute_force(self["model"], frame(name)) for name in FRAMES if name not in REFUSED}


def _brute_force(model, atoms):
    types = torch.tensor([model.info.chemical_species.index(symbol) for symbol in atoms.symbols])
    cell = torch.from_numpy(atoms.cell.array.copy())
    positions = torch.from_numpy(np.array(atoms.get_positions(), dtype=np.float64, order="C"))
    structure = Structure(positions, types, cell, tuple(map(bool, atoms.pbc)))
    if len(atoms) < 1000:
        return _numbers(model(structure.graph(model.info)))
    pairs = cKDTree(positions.numpy()).query_pairs(model.info.r_max, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    lengths = np.linalg.norm(positions.numpy()[both[:, 1]] - positions.numpy()[both[:, 0]], axis=1)
    both = both[lengths < model.info.r_max]
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    empty = Structure(positions[:1], types[:1], cell, (False, False, False)).graph(model.info)
    edges = {
        "edge_index": torch.from_numpy(both.T.copy()).long(),
        "edge_cell_shift": torch.zeros(len(both), 3, dtype=torch.float64),
    }
    atom = {
        "positions": positions,
        "atom_types": types,
        "atomic_numbers": torch.from_numpy(atoms.numbers.astype(np.int64)),
        "batch": torch.zeros(len(atoms), dtype=torch.int64),
        "num_atoms": torch.tensor([len(atoms)]),
    }
    return _numbers(model({**empty, **atom, **edges}))


def _numbers(outputs):
    found = {"energy": outputs["total_energy"], "energies": outputs["atomic_energy"], "forces": outputs["forces"]}
    if bool(outputs["stress_mask"][0]):
        found["stress"] = outputs["stress"]
    return {key: value.detach().double().numpy().reshape(-1) for key, value in found.items()}


# ------------------------------------------------------------------------ the paths


def _calculated(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    found = {"energy": atoms.get_potential_energy(), "energies": atoms.get_potential_energies()}
    found["forces"] = atoms.get_forces()
    if atoms.cell.rank == 3 and atoms.pbc.any():
        found["stress"] = atoms.get_stress(voigt=False)
    return {key: np.asarray(value, dtype=np.float64).reshape(-1) for key, value in found.items()}


def _in_ase(kind):
    def path(files):
        model = load(files[kind]) if isinstance(files[kind], Path) else files[kind]
        return lambda atoms: _calculated(EquipotCalculator(model), atoms)

    return path


def _modified(*steps):
    def path(files):
        model = files["model"]
        for name, options in steps:
            model = apply_modifier(model, name, options)
        return lambda atoms: _calculated(EquipotCalculator(model), atoms)

    return path


def _recipe(files):
    model = with_forces(files["energy_only"])
    return lambda atoms: _calculated(EquipotCalculator(model), atoms)


def _in_a_batch(files):
    """The frame between two others."""
    model = files["model"]

    def path(atoms):
        graphs = []
        for one in (two_waters(CELL, pbc=True), atoms, pair(2.0)):
            graph, _ = frame_from_atoms(one, {})
            for transform in default_transforms(model.info):
                graph = transform(graph)
            graphs.append(graph)
        batch = collate(graphs)
        return _numbers(split({**batch, **model(batch)})[1])

    return path


def _in_parts(files):
    """As a large frame of a strictly local model is evaluated: in parts of 60 edges, or 50 000 for the large one."""

    def path(atoms):
        graph, _ = frame_from_atoms(atoms, {})
        for transform in default_transforms(files["model"].info):
            graph = transform(graph)
        return _numbers(in_parts.evaluate(files["model"], graph, 60 if len(atoms) < 1000 else 50_000))

    return path


def _two_torch_threads(files):
    def path(atoms):
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            return _calculated(EquipotCalculator(files["model"]), atoms)
        finally:
            torch.set_num_threads(before)

    return path


def _other_python_threads(files):
    """Four threads at once, each with a calculator of its own; all must agree."""

    def path(atoms):
        calculators = [EquipotCalculator(files["model"]) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda one: _calculated(one, atoms), calculators))
        for other in found[1:]:
            for key, value in found[0].items():
                np.testing.assert_allclose(other[key], value, rtol=0, atol=1e-12 * max(1.0, abs(value).max()))
        return found[0]

    return path


def _travelled(change, kind):
    def path(files):
        calculator = change(EquipotCalculator(files[kind]))
        return lambda atoms: _calculated(change(calculator), atoms)  # also with what it keeps of the frame before

    return path


def _pickled(calculator):
    return pickle.loads(pickle.dumps(calculator))  # noqa: S301 - ours, made on this line


def _after_another_frame(files):
    """A calculator that has just seen other atoms in another cell, and then the frame a little moved."""

    def path(atoms):
        calculator = EquipotCalculator(files["model"])
        _calculated(calculator, two_waters(CELL * 1.3, pbc=True))
        moved = atoms.copy()
        moved.arrays["positions"] = moved.positions + 0.01 * np.cos(moved.positions)  # what coincides stays so
        if len(atoms) > 1:
            _calculated(calculator, moved)
        return _calculated(calculator, atoms)

    return path


_WITHOUT = """
import json, sys
from ase.io import read
from equipot.ase import EquipotCalculator
from equipot.errors import EquipotError
found = {}
for atoms in read(sys.argv[2], ":"):
    atoms.calc = EquipotCalculator(sys.argv[1])
    try:
        one = {"energy": [atoms.get_potential_energy()], "energies": atoms.get_potential_energies().tolist()}
        one["forces"] = atoms.get_forces().ravel().tolist()
        if atoms.cell.rank == 3 and atoms.pbc.any():
            one["stress"] = atoms.get_stress(voigt=False).ravel().tolist()
    except EquipotError as error:
        one = str(error)
    found[atoms.info["frame"]] = one
print(json.dumps(found))
"""


def _plugin_absent(files):
    def path(atoms):
        found = files["without_plugin"][atoms.info["frame"]]
        if isinstance(found, str):
            raise DataError(found)
        return {key: np.array(value) for key, value in found.items()}

    return path


PATHS = {
    "eager": _in_ase("model"),
    "checkpoint": _in_ase("checkpoint"),
    "package": _in_ase("package"),
    "after resume": _in_ase("resumed"),
    "after modify": _in_ase("modified"),
    "energy-only with forces enabled": _recipe,
    "compiled": _in_ase("compiled"),
    "kernels": _modified(("enable_FusedKernels", {})),
    "splines": _modified(("enable_RadialSplines", {"tolerance": SPLINES})),
    "compiled kernels and splines": _in_ase("compiled_fast"),
    "batch": _in_a_batch,
    "parts": _in_parts,
    "two threads of torch": _two_torch_threads,
    "four calculators in threads": _other_python_threads,
    "after another frame": _after_another_frame,
    "pickled": _travelled(_pickled, "package"),
    "pickled compiled": _travelled(_pickled, "compiled"),
    "deep-copied": _travelled(copy.deepcopy, "checkpoint"),
    "plugin absent": _plugin_absent,
}

VARIANTS = [(model, dtype) for model in MODELS for dtype in TOLERANCE]

COMPILED = {"compiled": ("AllegroModel", "float32"), "compiled kernels and splines": ("NequIPGNNModel", "float64")}
"""The one model that is compiled on each path, since it takes minutes; other tests compile others."""


def applies(path, variant):
    """Only a strictly local model can be evaluated in parts."""
    if "compiled" in path:
        return variant == COMPILED[path.removeprefix("pickled ")]
    return path != "parts" or "AllegroModel" in variant


CELLS = [
    pytest.param(
        variant,
        path,
        name,
        id=f"{'-'.join(variant)}-{path}-{name}",
        marks=[pytest.mark.nightly] if "compiled" in path else [],  # takes minutes
    )
    for variant in VARIANTS
    for path in PATHS
    for name in FRAMES
    if applies(path, variant)
]


@pytest.fixture(scope="module")
def made():
    """The files of each variant so far; pytest itself would make a fixture with a parameter again for every cell."""
    return {}


@pytest.fixture
def files(request, made, tmp_path_factory):
    """The model and its files."""
    model, dtype = request.param
    if request.param not in made:
        made[request.param] = Files(model, dtype, tmp_path_factory.mktemp(f"{model} {dtype}"))
    with current(made[request.param].folder):
        yield made[request.param]


@pytest.mark.slow
@pytest.mark.parametrize(("files", "path", "name"), CELLS, indirect=["files"])
def test_every_path_gives_the_same_numbers(files, path, name):
    evaluate = files.path(path)
    if name in REFUSED:
        with pytest.raises(DataError, match="same place: 3 and 4"):
            evaluate(frame(name))
        return
    found, expected = evaluate(frame(name)), files["expected"][name]
    for key, value in expected.items():
        tolerance = TOLERANCE[files.dtype] * max(1.0, np.abs(value).max())
        if "splines" in path:
            tolerance = max(tolerance, SPLINES * (len(expected["energies"]) if key == "energy" else 1))
        np.testing.assert_allclose(found[key], value, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("files", [("AllegroModel", "float64")], indirect=True)
def test_the_same_structure_written_in_another_way(files):
    expected = files["expected"]
    order = [4, 0, 5, 2, 1, 3]
    forces = {name: expected[name]["forces"].reshape(-1, 3) for name in expected}
    for name in ("outside the cell", "left-handed", "odd strides and integers"):
        np.testing.assert_allclose(forces[name], forces["triclinic"], atol=1e-11)
    np.testing.assert_allclose(forces["permuted"], forces["triclinic"][order], atol=1e-11)
    np.testing.assert_allclose(forces["vacuum"], forces["molecule"], atol=1e-11)
    assert np.abs(forces["triclinic"]).max() > 0.1
