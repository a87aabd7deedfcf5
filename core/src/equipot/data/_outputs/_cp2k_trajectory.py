"""CP2K: molecular dynamics and relaxations, whose geometries, forces and cells are in files of their own.

Of a run with the project name NAME, ``NAME-pos-1.xyz`` is given: geometries and energies. ``NAME-frc-1.xyz`` and
``NAME-1.cell`` in its folder are read too, and the main output, which says in which directions the cell repeats, what
the cell is if it does not change, and which self-consistent cycles did not converge.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from equipot.data._outputs._cp2k import FAILED, CellReader, total_energy
from equipot.data._outputs._step import Step, numbers, unfinished
from equipot.data._species import check_names
from equipot.data._streams import OutputText, compression, largest, opened
from equipot.errors import ArtifactError, DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(.+)-(pos|frc|vel)-(\d+)\.xyz")
_COMMENT = re.compile(r"\s*i =\s*(\d+),(?:\s*time =\s*\S+,)?\s*E =\s*(\S+)")
_HEAD = re.compile(rb"\s*\d+\s*\n\s*i =\s*\d+,.*E =")
_PROJECT = re.compile(r"^ GLOBAL\| Project name\s+(\S+)")
_CELL_MOVES = re.compile(r"^ (?:MD(?:_PAR)?\| Ensemble type\s+NP\S+|GLOBAL\| Run type\s+CELL_OPT)", re.IGNORECASE)
_OUTPUTS = (".out", ".log")
_PACKED = ("", ".gz", ".bz2", ".xz")
_BEGINNING = 2**16
"""Bytes within which a main output states its project."""
_SAME = 1e-9
"""Hartree; energies are printed with ten decimals in trajectories."""


def is_trajectory(name: str, head: bytes) -> bool:
    """Whether a file is a trajectory of CP2K, by its name without a suffix of compression and by its first bytes."""
    return _NAME.fullmatch(name) is not None and _HEAD.match(head) is not None


def companions(path: str) -> list[str]:
    """The files that are read with a trajectory; empty for any other file."""
    file = Path(path)
    with contextlib.suppress(OSError, ArtifactError, DataError):  # reading it says what is wrong
        if (found := _NAME.fullmatch(_plain(file))) and found[2] == "pos":
            with opened(file) as stream:
                if is_trajectory(_plain(file), stream.read(4096)):
                    beside = _Beside.of(file)
                    return [str(one) for one in (beside.forces, beside.cells, *beside.outputs) if one is not None]
    return []


def read_cp2k_trajectory(stream: BinaryIO, file: Path, species: Mapping[str, str]) -> Iterator[Atoms]:
    """The geometries of ``NAME-pos-1.xyz`` with energies and, where other files have them, forces.

    Args:
        stream: The file.
        file: Its path.
        species: Element of each name of atoms that is not a symbol.

    Raises:
        DataError: If it is not the file of positions, no file says what the cell is, or files contradict each other.
    """
    found = _NAME.fullmatch(_plain(file))
    if found is None or found[2] != "pos":
        hint = f"give {found[1]}-pos-{found[3]}.xyz" if found else "name it NAME-pos-1.xyz, as CP2K does"
        raise DataError(problem(str(file), "is not the file with the positions of a run of CP2K", hint=hint))
    beside = _Beside.of(file)
    run = _run(beside, file)
    cells = {} if beside.cells is None else _cells(beside.cells)
    with contextlib.ExitStack() as files:
        blocks = _blocks(files.enter_context(_text(stream, file)), str(file))
        forces: Iterator[_Block] = iter(())
        if beside.forces is not None:
            forces = _blocks(files.enter_context(_lines(beside.forces)), str(beside.forces))
        for block, acting in _joined(blocks, forces, file, beside.forces):
            cell = run.cell if beside.cells is None else cells.get(block.step)
            if cell is None and run.repeats:
                raise DataError(problem(str(beside.cells), f"has no cell of step {block.step} of {file.name}"))
            yield _frame(block, acting, cell, run, species, str(file))


def _plain(file: Path) -> str:
    """The name of a file without a suffix of compression."""
    return file.stem if compression(file) else file.name


def _text(stream: BinaryIO, file: Path) -> OutputText:
    size = file.stat().st_size
    return OutputText(stream, str(file), largest(size) if compression(file) else size)


@contextlib.contextmanager
def _lines(file: Path) -> Iterator[TextIO]:
    with opened(file) as stream, _text(stream, file) as lines:
        yield lines


# ---------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class _Beside:
    """The other files of a run."""

    forces: Path | None
    cells: Path | None
    outputs: list[Path]
    """Main outputs with the same project name; several if the run was continued."""

    @classmethod
    def of(cls, file: Path) -> _Beside:
        found = _NAME.fullmatch(_plain(file))
        if found is None:
            return cls(None, None, [])
        name, _, number = found.groups()
        outputs = [
            one
            for one in sorted(file.parent.iterdir())
            if one.suffix in _OUTPUTS and one.is_file() and _is_of(one, name)
        ]
        return cls(_existing(file, f"{name}-frc-{number}.xyz"), _existing(file, f"{name}-{number}.cell"), outputs)


def _existing(file: Path, name: str) -> Path | None:
    return next((one for ending in _PACKED if (one := file.with_name(f"{name}{ending}")).is_file()), None)


def _is_of(file: Path, project: str) -> bool:
    """Whether a file is a main output of a project."""
    with contextlib.suppress(OSError, ArtifactError, DataError), opened(file) as stream:
        lines = stream.read(_BEGINNING).decode("utf-8", "replace").splitlines()
        return any(found[1] == project for line in lines if (found := _PROJECT.match(line)))
    return False


@dataclass
class _Run:
    """What the main outputs say."""

    cell: list[list[float]] | None = None
    pbc: list[bool] = field(default_factory=lambda: [True] * 3)
    failed: list[tuple[float, str]] = field(default_factory=list)
    """Energies (Hartree) of cycles that did not converge, in order, with what the program says."""

    @property
    def repeats(self) -> bool:
        return any(self.pbc)

    def mark(self, energy: float) -> str:
        """What the program says of a cycle with this energy; empty if it converged."""
        found = bisect.bisect_left(self.failed, (energy - _SAME,))
        energies = self.failed[found : found + 1]
        return next((mark for failed, mark in energies if abs(failed - energy) < _SAME), "")


def _run(beside: _Beside, file: Path) -> _Run:
    """Read the main outputs.

    Raises:
        DataError: If neither they nor a file of cells say what the cell is.
    """
    run, moves, seen = _Run(), False, []
    for output in beside.outputs:
        reader, mark = CellReader(), ""
        with _lines(output) as lines:
            for line in iter(lines.readline, ""):
                reader.read(line)
                moves = moves or _CELL_MOVES.match(line) is not None
                mark = next((f'"{one}"' for one in FAILED if one in line), mark)
                if (energy := total_energy(line, str(output))) is not None:
                    run.failed += [(energy, mark)] if mark else []
                    mark = ""
        seen.append((reader.cell, reader.pbc))
    run.failed.sort()
    if seen and any(one != seen[0] for one in seen):
        names = ", ".join(one.name for one in beside.outputs)
        raise DataError(problem(str(file), f"{names} state different cells", hint="keep runs in folders of their own"))
    if seen:
        run.cell, run.pbc = seen[0]
    if beside.cells is None and (run.cell is None or moves):
        found = _NAME.fullmatch(_plain(file))
        name, number = (found[1], found[3]) if found else ("NAME", "1")
        what = "has no file of cells, and the cell of the run changes" if moves else "has no file that states its cell"
        hint = f"put {name}-{number}.cell" + ("" if moves else f" or the main output ({name}.out)") + " into its folder"
        raise DataError(problem(str(file), what, hint=hint))
    return run


def _cells(file: Path) -> dict[int, list[list[float]]]:
    """Cell vectors by step."""
    cells: dict[int, list[list[float]]] = {}
    with _lines(file) as lines:
        heading = lines.readline()
        if "angstrom" not in heading.lower():
            raise DataError(problem(str(file), "is not a file of cells of CP2K in Å", got=heading.strip()[:80]))
        for line in iter(lines.readline, ""):
            row = numbers(line, 12)
            if row is None:
                raise DataError(problem(str(file), "has a line that is not step, time, cell, volume", got=line[:80]))
            step, cell = int(row[0]), [row[2:5], row[5:8], row[8:11]]
            if cells.setdefault(step, cell) != cell:
                hint = "runs that begin again need folders of their own"
                raise DataError(problem(str(file), f"has different cells of step {step}", hint=hint))
    return cells


# --------------------------------------------------------------------------------- blocks


@dataclass(frozen=True)
class _Block:
    """One step of a file of positions or forces."""

    step: int
    energy: str
    names: list[str]
    rows: list[list[float]]


def _blocks(lines: TextIO, where: str) -> Iterator[_Block]:
    """The steps of a file; one that is not whole at the end is left out with a warning."""
    for header in iter(lines.readline, ""):
        comment = lines.readline()
        found = _COMMENT.match(comment)
        if not header.strip().isdecimal() or (comment and found is None):
            what = "has a step that does not begin with the number of atoms and a line 'i = …, E = …'"
            raise DataError(problem(where, what, got=f"{header.strip()[:20]} / {comment.strip()[:60]}"))
        names, rows = [], []
        for line in itertools.islice(iter(lines.readline, ""), int(header)):
            row = numbers(line, 3)
            if row is None or len(line.split()) != 4:
                raise DataError(
                    problem(where, "has a line that is not an atom and three numbers", got=line.strip()[:80])
                )
            names.append(line.split()[0])
            rows.append(row)
        if found is None or len(rows) < int(header):
            unfinished(where)
            return
        yield _Block(int(found[1]), found[2], names, rows)


def _joined(
    blocks: Iterator[_Block], forces: Iterator[_Block], file: Path, forces_file: Path | None
) -> Iterator[tuple[_Block, _Block | None]]:
    """Positions with the forces of the same step, which may be printed less often or more often."""
    acting = next(forces, None)
    number = without = 0
    for number, block in enumerate(blocks, 1):  # noqa: B007 - the number is used after the loop
        while acting is not None and acting.step < block.step:
            acting = next(forces, None)
        if acting is None or acting.step != block.step:
            without += 1
            yield block, None
            continue
        if (acting.energy, acting.names) != (block.energy, block.names):
            what = f"step {block.step} has other atoms or another energy in {file.name}"
            raise DataError(problem(str(forces_file), what, hint="keep runs in folders of their own"))
        yield block, acting
        acting = next(forces, None)
    if without and forces_file is not None:
        logger.warning("%s: %d of %d geometries have no forces in %s", file, without, number, forces_file.name)


def _frame(
    block: _Block,
    forces: _Block | None,
    cell: list[list[float]] | None,
    run: _Run,
    species: Mapping[str, str],
    where: str,
) -> Atoms:
    from ase.units import Bohr, Hartree

    names = [species.get(name, name) for name in block.names]
    check_names(names, where)
    step = Step([name.capitalize() for name in names], block.rows, cell, run.pbc if cell is not None else False)
    energy = numbers(block.energy, 1)
    if energy is None:
        raise DataError(problem(where, f"has no number for the energy of step {block.step}", got=block.energy))
    step.energy = step.free_energy = energy[0] * Hartree
    if forces is not None:
        step.forces = [[one * Hartree / Bohr for one in row] for row in forces.rows]
    step.unconverged = run.mark(energy[0])
    return step.atoms()
