"""Frames as arrays: in NPZ, HDF5 and LMDB files and in folders of DeePMD-kit."""

import io

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from equipot.data import collect_frames
from equipot.data._frames import label_contract
from equipot.data._stored import Storage
from equipot.data._writers import write_packed
from equipot_test_support.data_files._frames import frames


def npz(folder, change=lambda content: content, **options):
    """An NPZ archive as those of sGDML.

    Args:
        folder: Where to write.
        change: Applied to the bytes of each array.
        options: ``compression`` of ``zipfile.ZipFile``.
    """
    import zipfile

    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, array in arrays().items():
            archive.writestr(f"{name}.npy", change(npy(array)))
    return path


def packed_arrays():
    """The arrays of a packed archive as ``equipot data convert`` writes it, by name."""
    contract = label_contract(None)
    collection = collect_frames(((f"frame {index}", atoms) for index, atoms in enumerate(frames())), contract)
    made = io.BytesIO()
    write_packed(made, Storage.of(collection, "metal").frames(collection))
    made.seek(0)
    return dict(np.load(made))


def npy(array):
    """The bytes of an NPY file."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def arrays():
    """Frames of equal composition as arrays."""
    water = frames()
    return {
        "R": np.stack([atoms.positions for atoms in water]),
        "z": water[0].numbers,
        "E": np.array([atoms.calc.results["energy"] for atoms in water]),
        "F": np.stack([atoms.calc.results["forces"] for atoms in water]),
    }


def hdf5(folder, **options):
    """An HDF5 file with two groups.

    Args:
        folder: Where to write.
        options: Of the data sets, e.g. ``compression``.
    """
    import h5py

    path = folder / "a.h5"
    names = {"R": "pos", "z": "species", "E": "energies", "F": "forces"}
    with h5py.File(path, "w") as file:
        for group in ("first", "second"):
            for name, array in arrays().items():
                file.create_dataset(f"{group}/{names[name]}", data=array, **options)
    return path


def lmdb_frames(folder):
    """An LMDB file of the toolbox."""
    from equipot_toolbox import write_lmdb

    write_lmdb(folder / "a.lmdb", frames(8))
    return folder / "a.lmdb"


def deepmd(folder, *, periodic=True, mixed=False):
    """A folder of DeePMD-kit with two sets.

    Args:
        folder: Where to write.
        periodic: Whether there are cells and virials.
        mixed: Whether each frame has its own types, with an atom that only fills up.
    """
    root, water = folder / "system", frames()
    root.mkdir()
    (root / "type_map.raw").write_text("H\nO\n")
    types = np.array([["H", "O"].index(one) for one in water[0].symbols])
    extra = np.zeros((1, 3)) if mixed else np.zeros((0, 3))
    (root / "type.raw").write_text("\n".join("0" if mixed else str(one) for one in [*types, *extra[:, 0]]) + "\n")
    if not periodic:
        (root / "nopbc").touch()
    for name, some in (("set.000", water[:2]), ("set.001", water[2:])):
        (root / name).mkdir()
        results = [atoms.calc.results for atoms in some]
        arrays = {
            "coord": np.stack([np.vstack([atoms.positions, extra]) for atoms in some]).reshape(len(some), -1),
            "force": np.stack([np.vstack([one["forces"], extra]) for one in results]).reshape(len(some), -1),
            "energy": np.array([one["energy"] for one in results]),
        }
        if periodic:
            arrays["box"] = np.stack([atoms.cell.array.ravel() for atoms in some])
            arrays["virial"] = np.stack(
                [
                    -voigt_6_to_full_3x3_stress(atoms.calc.results["stress"]).ravel() * atoms.get_volume()
                    for atoms in some
                ]
            )
        if mixed:
            arrays["real_atom_types"] = np.array([[*types, -1]] * len(some))
        for key, array in arrays.items():
            np.save(root / name / f"{key}.npy", array)
    return root
