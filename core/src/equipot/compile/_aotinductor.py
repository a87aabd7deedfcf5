"""Make ``*.equipot.pt2`` files: AOTInductor packages with manifest and golden frames, checked against eager models."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils import cpp_extension

from equipot import caches
from equipot._host.attribution import faults_named
from equipot.artifacts import _golden as golden
from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import SUFFIX, add_members, check_metadata, stated
from equipot.artifacts._compiled_model import CompiledModel, built_for, open_runner, platform_name
from equipot.artifacts._golden import GoldenFrame
from equipot.artifacts._kernels import code_of, kernels_of
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._package import checked_path
from equipot.artifacts._stored import store
from equipot.compile._export import export_model, trace_batch
from equipot.compile._for_target import find_target, for_target, metadata_of
from equipot.errors import ArtifactError, problem
from equipot.files import atomic, cache_folder, code_folder, file_digest, no_code
from equipot.graph import Graph, collate
from equipot.model._graph_model import GraphModel

logger = logging.getLogger(__name__)

MODES = ("aotinductor",)

_COMPILER_HINT = "install g++ (apt install g++, conda install gxx) or set CXX; compiled files run without a compiler"

_INDUCTOR_CACHE = "TORCHINDUCTOR_CACHE_DIR"

_PORTABLE = {"cpp.march": "x86-64-v3", "cpp.simdlen": 256}
"""Runs on every x86-64 processor with AVX2 (since 2013)."""


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
        path: File to write, which ends in ``.equipot.pt2``; replaced atomically, and only after all checks passed.
        device: Kind of device it will run on.
        target: Engine that will run it, by its registered name.
        portable: Use only instructions of common x86-64 processors (AVX2), so that it runs on other machines.
        provenance: Origin of the model, e.g. ``{"source": "best.ckpt", "weights": "ema"}``.
        data: Hashes and census of the training data.

    Returns:
        The manifest of the file.

    Raises:
        PluginNotFoundError: If no plugin declares the target.
        ConfigError: If the target cannot serve the model, with all reasons.
        PluginError: If the code of a plugin fails, naming its line.
        ArtifactError: If the model cannot be stored, exported or compiled, if its compiled numbers differ, or if native
            code cannot be made in the folder for temporary files.
    """
    path = checked_path(path, SUFFIX)
    ready = for_target(model, target, find_target(target))
    _check_tools(device)
    kernels = kernels_of(ready.adapted)
    code = code_of(kernels, str(path), portable=portable) if ready.target.native else {}
    with faults_named(f"{path}: evaluating the model"):
        stored = store(model, "compiled", where=str(path), provenance=provenance, data=data)
        frames = golden.record(ready.model, info=ready.info, outputs=ready.outputs)
    exported = export_model(ready.adapted, device, more_inputs=ready.target.inputs, outputs=ready.outputs)
    facts = {
        "mode": MODES[0],
        "target": target,
        **built_for(device, portable=portable),
        "inputs": list(ready.info.inputs),
        "outputs": list(ready.outputs),
        "kernels": {name: {**entry, "files": list(code.get(name, {}))} for name, entry in kernels.items()},
        "metadata": metadata_of(ready, golden.digest(frames), kernels, exported.exchanges),
    }
    manifest = dataclasses.replace(stored.manifest, model=ready.info.to_dict(), compiled=facts)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.pt2"
        options = {"aot_inductor.metadata": dict(facts["metadata"]), **(_PORTABLE if portable else {})}
        _run_compiler(exported.program, made, options)
        manifest = add_members(made, manifest, golden.to_bytes(frames, stated(manifest)), code)
        check_metadata(made, manifest)
        compiled = CompiledModel(open_runner(made, torch.device(device)), manifest, ready.info)
        check_against_eager(ready.model, compiled, frames, str(path))
        with atomic(path) as temporary:
            shutil.copyfile(made, temporary)
    trust.remember(file_digest(path), built=True)
    return manifest


def check_against_eager(
    model: GraphModel, compiled: CompiledModel, frames: list[GoldenFrame], where: str
) -> dict[str, float]:
    """Compare a compiled model with the eager one on its golden frames and on batches of other sizes than the traced.

    These hold single atoms, crystals, and many frames of all kinds. The eager model may give more outputs.
    """
    info, outputs = compiled.info, compiled.manifest.compiled["outputs"]
    first, second = golden.random_frames(info, 11), golden.random_frames(info, 12)
    more: dict[str, Graph] = {
        "batch 0": collate([first["atom"], second["atom"]]),
        "batch 1": collate([first["triclinic"], second["triclinic"], first["atom"]]),
        "batch 2": collate([*first.values(), *second.values(), trace_batch(info)]),
    }
    frames = [*frames, *golden.record(model, more, info=info, outputs=outputs)]
    return golden.check(compiled, frames, info.model_dtype, f"{where}: compiled model")


def _check_tools(device: str) -> None:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        hint = "compile on the machine that will run it"
        raise ArtifactError(problem("compile.device", "there is no CUDA device here", got=device, hint=hint))
    compiler = os.environ.get("CXX") or ("clang++" if platform_name().startswith("darwin") else "g++")
    if shutil.which(compiler.split()[0]) is None:
        raise ArtifactError(problem("compile", "needs a C++ compiler", got=compiler, hint=_COMPILER_HINT))
    code_folder()


def _run_compiler(program: torch.export.ExportedProgram, path: Path, options: dict[str, Any]) -> None:
    configs = {"cpp.dynamic_threads": True, **options}  # otherwise this machine's number of threads is compiled in
    try:
        with warnings.catch_warnings(), _library_path_without_spaces(), _own_inductor_cache() as more:
            warnings.simplefilter("ignore")  # torch itself causes some on every compilation
            compiler = torch._inductor.aoti_compile_and_package  # noqa: SLF001 - documented by torch
            compiler(program, package_path=str(path), inductor_configs={**configs, **more})
    except Exception as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
        hint = "use the package instead; report this with the model's config"
        raise ArtifactError(problem("compile", f"AOTInductor failed ({reason})", hint=hint)) from error


@contextlib.contextmanager
def _library_path_without_spaces() -> Iterator[None]:
    """Work around torch's compiler, which does not quote ``-L`` and cannot link in a folder with a space."""
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


@contextlib.contextmanager
def _own_inductor_cache() -> Iterator[dict[str, Any]]:
    """Let torch's compiler use its cache only if no other user can have put code there; yields options for it.

    By default that is a folder in ``/tmp`` whose name others can guess. The replacement is in our own cache folder.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    default = default_cache_dir()
    # torch keeps compiled headers in the default folder in any case
    options = {"aot_inductor.precompile_headers": False} if _refused(Path(default)) else {}
    given = os.environ.get(_INDUCTOR_CACHE, default)
    reason = _refused(Path(given))
    if not reason:
        yield options
        return
    if given != default:
        logger.warning("%s=%s is not used: %s", _INDUCTOR_CACHE, given, reason)
    own = cache_folder() / "inductor"
    with contextlib.ExitStack() as kept:
        folder = kept.enter_context(tempfile.TemporaryDirectory()) if _refused(own) else str(own)
        os.environ[_INDUCTOR_CACHE] = folder
        try:
            yield options
        finally:
            os.environ[_INDUCTOR_CACHE] = given


def _refused(folder: Path) -> str:
    return caches.refusal(folder) or no_code(folder)
