"""Data files that ASE reads: extended XYZ with lies in it, and the first bytes of every other format."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import PACKERS, bz2_bomb, damaged, gzip_bomb, noise, xz_bomb
from hostile.seeds import Seeds

_LATTICE = 'Lattice="5 0 0 0 5 0 0 0 5"'
_PLAIN = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 pbc=\"T T T\""
_ATOMS = ("O 0 0 0 0 0 0", "H 1 0 0 0 0 0", "H 0 1 0 0 0 0")

COUNTS = (
    "1000000000000", "-1", "0", "1.5", "3 3", "9" * 5000, "²", "３", "+3", "0x3", "3e0", "nan", "", "1_0", "true",
    "99999999999999999999999",
)  # fmt: skip
"""What stands for the number of atoms."""

COMMENTS = {
    "no properties": f"{_LATTICE} energy=-1.0",
    "eight numbers of a cell": f'Lattice="5 0 0 0 5 0 0 0" {_PLAIN}',
    "ten numbers of a cell": f'Lattice="5 0 0 0 5 0 0 0 5 5" {_PLAIN}',
    "a cell of nan": f'Lattice="nan 0 0 0 nan 0 0 0 nan" {_PLAIN}',
    "an infinite cell": f'Lattice="inf 0 0 0 inf 0 0 0 inf" {_PLAIN}',
    "a huge cell": f'Lattice="1e308 0 0 0 1e308 0 0 0 1e308" {_PLAIN}',
    "a tiny cell": f'Lattice="1e-300 0 0 0 1e-300 0 0 0 1e-300" {_PLAIN}',
    "a flat cell": f'Lattice="5 0 0 5 0 0 0 0 5" {_PLAIN}',
    "a cell of zeros": f'Lattice="0 0 0 0 0 0 0 0 0" {_PLAIN}',
    "a small cell": f'Lattice="0.001 0 0 0 0.001 0 0 0 0.001" {_PLAIN}',
    "a cell of words": f'Lattice="a b c d e f g h i" {_PLAIN}',
    "an empty cell": f'Lattice="" {_PLAIN}',
    "a complex cell": f'Lattice="1j 0 0 0 1j 0 0 0 1j" {_PLAIN}',
    "a billion columns": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:1000000000 energy=-1",
    "minus three columns": f"{_LATTICE} Properties=species:S:1:pos:R:-3:forces:R:3 energy=-1",
    "columns of a word": f"{_LATTICE} Properties=species:S:1:pos:R:many:forces:R:3 energy=-1",
    "an unknown type": f"{_LATTICE} Properties=species:S:1:pos:X:3:forces:R:3 energy=-1",
    "positions twice": f"{_LATTICE} Properties=species:S:1:pos:R:3:pos:R:3 energy=-1",
    "no columns": f"{_LATTICE} Properties= energy=-1",
    "colons": f"{_LATTICE} Properties=:::::: energy=-1",
    "half a column": f"{_LATTICE} Properties=species:S energy=-1",
    "no positions": f"{_LATTICE} Properties=species:S:1:forces:R:3:x:R:3 energy=-1",
    "positions of one number": f"{_LATTICE} Properties=species:S:1:pos:R:1:forces:R:3:x:R:2 energy=-1",
    "no species": f"{_LATTICE} Properties=x:S:1:pos:R:3:forces:R:3 energy=-1",
    "species as numbers": f"{_LATTICE} Properties=species:R:1:pos:R:3:forces:R:3 energy=-1",
    "columns of objects": f"{_LATTICE} Properties=species:O:1:pos:O:3:forces:O:3 energy=-1",
    "100 000 columns": f"{_LATTICE} Properties=species:S:1:pos:R:3:" + ":".join(f"x{index}:R:1" for index in range(100_000)),
    "an energy of nan": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=nan",
    "an infinite energy": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=inf",
    "an overflowing energy": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=1e400",
    "an energy of a word": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=low",
    "an energy of three numbers": f'{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy="1 2 3"',
    "an energy of 5000 digits": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy={'9' * 5000}",
    "an energy of true": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=T",
    "an empty energy": f"{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=",
    "energies": f"{_LATTICE} Properties=species:S:1:pos:R:3:energy:R:3",
    "a stress of two numbers": f'{_LATTICE} {_PLAIN} stress="1 2"',
    "a stress of words": f'{_LATTICE} {_PLAIN} stress="a b c d e f g h i"',
    "a stress of a million": f'{_LATTICE} {_PLAIN} stress="' + "1 " * 1_000_000 + '"',
    "two directions": f'{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=-1 pbc="T T"',
    "maybe periodic": f'{_LATTICE} Properties=species:S:1:pos:R:3:forces:R:3 energy=-1 pbc="maybe"',
    "deep JSON": f"{_LATTICE} {_PLAIN} x=_JSON " + "[" * 100_000 + "]" * 100_000,
    "deep brackets": f"{_LATTICE} {_PLAIN} x=" + "[" * 100_000 + "]" * 100_000,
    "broken JSON": f'{_LATTICE} {_PLAIN} x="_JSON {{"',
    "JSON of a number": f'{_LATTICE} {_PLAIN} x="_JSON {"9" * 5000}"',
    "open quotes": f'{_LATTICE} {_PLAIN} x="open',
    "quotes": '"' * 100_000,
    "backslashes": "\\" * 100_001,
    "equals": "=" * 100_000,
    "brackets": f"{_LATTICE} {_PLAIN} " + "{" * 10_000,
    "100 000 keys": f"{_LATTICE} {_PLAIN} " + " ".join(f"k{index}={index}" for index in range(100_000)),
    "a key of a million letters": f"{_LATTICE} {_PLAIN} {'k' * 1_000_000}=1",
    "a value of 20 million letters": f"{_LATTICE} {_PLAIN} k={'v' * 20_000_000}",
    "escapes": f"{_LATTICE} {_PLAIN} \x1b[31mkey=\x1b[2J",
    "a null": f"{_LATTICE} {_PLAIN} a\x00b=1",
    "reserved names": f"{_LATTICE} {_PLAIN} calc=x constraints=y __class__=z positions=1 numbers=2",
    "a constraint": f"{_LATTICE} Properties=species:S:1:pos:R:3:move_mask:R:3 energy=-1",
    "a charge of a word": f"{_LATTICE} {_PLAIN} charge=plus total_charge=plus",
    "a type of escapes": f'{_LATTICE} {_PLAIN} config_type="\x1b[31mred"',
}  # fmt: skip
"""Second lines of a frame of three atoms."""

ATOM_LINES = {
    "an unknown element": "Xx 0 0 0 0 0 0", "an element with escapes": "\x1b[31mO 0 0 0 0 0 0", "deuterium": "D 0 0 0 0 0 0",
    "an element of many letters": f"{'O' * 100_000} 0 0 0 0 0 0", "nan": "O nan 0 0 0 0 0", "infinite": "O inf 0 0 0 0 0",
    "overflow": "O 1e400 0 0 0 0 0", "far": "O 1e300 0 0 0 0 0", "far away": "O 1e6 0 0 0 0 0", "underscore": "O 1_0 0 0 0 0 0",
    "hexadecimal": "O 0x10 0 0 0 0 0", "FORTRAN": "O 1d5 0 0 0 0 0", "a word": "O here 0 0 0 0 0", "too few columns": "O 0 0",
    "too many columns": "O 0 0 0 0 0 0 7 8 9", "nothing": "", "a null": "O 0 0 0 0 0 0\x00", "a comma": "O 0,5 0 0 0 0 0",
    "a million columns": "O " + "0 " * 1_000_000, "forces of nan": "O 0 0 0 nan nan nan", "huge forces": "O 0 0 0 1e300 0 0",
    "the same place": "O 1 0 0 0 0 0", "other digits": "O ٣ 0 0 0 0 0", "an atomic number": "8 0 0 0 0 0 0",
}  # fmt: skip
"""First lines of the atoms."""

_NUMBERS_OK = "a frame with odd numbers, which are reported or computed"

NAMES = (
    "POSCAR", "CONTCAR", "OUTCAR", "XDATCAR", "vasprun.xml", "x.cif", "x.cube", "x.xsf", "x.axsf", "x.pdb", "x.gen", "x.gro",
    "x.g96", "x.cell", "x.castep", "x.geom", "x.md", "x.phonon", "x.traj", "x.nc", "x.db", "x.json", "x.aselmdb", "x.in",
    "x.out", "x.log", "x.XV", "x.cfg", "x.res", "x.shelx", "x.magres", "x.mol", "x.sdf", "x.xsd", "x.xtd", "x.cjson",
    "x.lammpstrj", "x.data", "x.dump", "x.dcd", "coord", "gradient", "geometry.in", "CONFIG", "HISTORY", "x.struct",
    "x.con", "x.gpw", "x.bundle", "x.nomad-json", "x.jsv", "x.ascii", "x.rmc6f", "x.arc", "x.car", "x.incoor", "INFO.OUT",
    "x.txt", "x.dat", "x.inp", "x.com", "x.nwi", "x.nwo", "x.qe", "x.pwi", "x.pwo", "x.vti", "x.sys", "x.cml", "no_suffix",
    "model.xyz", "x.h5", "x.hdf5", "x.lmdb", "x.npz", "x.pkl", "x.pt", "x.yaml", "x.zip", "x.tar.gz", "x.py", "x.mat",
)  # fmt: skip
"""File names from which readers are chosen."""

_XML_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(9))
    + "]><modeling><generator><i name='program'>&j;</i></generator></modeling>"
)
_XML_FILE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><modeling>&a;</modeling>'

SPECIAL: dict[str, tuple[str, Content]] = {
    "XML bomb in vasprun": ("vasprun.xml", _XML_BOMB),
    "XML entity of a file": ("vasprun.xml", _XML_FILE),
    "XML bomb in xsd": ("x.xsd", _XML_BOMB.replace("modeling", "XSD")),
    "XML bomb in exciting": ("input.xml", _XML_BOMB.replace("modeling", "input")),
    "deep XML": ("vasprun.xml", "<modeling>" + "<a>" * 100_000),
    "deep JSON": ("x.json", "[" * 200_000),
    "deep cjson": ("x.cjson", '{"a":' * 100_000),
    "python in an octopus input": ("inp", "CalculationMode = gs\nx = __import__('os').system('touch ../outside/CANARY')\n%Coordinates\n'H' | 0 | 0 | 0\n%\n"),
    "an octopus input that includes": ("inp", "include ../outside/victim.txt\n"),
    "a DFTB input that includes": ("dftb_in.hsd", "Geometry = GenFormat {\n<<< '/etc/passwd'\n}\n"),
    "a pdb of a million models": ("x.pdb", "MODEL\nENDMDL\n" * 300_000),
    "a POSCAR of many atoms": ("POSCAR", "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nO\n1000000000\nDirect\n0 0 0\n"),
    "a POSCAR of negative atoms": ("POSCAR", "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nO\n-3\nDirect\n0 0 0\n"),
    "a POSCAR of 5000 digits": ("POSCAR", f"x\n1.0\n5 0 0\n0 5 0\n0 0 5\nO\n{'9' * 5000}\nDirect\n0 0 0\n"),
    "a cube of many points": ("x.cube", "a\nb\n1 0 0 0\n100000 1 0 0\n100000 0 1 0\n100000 0 0 1\n8 8 0 0 0\n1.0\n"),
    "a cube of many atoms": ("x.cube", "a\nb\n2000000000 0 0 0\n2 1 0 0\n2 0 1 0\n2 0 0 1\n8 8 0 0 0\n1.0\n"),
    "a cif of many atoms": ("x.cif", "data_x\n_cell_length_a 1e9\n_cell_length_b 1e9\n_cell_length_c 1e9\n_space_group_IT_number 99999\nloop_\n_atom_site_label\n_atom_site_fract_x\nO1 0\n" * 3),
    "a cif of odd symmetry": ("x.cif", "data_x\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_symmetry_equiv_pos_as_xyz\n'__import__(\"os\").system(\"touch ../outside/CANARY\"),y,z'\nloop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nO 0 0 0\n"),
    "a cif of 200 000 quotes": ("x.cif", "data_x\n" + "'" * 200_000),
    "a cif of a long text": ("x.cif", "data_x\n;" + "x\n" * 500_000),
    "a gen of many atoms": ("x.gen", "1000000000 C\nO\n1 1 0 0 0\n"),
    "a castep cell that runs": ("x.cell", "%BLOCK LATTICE_CART\n5 0 0\n0 5 0\n0 0 5\n%ENDBLOCK LATTICE_CART\n%BLOCK POSITIONS_FRAC\nO 0 0 0\n%ENDBLOCK POSITIONS_FRAC\n"),
    "LAMMPS data of many atoms": ("x.lammps-data", "LAMMPS\n\n2000000000 atoms\n1 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\nAtoms # atomic\n\n1 1 0 0 0\n"),
    "a dump of many atoms": ("x.lammpstrj", "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2000000000\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\nITEM: ATOMS id type x y z\n1 1 0 0 0\n"),
    "a DCD of many frames": ("x.dcd", (84).to_bytes(4, "little") + b"CORD" + (2**31 - 1).to_bytes(4, "little") * 20 + noise(400)),
    "a structure of a mol file": ("x.mol", "\n\n\n999999999  0  0\n"),
    "a script": ("x.py", "import os\nos.system('touch ../outside/CANARY')\n"),
    "a pickle": ("x.pkl", b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."),
    "a pickle that looks like a trajectory": ("x.traj", b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."),
    "an old trajectory": ("x.traj", b"PickleTrajectory" + b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."),
    "a gpw file": ("x.gpw", b"- of UlmGPAW" + noise(500)),
    "a turbomole folder": ("coord", "$coord\n" + "0 0 0 o\n" * 10 + "$end\n"),
    "a bundle": ("x.bundle/metadata.json", '{"format": "BundleTrajectory", "version": 1, "backend": "pickle", "python_ver": 2}'),
    "a bundle with pickles": ("x.bundle/metadata.json", '{"format": "BundleTrajectory", "version": 1, "backend": "pickle"}'),
}  # fmt: skip
"""Contents that only one reader takes."""


def _eval(name: str) -> list[list[str]]:
    return [["eval", valid.PACKAGE, name]]


def _frame(comment: str = f"{_LATTICE} {_PLAIN}", lines: tuple[str, ...] = _ATOMS, count: str = "3") -> str:
    return "\n".join((count, comment, *lines)) + "\n"


def cases(seeds: Seeds) -> Iterator[Case]:
    """Lies in extended XYZ, other kinds of files, every format, and compressed files."""
    good = seeds.bytes(valid.DATA)
    for number, count in enumerate(COUNTS):
        yield _data_case(f"count {number} {count[:12]!r}", "x.xyz", _frame(count=count))
    for name, comment in COMMENTS.items():
        yield _data_case(f"comment: {name}", "x.xyz", _frame(comment), harmless=_NUMBERS_OK)
    for name, line in ATOM_LINES.items():
        yield _data_case(f"atoms: {name}", "x.xyz", _frame(lines=(line, *_ATOMS[1:])), harmless=_NUMBERS_OK)
    for name, content in damaged(good):
        why = "frames that are left are valid" if name in ("twice", "with line ends of another system") or "flipped" in name else ""
        why = why or ("a warning about the missing line end" if name == "without its last byte" else "")
        yield _data_case(f"xyz {name}", "x.xyz", content, harmless=why)
    yield from _texts(good)
    yield from _kinds(good)
    for name in NAMES:
        for what, content in (("empty", b""), ("noise", noise(3000, 1)), ("digits", b"9" * 100_000), ("xyz", good)):
            why = "ASE recognises the contents" if what == "xyz" else ""
            yield _data_case(f"{name}: {what}", name, content, harmless=why)
    for name, (file, content) in SPECIAL.items():
        path = file.split("/")[0]
        yield _data_case(name, path, None, files={file: content}, harmless=_readable(name))
    yield from _compressed(good)
    yield from _trajectories(seeds)


def _readable(name: str) -> str:
    return "plain structures without labels" if name in ("a turbomole folder", "a castep cell that runs") else ""


def _data_case(name: str, path: str, content: Any, *, files: Any = None, harmless: str = "") -> Case:
    return Case(name=name, commands=_eval(path), files={path: content} if files is None else files, harmless=harmless)


def _texts(good: bytes) -> Iterator[Case]:
    text = good.decode()
    lines = text.split("\n")
    made: dict[str, bytes] = {
        "UTF-16": text.encode("utf-16"),
        "UTF-32": text.encode("utf-32"),
        "BOM": b"\xef\xbb\xbf" + good,
        "Latin-1": good.replace(b"species", b"sp\xe9cies"),
        "old line ends": good.replace(b"\n", b"\r"),
        "a blank line": "\n".join([*lines[:8], "", *lines[8:]]).encode(),
        "blank lines alone": b"\n" * 10_000_000,
        "spaces alone": b" " * 10_000_000,
        "a line of 50 MB": b"9" * 50_000_000,
        "nulls between": good.replace(b" ", b" \x00"),
        "a form feed": good.replace(b"\n", b"\x0c\n"),
        "a separator of lines": text.replace("\n", "\u2028").encode(),
        "a million frames of no atom": b"0\n\n" * 1_000_000,
        "a frame of no atom": b"0\nProperties=species:S:1:pos:R:3\n" + good,
    }
    for name, content in made.items():
        why = "ASE reads it as the same frames" if name in ("BOM", "Latin-1", "a form feed") else ""
        yield _data_case(f"text: {name}", "x.xyz", content, harmless=why)


def _kinds(good: bytes) -> Iterator[Case]:
    for suffix in ("xyz", "extxyz", "traj", "db", "json", "cif", "nc", "aselmdb", "xyz.gz", "none"):
        for name, content in {
            "a pipe": pipe, "a folder": folder, "zeros without end": link_to("/dev/zero"), "a link to nothing": link_to("nothing"),
            "a link to itself": link_to(f"x.{suffix}"),
        }.items():  # fmt: skip
            yield _data_case(f"{suffix}: {name}", f"x.{suffix}", content)
    yield _data_case("20 GB of nothing", "x.xyz", sparse(20 * 1024**3, b"3\n"))
    yield _data_case("20 GB of nothing after frames", "x.xyz", sparse(20 * 1024**3, good))
    for number, name in enumerate(("a\nb.xyz", "\x1b[31mred.xyz", "-x.xyz", "x.xyz@:", "x@0.xyz", "postgres.xyz", " .xyz", "é\udce9.xyz", "a" * 250 + ".xyz", "x:y.xyz", "*.xyz", "~.xyz", "$(touch CANARY).xyz", "\u202egnp.xyz")):
        yield Case(name=f"name {number}", commands=[["eval", valid.PACKAGE, "./" + name]], files={name: good}, harmless="only the name is odd")
        yield Case(name=f"name {number}, empty", commands=[["eval", valid.PACKAGE, "./" + name]], files={name: b""})
    for number, name in enumerate(("nothing.xyz", "", "a\x00b", "/", ".", "..", "\x1b[31m", "x" * 100_000, "http://127.0.0.1:9/x.xyz", "postgresql://127.0.0.1:9/x", "-", "/dev/stdin", "/proc/self/mem", "/dev/random")):
        yield Case(name=f"missing {number}", commands=[["eval", valid.PACKAGE, name]])


def _compressed(good: bytes) -> Iterator[Case]:
    for suffix, pack in PACKERS.items():
        packed = pack(good)
        yield _data_case(f"{suffix}: valid", f"x.xyz.{suffix}", packed, harmless="valid")
        for name, content in damaged(packed):
            why = "the same frames, with noise behind or twice" if name in ("twice", "before noise") or "flipped" in name else ""
            yield _data_case(f"{suffix}: {name}", f"x.xyz.{suffix}", content, harmless=why)
        yield _data_case(f"{suffix} of {suffix}", f"x.xyz.{suffix}", pack(packed))
        yield _data_case(f"{suffix} with a lie", f"x.xyz.{suffix}", pack(_frame(count="1000000000").encode()))
        blank = "\n".join([*good.decode().split("\n")[:8], "", *good.decode().split("\n")[8:]]).encode()
        yield _data_case(f"{suffix} with a blank line", f"x.xyz.{suffix}", pack(blank))
    for name, block in (("zeros", b"\0"), ("lines", b"\n"), ("digits", b"7"), ("frames of no atom", b"0\n\n")):
        yield _data_case(f"gz bomb of {name}", "x.xyz.gz", gzip_bomb(block, 1200))
    yield _data_case("xz bomb", "x.xyz.xz", xz_bomb(b"\0", 1000))
    yield _data_case("bz2 bomb", "x.xyz.bz2", bz2_bomb(b"\0", 800))


def _trajectories(seeds: Seeds) -> Iterator[Case]:
    from ase.io import write

    path = seeds.folder / "data.traj"
    if not path.exists():
        write(path, seeds.frames)
    good = path.read_bytes()
    for name, content in damaged(good):
        why = "the bits are of numbers" if "flipped" in name or name in ("twice", "before noise", "with line ends of another system") else ""
        yield _data_case(f"traj {name}", "x.traj", content, harmless=why)
    for name, old, new in (
        ("no positions", b'"positions.": {"ndarray": ', b'"posxtions.": {"ndarray": '),
        ("a shape of many", b"[6, 3]", b"[9999999999, 3]"),
        ("a negative shape", b"[6, 3]", b"[-6, 3]"),
        ("an unknown type", b'"float64"', b'"object"'),
        ("an object of ase", b'"pbc":', b'"__ase_objtype__": "cell", "pbc":'),
    ):
        yield _data_case(f"traj with {name}", "x.traj", _edited(good, old, new))
    version, items = 3, 1
    for name, (count, place) in {"many items": (2**60, 48), "no items": (0, 48), "a far place": (items, 2**62), "a place before": (items, -8)}.items():
        head = b"- of UlmASE-Trajectory" + b"\0" * 2
        numbers = b"".join(value.to_bytes(8, "little", signed=True) for value in (version, count, place))
        yield _data_case(f"traj with {name}", "x.traj", head + numbers + noise(200))
    _ = base64, json


def _edited(content: bytes, old: bytes, new: bytes) -> bytes:
    """Replace text everywhere, and shorten or lengthen nothing: what is too long pushes the rest away."""
    if old not in content:
        raise ValueError(f"{old!r} is not in the file")
    return content.replace(old, new)
