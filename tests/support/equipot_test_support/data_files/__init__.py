"""Small valid files of every format that core and the toolbox read, made anew for each test."""

from equipot_test_support.data_files._aims import aims
from equipot_test_support.data_files._arrays import arrays, deepmd, hdf5, lmdb_frames, npy, npz, packed_arrays
from equipot_test_support.data_files._ase_formats import (
    aselmdb,
    castep,
    extxyz,
    gz,
    json_rows,
    runner,
    sqlite,
    traj,
    xz,
)
from equipot_test_support.data_files._cp2k import cp2k, cp2k_run
from equipot_test_support.data_files._espresso import espresso
from equipot_test_support.data_files._frames import frames
from equipot_test_support.data_files._molecular import gaussian, orca
from equipot_test_support.data_files._vasp import outcar, vasprun

CORE = {
    "extxyz": extxyz, "traj": traj, "db": sqlite, "json": json_rows, "aselmdb": aselmdb, "vasp-out": outcar,
    "vasp-xml": vasprun, "espresso-out": espresso, "gaussian-out": gaussian, "orca-output": orca, "castep-md": castep,
    "runnerdata": runner, "gz": gz, "xz": xz, "cp2k-output": cp2k, "cp2k-trajectory": cp2k_run, "aims-output": aims,
}  # fmt: skip
"""Functions that write a file of a format into a folder and give its path."""

TOOLBOX = {"npz": npz, "hdf5": hdf5, "lmdb": lmdb_frames}
"""The same for the data sets of the toolbox."""

__all__ = [
    "CORE",
    "TOOLBOX",
    "aims",
    "arrays",
    "aselmdb",
    "castep",
    "cp2k",
    "cp2k_run",
    "deepmd",
    "espresso",
    "extxyz",
    "frames",
    "gaussian",
    "gz",
    "hdf5",
    "json_rows",
    "lmdb_frames",
    "npy",
    "npz",
    "orca",
    "outcar",
    "packed_arrays",
    "runner",
    "sqlite",
    "traj",
    "vasprun",
    "xz",
]
