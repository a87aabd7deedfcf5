"""Runs of CP2K with a hostile file among theirs."""

import gzip
import os
import re

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import GIBIBYTE, HUGE, away, make_file

CP2K_RUN = ("run-pos-1.xyz", "run-frc-1.xyz", "run-1.cell", "run.out")
"""The files of a run."""


def cp2k_runs(folder):
    """Runs of CP2K with a file beside the positions that is hostile, of another run, or no file."""
    secret = make_file(folder, "secret", b"root:x:0:0\n" * 99)
    texts = {name: (data_files.cp2k_run(folder).with_name(name)).read_text() for name in CP2K_RUN}

    def made(name, file, change):
        (folder / name).mkdir()
        path = data_files.cp2k_run(folder / name)
        change(path.with_name(file))
        return name, path

    forces, cells, output = CP2K_RUN[1:]
    energy = next(line for line in texts[output].splitlines() if "ENERGY|" in line)
    lost = "  *** SCF run NOT converged ***\n"
    contents = {
        forces: {
            "count": texts[forces].replace("       3\n", f"{HUGE}\n"),
            "digits": texts[forces].replace("       3\n", "9" * 5000 + "\n"),
            "columns": texts[forces].replace("\n  H", "\n  H 1 2"),
            "elements": texts[forces].replace("  O ", "  C "),
            "energies": texts[forces].replace("E = ", "E = -1"),
            "rubbish": texts[forces] + "rubbish\n",
            "empty": "",
            "nan": re.sub(r"(  O\s+)\S+", r"\1nan", texts[forces]),
            "repeated": texts[forces] * 20_000,
        },
        cells: {
            "unit": texts[cells].replace("Angstrom", "bohr"),
            "twice": texts[cells] + texts[cells].replace(" 5.", " 6."),
            "step": texts[cells].replace("       5 ", "9" * 400),
            "nan": texts[cells].replace("5.0000000000", "nan"),
            "flat": texts[cells].replace("5.0000000000", "0.0000000000"),
            "empty": "",
            "many": texts[cells] + texts[cells].splitlines()[-1] * 100_000,
        },
        output: {
            "energies": texts[output] + f"{energy}\n" * 100_000,
            "words": texts[output] + lost + " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]: low\n",
            "brackets": texts[output] + " ENERGY| Total FORCE_EVAL ( QS ) energy [" * 30_000 + "\n",
            "cycles": texts[output] + f"{lost}{energy}9\n" * 100_000,
        },
    }
    for file, changes in contents.items():
        for name, text in changes.items():
            yield made(f"{file} {name}", file, lambda path, text=text: path.write_text(text))
        yield made(f"{file} nul", file, lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"\0")))
        yield made(f"{file} elsewhere", file, lambda path: away(path).symlink_to(secret))
        yield made(f"{file} pipe", file, lambda path: os.mkfifo(away(path)))
        yield made(f"{file} folder", file, lambda path: away(path).mkdir())
    for file in (forces, cells):
        bomb = gzip.compress(bytes(GIBIBYTE // 16))
        packed = f"{file}.gz"
        yield made(f"{file} bomb", file, lambda path, to=packed, one=bomb: away(path).with_name(to).write_bytes(one))
    long = folder / "long line"
    long.mkdir()
    path = data_files.cp2k_run(long)
    with (long / "another.log").open("wb") as file:
        file.truncate(GIBIBYTE)
    yield "long line", path
    yield _many_cycles(folder / "many cycles", texts)


def _many_cycles(folder, texts):
    """As many geometries as cycles that did not converge, each with an energy of its own."""
    folder.mkdir()
    path = data_files.cp2k_run(folder, cells=False)
    numbers = range(10_000)
    lines = [f"1\n i = {number}, E = -{number}.5\nH 0 0 0\n" for number in numbers]
    path.write_text("".join(lines))
    path.with_name(CP2K_RUN[1]).write_text("".join(lines))
    head = texts[CP2K_RUN[3]].partition(" ENERGY|")[0]
    lost = "  *** SCF run NOT converged ***\n ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:  -{}.5\n"
    path.with_name(CP2K_RUN[3]).write_text(head + "".join(lost.format(number) for number in numbers))
    return "many cycles", path
