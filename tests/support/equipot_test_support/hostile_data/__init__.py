"""Hostile data files for every reader: each must be refused, quickly and without much memory."""

from equipot_test_support.hostile_data._archives import archives, packed_archives
from equipot_test_support.hostile_data._cp2k_runs import cp2k_runs
from equipot_test_support.hostile_data._databases import databases, json_databases
from equipot_test_support.hostile_data._deepmd import deepmd_folders
from equipot_test_support.hostile_data._extxyz import compressed, extxyz
from equipot_test_support.hostile_data._hdf5 import hdf5_files
from equipot_test_support.hostile_data._lmdb import lmdb_files
from equipot_test_support.hostile_data._outputs import outputs
from equipot_test_support.hostile_data._paths import formats, paths
from equipot_test_support.hostile_data._trajectories import trajectories

FAMILIES = {
    "extxyz": extxyz,
    "compressed": compressed,
    "traj": trajectories,
    "db": databases,
    "json": json_databases,
    "lmdb": lmdb_files,
    "npz": archives,
    "packed npz": packed_archives,
    "cp2k runs": cp2k_runs,
    "hdf5": hdf5_files,
    "outputs": outputs,
    "deepmd": deepmd_folders,
    "paths": paths,
    "formats": formats,
}
"""Functions that write the files of a family into a folder, and give the name and path of each."""
