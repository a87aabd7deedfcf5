"""Which formats are read, and what a config may tell their readers."""

import ase
import ase.io
import pytest
from packaging.version import Version

from equipot.data import ASEDataModule, read_atoms
from equipot.data._formats import FORMATS, argument_problems, format_of, selection
from equipot.errors import ConfigError, DataError
from equipot_test_support import data_files

STARTS_OR_WRITES = [
    {"format": "castep-cell", "calculator_args": {"castep_command": "touch canary"}},
    {"format": "db", "type": "db", "append": False},
    {"format": "db", "use_lock_file": True},
    {"format": "extxyz", "properties_parser": "os.system"},
    {"format": "postgresql"},
    {"format": "mysql"},
    {"format": "bundletrajectory"},
    {"format": "gpw"},
    {"format": "netcdftrajectory"},
    {"format": "onetep-in"},
    {"full_output": True},
    {"parallel": False},
]


@pytest.mark.parametrize("arguments", STARTS_OR_WRITES)
def test_arguments_that_start_programs_or_write_are_refused(arguments, tmp_path):
    with pytest.raises(ConfigError, match=r"ASEDataModule.ase_args\.\w+: (is not a format|unknown argument)"):
        ASEDataModule(1, train_file_path="a.extxyz", ase_args=arguments)
    with pytest.raises(ConfigError, match="ase_args"):
        read_atoms(tmp_path / "a.extxyz", arguments)


def test_all_problems_of_arguments():
    problems = argument_problems(
        {"format": "espresso-out", "results_required": "no", "index": "energy<0", "x": 1}, "data.ase_args"
    )
    assert problems == [
        "data.ase_args.index: must be an index or a slice, got 'energy<0'; for example 0, ':100' or '::10'",
        "data.ase_args.results_required: must be a bool, got 'no'",
        "data.ase_args.x: unknown argument; arguments: format, index, results_required",
    ]
    assert argument_problems({"format": ["extxyz"]}, "a")[0].startswith(
        "a.format: is not a format that is read, got ['extxyz']"
    )


@pytest.mark.parametrize("index", ["::0", "a", "", "1:2:3:4", "9" * 30, True, 1.0, [1]])
def test_index_that_is_none(index):
    assert argument_problems({"index": index}, "a")[0].startswith("a.index: must be an index or a slice")


def test_selection():
    assert selection(None) == slice(None)
    assert selection({"index": -3}) == -3
    assert selection({"index": "1:-2:3"}) == slice(1, -2, 3)


@pytest.mark.parametrize(
    "arguments", [None, {}, {"format": "traj", "index": "::10"}, {"format": "espresso-out", "results_required": False}]
)
def test_arguments_that_are_fine(arguments):
    assert argument_problems(arguments, "a") == []


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.xyz", b"*\n Program PWSCF v.7", "extxyz"),
        ("a.traj", b"- of UlmGPAW            ", "traj"),
        ("a.npz", b"PK", "npz"),
        ("a-pos-1.xyz", b"  3\n i =  0, time = 0.000, E = -17.2\n", "cp2k-trajectory"),
        ("a-pos-1.xyz", b"  3\n Properties=species:S:1:pos:R:3\n", "extxyz"),
        ("a-pos-x.xyz", b"  3\n i =  0, time = 0.000, E = -17.2\n", "extxyz"),
        ("a-frc-2.xyz.gz", b"  3\n i =  0, E = -17.2\n", "cp2k-trajectory"),
        ("scf.out", b"\n CP2K| version string: CP2K version 2024.1", "cp2k-output"),
        ("aims.out", b"----\n          Invoking FHI-aims ...", "aims-output"),
        ("a.db.gz", b"", "db"),
        ("OUTCAR_1_5", b"", "vasp-out"),
        ("OUTCAR.xz", b"", "vasp-out"),
        ("x-vasprun.xml", b"", "vasp-xml"),
        ("scf.out", b"\n * O   R   C   A *", "orca-output"),
        ("scf.out", b"", "espresso-out"),
        ("a.log", b"", "gaussian-out"),
        ("input.data", b"", "runnerdata"),
        ("frames", b"  3\nLattice", "extxyz"),
        ("a @ 300 K.xyz", b"", "extxyz"),
    ],
)
def test_format_follows_from_name_then_contents(tmp_path, name, head, expected):
    assert format_of(tmp_path / name, head) == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.cell", b""),
        ("a", b"- of UlmGPAW            "),
        ("a.py", b""),
        ("POSCAR", b""),
        ("postgresql", b""),
        ("a.out.zst", b"CDF"),
    ],
)
def test_contents_cannot_choose_another_reader(tmp_path, name, head):
    with pytest.raises(DataError, match="has an unknown format, or one that is not read; give ase_args"):
        format_of(tmp_path / name, head)


NEW_IN_ASE = {"runnerdata": "3.29"}
"""Formats that the lowest version of ASE that is admitted does not read."""


def missing_in_ase():
    return {name for name, since in NEW_IN_ASE.items() if Version(ase.__version__) < Version(since)}


def test_formats_are_those_of_ase():
    from ase.io.formats import ioformats

    ours = {"aselmdb", "cp2k-output", "cp2k-trajectory", "deepmd", "npz"}
    assert {name for name in FORMATS if name not in ioformats} == ours | missing_in_ase()


def test_a_format_that_the_installed_ase_does_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("ase.io.formats.ioformats", {})
    path = tmp_path / "input.data"
    path.write_text("begin\nend\n")
    with pytest.raises(DataError, match="the format runnerdata, which the installed version of ASE does not read"):
        read_atoms(path, {"format": "runnerdata"})


def test_outcar_does_not_look_for_other_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("CONTCAR", "POSCAR"):
        (tmp_path / name).write_text("hostile")  # ASE reads constraints from these, in the folder of the file
    path = data_files.outcar(tmp_path)
    with pytest.raises(RuntimeError, match="scaling factors"):
        ase.io.read(path, ":")
    assert len(read_atoms(path)) == 3


@pytest.mark.parametrize("kind", [kind for kind in data_files.CORE if kind != "aselmdb"])
def test_every_format_is_read(kind, tmp_path):
    frames = read_atoms(data_files.CORE[kind](tmp_path))
    expected = data_files.frames()
    for ours, theirs in zip(frames, expected[: len(frames)], strict=True):
        assert str(ours.symbols) == str(theirs.symbols)
        if kind != "castep-md":
            assert ours.calc.results["energy"] == pytest.approx(theirs.calc.results["energy"], abs=1e-5)
            assert ours.calc.results["forces"] == pytest.approx(theirs.calc.results["forces"], abs=1e-5)
