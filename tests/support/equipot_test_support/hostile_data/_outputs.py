"""Hostile outputs of programs."""

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import HUGE, make_file


def outputs(folder):
    """Outputs of programs that are cut off or state large numbers."""
    changes = {
        "vasp-out": ("ions per type =               1   2", "ions per type =  1000000000  2"),
        "vasp-xml": ("<modeling>", '<!DOCTYPE m [<!ENTITY x SYSTEM "/etc/passwd">]><modeling>&x;'),
        "espresso-out": ("atoms/cell      =            3", f"atoms/cell      =  {HUGE}"),
        "orca-output": ("...      3", f"...      {HUGE}"),
        "gaussian-out": ("      1  8  0", "      1  -9999999999  0"),
        "cp2k-output": (" 8 ", f" {HUGE} "),
        "aims-output": ("Species O", f"Species {'O' * 10**6}"),
        "castep-md": ("0", "x"),
        "runnerdata": ("begin", "begin begin"),
    }
    for kind, (old, new) in changes.items():
        path = data_files.CORE[kind](folder)
        whole = path.read_bytes()
        place = folder / kind
        place.mkdir()
        cuts = {part: whole[: len(whole) * part // 9] for part in (1, 2)}
        for name, content in {
            **cuts,
            "stated": whole.replace(old.encode(), new.encode()),
            "words": whole.replace(b"1.", b"one"),
            "nul": whole.replace(b"O", b"\0"),
        }.items():
            (place / str(name)).mkdir()
            yield f"{kind} {name}", make_file(place / str(name), path.name, content)
    entities = "".join(f'<!ENTITY x{n + 1} "{f"&x{n};" * 10}">' for n in range(12))
    laughs = f'<?xml version="1.0"?><!DOCTYPE m [<!ENTITY x0 "lol">{entities}]><modeling>&x12;</modeling>'
    yield "billion laughs", make_file(folder, "vasprun laughs.xml", laughs.encode())
    yield "deep elements", make_file(folder, "vasprun deep.xml", b"<a>" * 10**5)
    many = " ".join(["1000"] * 20000)
    lines = ["POTCAR: PAW_PBE O 1"] * 40000 + [f"ions per type = {many}", "NKPTS = 1 NBANDS = 1", "Iteration"]
    path = make_file(folder, "OUTCAR sum", "\n".join(lines).encode())
    yield "sum of many counts", path
    yield from _endless_outputs(folder)


def _endless_outputs(folder):
    """Headings whose tables never end, brackets that never close, and one geometry for ever more energies."""
    water = data_files.cp2k(folder).read_text()
    geometry = water[: water.index(" SCF WAVE")]
    energy = " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:      -17.1\n"
    texts = {
        "cp2k brackets.out": " CP2K| a\n" + " ENERGY| Total FORCE_EVAL ( QS ) energy [" * 30_000 + "\n",
        "cp2k energies.out": geometry + energy * 100_000,
        "cp2k forces.out": geometry + energy + " FORCES| Atomic forces [hartree/bohr]\n" + " FORCES|\n" * 300_000,
        "cp2k stress.out": geometry + energy + " STRESS| Analytical stress tensor [GPa]\n" * 100_000,
        "aims geometry.out": "Invoking FHI-aims\nInput geometry:\n" + "|    1: Species H 0 0\n" * 100_000,
        "aims structure.out": "Invoking FHI-aims\nUpdated atomic structure:\n" + "lattice_vector 1 0 0\n" * 300_000,
        "aims energies.out": "Invoking FHI-aims\n" + "Energy and forces in a compact form:\n|\n" * 100_000,
        "orca brackets.out": "* O   R   C   A *\nFINAL SINGLE POINT ENERGY" + "(" * 10**6 + "\n",
        "orca symbols.out": "* O   R   C   A *\nCARTESIAN COORDINATES (ANGSTROEM)\n-\n" + "H 0 0 0\n" * 100_000,
        "gaussian rows.log": "Input orientation:\n\n\n\n\n" + "1 1 0 0 0 0\n" * 100_000,
        "gaussian vectors.log": "Input orientation:\n\n\n\n\n" + "1 -2 0 0 0 0\n" * 100_000 + "-\nSCF Done: E=1\n",
        "OUTCAR iterations": "Iteration 1( 1)\n" + "Iteration 1(" + " " * 10**6 + "\n",
        "vasprun.xml": "<modeling>" + "<calculation></calculation>" * 10_000,
    }
    for name, text in texts.items():
        yield name, make_file(folder, name, text.encode())
