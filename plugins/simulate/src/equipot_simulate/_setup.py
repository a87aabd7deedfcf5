"""Options that all commands share: the model, the structure and the folder; and what is made of them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from equipot.commands import SeveralValues, named_values, option_names
from equipot.errors import ConfigError, printable, problem

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.ase import EquipotCalculator
    from equipot.options import Options

_MODEL = (
    click.argument("model", type=click.Path()),
    click.argument("structure", type=click.Path()),
    click.option("--output", type=click.Path(), metavar="DIR", help="Folder of the results; default: see below."),
    click.option("--overwrite", is_flag=True, help="Replace results that are there already."),
    click.option("--device", default="cpu", help="Device to run on: cpu (default) or cuda."),
    click.option(
        "--weights", type=click.Choice(["ema", "raw"]), default="ema", help="Weights of a checkpoint (default: ema)."
    ),
    click.option(
        "--automatic-modifiers/--no-automatic-modifiers",
        "automatic_modifiers",
        default=True,
        help="Apply what plugins declare as automatic, such as compiled kernels (default), or nothing unasked.",
    ),
    click.option("--allow-native", is_flag=True, help="Also load a compiled file that you did not build yourself."),
    click.option(
        "--types",
        cls=SeveralValues,
        metavar="ELEMENT=TYPE...",
        help="Type of each element, for models whose types are not elements.",
    ),
    click.option(
        "--max-force", type=float, default=1e6, metavar="EV_PER_A", help="Stop at a larger force on an atom, eV/Å."
    ),
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL, STRUCTURE and the options that ``model_of`` takes to a command."""
    for decorator in reversed(_MODEL):
        function = decorator(function)
    return function


def frame_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose one frame of a file and repeat it."""
    for decorator in (
        click.option(
            "--repeat", type=int, nargs=3, default=(1, 1, 1), metavar="N N N", help="Repeat the cell along its vectors."
        ),
        click.option("--frame", type=int, metavar="N", help="Frame of a file with several, from 0; -1 is the last."),
    ):
        function = decorator(function)
    return function


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model is loaded."""

    model: str
    device: str
    weights: Literal["ema", "raw"]
    automatic_modifiers: bool
    allow_native: bool
    types: Mapping[str, str] | None
    max_force: float
    max_temperature: float | None = None

    def calculator(self, *needed: str) -> EquipotCalculator:
        """The calculator.

        Args:
            *needed: ``forces`` and ``stress``, as far as the work needs them.

        Raises:
            ArtifactError: If the file cannot be used.
            ConfigError: If the model does not have them.
        """
        from equipot.allocator import keep_memory
        from equipot.ase import EquipotCalculator

        keep_memory()
        options = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        made = EquipotCalculator(options.pop("model"), **options)
        missing = [name for name in needed if name not in made.implemented_properties]
        if missing:
            hint = "apply the modifier enable_ForceStressOutput: equipot package modify"
            raise ConfigError(problem(self.model, f"the model has no {' and no '.join(missing)}", hint=hint))
        if made.automatic.line:
            note(made.automatic.line)
        return made


def model_of(given: dict[str, Any], *, max_temperature: float | None = None) -> ModelOptions:
    """Take the options of the model out of what click parsed.

    Args:
        given: Changed: without them.
        max_temperature: Of the calculator, K.

    Raises:
        ConfigError: If a value cannot be.
    """
    names = [one.name for one in dataclasses.fields(ModelOptions) if one.name != "max_temperature"]
    options = {name: given.pop(name) for name in names}
    options["types"] = named_values(options["types"], "--types", "O=OW") or None
    if not options["max_force"] > 0.0:
        raise ConfigError(problem("--max-force", "must be greater than 0", got=options["max_force"]))
    return ModelOptions(**options, max_temperature=max_temperature)


def frames_of(path: str, frame: int | None, repeat: tuple[int, int, int]) -> list[Atoms]:
    """The structures of a file: all, or the chosen one.

    Args:
        path: The file, of any format that training reads.
        frame: Index, or None for all.
        repeat: Along the cell vectors.

    Raises:
        DataError: If it cannot be read.
        ConfigError: If there is no such frame, or a number of repetitions is not positive.
    """
    from equipot.data import read_atoms

    if min(repeat) < 1:
        raise ConfigError(problem("--repeat", "must be three numbers of at least 1", got=repeat))
    with option_names({}):
        frames = read_atoms(path)
    if frame is not None:
        if not -len(frames) <= frame < len(frames):
            raise ConfigError(problem("--frame", f"{path} has {len(frames)} frames", got=frame))
        frames = [frames[frame]]
    return [prepared(atoms, repeat) for atoms in frames]


def prepared(atoms: Atoms, repeat: tuple[int, int, int]) -> Atoms:
    """A copy without labels, repeated."""
    copied = atoms.copy()
    return copied if repeat == (1, 1, 1) else copied.repeat(repeat)


def one_frame(path: str, frame: int | None, repeat: tuple[int, int, int], *, what: str) -> Atoms:
    """The structure of a file with one frame, or the chosen one; a crystal.

    Args:
        path: As for ``frames_of``.
        frame: As for ``frames_of``.
        repeat: As for ``frames_of``.
        what: What is computed, for the message about a structure that is not a crystal.

    Raises:
        ConfigError: If there are several, or it is not periodic in all directions.
    """
    frames = frames_of(path, frame, repeat)
    if len(frames) > 1:
        raise ConfigError(problem(path, f"has {len(frames)} frames", hint="choose one: --frame N (from 0)"))
    if not frames[0].pbc.all() or frames[0].cell.rank < 3:
        what = f"{what} needs a crystal, and this structure is not periodic in all three directions"
        raise ConfigError(problem(path, what))
    return frames[0]


def output_of(given: dict[str, Any], structure: str, command: str) -> Path:
    """Take the folder of the results out of what click parsed; ``STRUCTURE_COMMAND`` by default."""
    output = given.pop("output")
    return Path(output) if output else Path(f"{Path(structure).name.split('.')[0]}_{command}")


def origin(model: str, structure: str, atoms: Atoms | None = None) -> dict[str, Any]:
    """What the results of a command come from, for ``results.json``.

    Args:
        model: Its file.
        structure: Its file.
        atoms: The structure itself, if there is one.
    """
    from equipot import __version__
    from equipot.files import file_digest

    record: dict[str, Any] = {
        "equipot": __version__,
        "model": {"file": Path(model).name, "sha256": file_digest(model)},
        "structure": {"file": Path(structure).name, "sha256": file_digest(structure)},
    }
    if atoms is not None:
        record["structure"] |= {"formula": atoms.get_chemical_formula(), "atoms": len(atoms)}
    return record


def note(text: str) -> None:
    """One line to standard error."""
    sys.stderr.write(printable(text) + "\n")


def say(text: str) -> None:
    """One line to standard output."""
    sys.stdout.write(printable(text) + "\n")


def needs(module: str, extra: str, what: str) -> ConfigError:
    """The error about a package that is not installed."""
    hint = f"pip install 'equipot-simulate[{extra}]'"
    return ConfigError(problem(what, f"needs {module}, which is not installed", hint=hint))


_AnyOptions = TypeVar("_AnyOptions", bound="Options")


def checked(made: type[_AnyOptions], values: Mapping[str, Any]) -> _AnyOptions:
    """Make options of what click parsed; messages name the options of the command line.

    Args:
        made: Class of the options.
        values: Name to value.

    Raises:
        ConfigError: With every problem.
    """
    from equipot.options import from_mapping

    try:
        return from_mapping(made, values, "options")
    except ConfigError as error:
        raise ConfigError([_named(text) for text in error.problems]) from None


def _named(text: str) -> str:
    """``options.log_every: …`` as ``--log-every: …``, and entries of an option as ``--stop-above energy_std: …``."""
    place, colon, rest = text.partition(":")
    name, _, entry = place.removeprefix("options.").partition(".")
    return f"--{name.replace('_', '-')}{' ' * bool(entry)}{entry}{colon}{rest}"
