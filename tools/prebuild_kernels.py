"""Compile kernels for the wheel of equipot-kernels, so that the usual models need no compiler where it is installed.

`python tools/prebuild_kernels.py` compiles the kernels of all presets and of the models in `examples/`, for each
level of processors that a compiler here can build for, into `plugins/kernels/src/equipot_kernels/_prebuilt`, and
checks what it made. `tools/release.py` does this before it builds wheels. Nothing of it is committed.

`g++` compiles for x86-64; for aarch64, `aarch64-linux-gnu-g++` does (Debian: g++-aarch64-linux-gnu), whose files are
checked, but not run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

PREFIX = {"x86-64-v4": "", "x86-64-v3": "", "armv8-a": "aarch64-linux-gnu-"}
"""Level of processors and what the names of its compiler and tools begin with."""

FLAGS = {
    "x86-64-v4": ("-march=x86-64-v4", "-Wl,-z,max-page-size=4096"),
    "x86-64-v3": ("-march=x86-64-v3", "-Wl,-z,max-page-size=4096"),
    "armv8-a": ("-march=armv8-a", "-mno-outline-atomics", "-Wl,-z,max-page-size=16384"),
}
"""Pages of 16 kB, in place of the 64 kB that compilers choose for aarch64, keep files small."""

LINK = ("-shared", "-nostdlib", "-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code")
"""Links to nothing: what kernels call is in libraries that torch has loaded, whatever their names and versions."""


CALLED = re.compile(r"GOMP_\w+|omp_\w+|mem(cpy|set|move)|(cos|erf|pow|sin)f?")
"""What kernels may call."""
WIDE = {"x86-64-v4": "zmm", "x86-64-v3": "ymm", "armv8-a": r"v\d+\.(4s|2d)"}
"""Registers that code for a level uses."""

PRESETS = {
    "PresetNequIPGNNModel": {"S": ("float32", "float64"), "M": ("float32", "float64"), "L": ("float32",)},
    "PresetAllegroModel": dict.fromkeys(("S", "M", "L"), ("float32", "float64")),
}
"""Presets and the data types for which they are compiled; the others would take half of the space for few users."""


def main() -> int:
    """Compile, check, and say how much it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--levels", nargs="+", choices=PREFIX, default=[one for one in PREFIX if compiler(one)])
    parser.add_argument("--presets", nargs="+", help="only these sizes, without the examples' models")
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT / "core/src"), *map(str, ROOT.glob("plugins/[!_]*/src"))]
    if missing := [level for level in args.levels if not compiler(level)]:
        sys.exit(f"no compiler for {', '.join(missing)}")
    wanted = dict(sources(args.presets))
    print(f"{len(wanted)} kernels for {', '.join(args.levels)}")
    for level in args.levels:
        files = build(level, wanted)
        check(level, files)
        print(f"{level}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB", flush=True)
    return 0


def compiler(level: str) -> str | None:
    """The program that compiles for a level, if it is installed."""
    return shutil.which(f"{PREFIX[level]}g++")


def sources(sizes: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """Stem of each file and the source it is made of.

    Args:
        sizes: Only presets of these sizes; None: all, and the models of the examples.
    """
    from equipot_kernels import _edge_pairs
    from equipot_kernels._build import cache, registry
    from equipot_kernels._program import interpreter

    text = interpreter.source()
    yield f"program-{cache.key_of(text)}", text
    for spec in (_edge_pairs.SPEC, *specs(sizes)):
        family = registry.family_of(spec)
        for unit in family.UNITS:
            text = family.source(spec, unit)
            yield f"{spec['family']}_{unit}-{cache.key_of(text)}", text


def specs(sizes: list[str] | None) -> Iterator[dict[str, Any]]:
    """Specs of all kernels of all models, with splines and without; some occur more than once."""
    import torch

    for recipe, dtypes in recipes(sizes):
        model = recipe.build()
        for energy in (model.energy, on_splines(model)):
            for name in dtypes:
                yield from specs_of(energy, getattr(torch, name))


def specs_of(energy: torch.nn.Module, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """Specs of the kernels of one energy module."""
    from equipot.nn.slots import KernelSlot, replace_slots
    from equipot_kernels._modifier import kernel_of

    for module in replace_slots(energy, kernel_of).modules():
        if isinstance(module, KernelSlot):
            yield from module.kernel_specs(dtype)


def on_splines(model: Any) -> torch.nn.Module:
    """The energy of a model with splines."""
    from equipot.model import apply_modifier

    energy: torch.nn.Module = apply_modifier(model, "train_with_RadialSplines").energy
    return energy


def recipes(sizes: list[str] | None) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Recipes of models, which kernels depend on only by shapes, and data types for each."""
    import equipot.model

    common = {"type_names": ["H", "O"], "r_max": 4.0, "avg_num_neighbors": 10.0}
    for builder, held in PRESETS.items():
        for size, dtypes in held.items():
            if sizes is None or size in sizes:
                yield getattr(equipot.model, builder)(preset=size, **common), dtypes
    for path in sorted((ROOT / "examples").glob("*.yaml")) if sizes is None else []:
        yield from example(path, common)


def example(path: Path, common: dict[str, Any]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The recipe of an example: what its config takes from data does not change a shape."""
    import yaml

    config = yaml.safe_load(path.read_text(encoding="utf-8"))["training_module"]["model"]
    while "model" in config:  # modifiers and heads change nothing in the builder
        config = config["model"]
    given = {key: made(value) for key, value in config.items() if "${" not in str(value)}
    recipe = _imported(given.pop("_target_"))
    yield recipe(**{**given, **common}), ("float32", "float64")


def made(value: Any) -> Any:
    """A value of a config, with the class that a ``_target_`` in it names."""
    if isinstance(value, dict) and "_target_" in value:
        return _imported(value["_target_"])(**{key: one for key, one in value.items() if key != "_target_"})
    return value


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def build(level: str, wanted: dict[str, str]) -> list[Path]:
    """Compile all sources for one level, in place of what was there before.

    Args:
        level: Key of ``PREFIX``.
        wanted: Stem of each file and its source.

    Returns:
        The files.
    """
    from equipot_kernels._build.prebuilt import FOLDER
    from equipot_kernels._build.toolchain import ALWAYS

    folder = FOLDER / level
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def compiled(stem: str) -> Path:
        path = folder / f"{stem}.so"
        program, made = str(compiler(level)), path.with_suffix(".o")
        flags = [*ALWAYS, *FLAGS[level], "-fopenmp", "-c", "-x", "c++", "-", "-o", str(made)]
        subprocess.run([program, *flags], input=wanted[stem], text=True, check=True)
        subprocess.run([program, *FLAGS[level], *LINK, str(made), "-o", str(path)], check=True)
        made.unlink()
        path.chmod(0o644)
        return path

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(compiled, wanted))


def check(level: str, files: list[Path]) -> None:
    """Check that files need no library, call only what is allowed, and that some of the code uses wide registers."""
    wide = 0
    for path in files:
        dynamic = _tool(level, "readelf", "-d", str(path))
        if "NEEDED" in dynamic:
            sys.exit(f"{path}: needs a library\n{dynamic}")
        called = re.findall(r" U (\w+)", _tool(level, "nm", "-D", "--undefined-only", str(path)))
        if bad := [name for name in called if not CALLED.fullmatch(name)]:
            sys.exit(f"{path}: calls {', '.join(bad)}")
        unit = path.stem.rsplit("-", 1)[0]
        if not re.search(r" T \w+", _tool(level, "nm", "-D", "--defined-only", str(path))):
            sys.exit(f"{path}: no function for {unit}")
        wide += bool(re.search(WIDE[level], _tool(level, "objdump", "-d", "--no-show-raw-insn", str(path))))
    if 2 * wide < len(files):
        sys.exit(f"{level}: only {wide} of {len(files)} files use {WIDE[level]}")


def _tool(level: str, *words: str) -> str:
    name, *arguments = words
    return subprocess.run([PREFIX[level] + name, *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
