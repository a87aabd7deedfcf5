"""Make ``*.equipot.pt2``: an AOTInductor package with manifest and golden frames, compared with eager."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import cpp_extension

from equipot.artifacts import _archive as archive
from equipot.artifacts import _golden as golden
from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import SUFFIX, add_members
from equipot.artifacts._compiled_model import CompiledModel, built_for, open_runner, platform_name
from equipot.artifacts._kernels import kernels_of
from equipot.artifacts._package import checked_path
from equipot.artifacts._stored import store
from equipot.compile._export import export_model, trace_batch
from equipot.errors import ArtifactError, problem, unknown
from equipot.files import atomic
from equipot.graph import Graph, collate

if TYPE_CHECKING:
    from equipot.artifacts._golden import GoldenFrame
    from equipot.artifacts._manifest import Manifest
    from equipot.model._graph_model import GraphModel

MODES = ("aotinductor",)
TARGETS = ("ase",)

_COMPILER_HINT = "install g++ (apt install g++, conda install gxx) or set CXX; running a compiled file needs none"

_PORTABLE = {"cpp.march": "x86-64-v3", "cpp.simdlen": 256}
"""Runs on every x86-64 processor with AVX2 (2013 on)."""


def compile_model(
    model: GraphModel,
    path: str | Path,
    *,
    device: str = "cpu",
    target: str = "ase",
    portable: bool = False,
    provenance: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Manifest:
    """Compile a model to a file and check it against the eager model.

    Args:
        model: An eager model made by registered builders and modifiers; it is not changed.
        path: Ends in ``.equipot.pt2``; replaced atomically, only after all checks passed.
        device: Kind of device it will run on.
        target: Engine it is for.
        portable: Use only instructions of common x86-64 processors (AVX2), for other machines.
        provenance: Origin, e.g. ``{"source": "best.ckpt", "weights": "ema"}``.
        data: Hashes and census of the training data.

    Returns:
        The manifest of the file.

    Raises:
        ArtifactError: If the model cannot be stored, exported or compiled, or the compiled one
            gives other numbers.
    """
    path = checked_path(path, SUFFIX)
    if target not in TARGETS:
        raise ArtifactError(unknown("compile.target", target, TARGETS, "target"))
    _check_tools(device)
    stored = store(model, "compiled", where=str(path), provenance=provenance, data=data)
    frames = golden.record(model)
    exported = export_model(model, device)
    facts = {
        "mode": MODES[0],
        "target": target,
        **built_for(device, portable=portable),
        "outputs": list(exported.outputs),
        "kernels": kernels_of(model),
    }
    manifest = dataclasses.replace(stored.manifest, compiled=facts)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.pt2"
        _run_compiler(exported.program, made, _PORTABLE if portable else {})
        manifest = add_members(made, manifest, golden.to_bytes(frames))
        compiled = CompiledModel(open_runner(made, torch.device(device)), manifest, model.info)
        check_against_eager(model, compiled, frames, str(path))
        with atomic(path) as temporary:
            shutil.copyfile(made, temporary)
    trust.remember(archive.file_digest(path), built=True)
    return manifest


def check_against_eager(
    model: GraphModel, compiled: CompiledModel, frames: list[GoldenFrame], where: str
) -> dict[str, float]:
    """Compare compiled and eager outputs: golden frames, a lone atom, and batches of several sizes.

    Args:
        model: The eager model.
        compiled: The compiled one.
        frames: Golden frames of the eager model.
        where: File named in errors.

    Returns:
        Largest relative deviation of each output.

    Raises:
        ArtifactError: If they differ by more than rounding.
    """
    more: dict[str, Graph] = {f"batch {seed}": batch for seed, batch in enumerate(_batches(model))}
    frames = [*frames, *golden.record(model, more)]
    return golden.check(compiled, frames, model.info.model_dtype, f"{where}: compiled model")


def _batches(model: GraphModel) -> list[Graph]:
    """Batches of other sizes than the traced one: crystals only, molecules only, everything twice."""
    first, second = golden.random_frames(model.info, 11), golden.random_frames(model.info, 12)
    return [
        collate([first["atom"], second["atom"]]),
        collate([first["triclinic"], second["triclinic"], first["atom"]]),
        collate([*first.values(), *second.values(), trace_batch(model.info)]),
    ]


def _check_tools(device: str) -> None:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        hint = "compile on the machine that will run it"
        raise ArtifactError(problem("compile.device", "there is no CUDA device here", got=device, hint=hint))
    compiler = os.environ.get("CXX") or ("clang++" if platform_name().startswith("darwin") else "g++")
    if shutil.which(compiler.split()[0]) is None:
        raise ArtifactError(problem("compile", "needs a C++ compiler", got=compiler, hint=_COMPILER_HINT))


def _run_compiler(program: torch.export.ExportedProgram, path: Path, options: dict[str, Any]) -> None:
    configs = {"cpp.dynamic_threads": True, **options}  # else the number of threads here would be compiled in
    try:
        with warnings.catch_warnings(), _library_path_without_spaces():
            warnings.simplefilter("ignore")  # of torch's own making, on every compilation
            compiler = torch._inductor.aoti_compile_and_package  # noqa: SLF001 - torch documents it so
            compiler(program, package_path=str(path), inductor_configs=configs)
    except Exception as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
        hint = "use the package instead; report this with the model's config"
        raise ArtifactError(problem("compile", f"AOTInductor failed ({reason})", hint=hint)) from error


@contextlib.contextmanager
def _library_path_without_spaces() -> Iterator[None]:
    """Where torch is installed below a folder with a space, its compiler cannot link: it does not quote ``-L``."""
    original = cpp_extension.TORCH_LIB_PATH
    if " " not in original:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "lib")
        link.symlink_to(original)
        cpp_extension.TORCH_LIB_PATH = str(link)
        try:
            yield
        finally:
            cpp_extension.TORCH_LIB_PATH = original
