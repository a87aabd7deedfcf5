"""Run compiled files ``*.equipot.pt2``; inputs are checked here because native code does not check them."""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path
from typing import Any, BinaryIO

import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import read_compiled
from equipot.artifacts._kernels import load_kernels
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._stored import info_of
from equipot.errors import ArtifactError, DataError, EquipotError, problem, relocate
from equipot.fields import MODEL_INPUTS
from equipot.files import code_folder, file_digest, open_regular, stream_digest
from equipot.graph import Graph, edge_set_key
from equipot.model._context import ModelInfo
from equipot.model._inputs import check_batch, field_of
from equipot.neighbors import add_neighbors
from equipot.nn import exchange as _exchange  # noqa: F401 - it defines ops that files for engines call

_CAPABILITIES = ("DEFAULT", "NO AVX", "AVX2", "AVX512")
_DTYPES = {"float64": torch.float64, "int64": torch.int64, "bool": torch.bool}


class CompiledModel:
    """A compiled model, called like a GraphModel in eval mode.

    ``model(batch)`` returns detached outputs. Inputs of another dtype, with strides or on another device are converted;
    wrong shapes and indices raise. Several threads may call it, one after the other.

    In a pickle it is the path and digest of its file, which is loaded again at the first call. Deep copies share the
    native code, which has no state.

    Args:
        runner: Takes a list of tensors and returns a sequence of tensors.
        manifest: The manifest of the file.
        info: Types, cutoffs, units, inputs and outputs.
    """

    def __init__(self, runner: Any, manifest: Manifest, info: ModelInfo) -> None:
        self._runner = runner
        self.manifest = manifest
        self.info = info
        self._outputs: list[str] = manifest.compiled["outputs"]
        self._device = torch.device(manifest.compiled["device"])
        # Kernels of plugins are called through Python, which may then let another thread in; that one would wait inside
        # torch for the first call to end, without letting it go on.
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._runner, LoadedFile):
            raise TypeError("a compiled model can only be pickled if it was loaded from a file")
        return CompiledModel, (self._runner, self.manifest, self.info)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledModel:
        return self

    @torch.no_grad()
    def __call__(self, data: Graph) -> Graph:
        """Evaluate the model.

        Args:
            data: A batch with the fields in ``info.inputs``.

        Returns:
            The outputs of the eager model, on the model's device.

        Raises:
            DataError: If an input is missing or has a wrong shape, an index is out of range, or edges are not sorted.
            ArtifactError: If its code gives another number of outputs than its manifest states.
        """
        prepared = prepare(data, self.info, self._device)
        with self._lock:
            outputs = self._runner(prepared)
        if len(outputs) != len(self._outputs):
            what = f"must give {len(self._outputs)} outputs"
            raise ArtifactError(problem("compiled model", what, got=len(outputs), hint="compile it again"))
        return dict(zip(self._outputs, outputs, strict=True))


class LoadedFile:
    """The native code of a compiled file; in a pickle, where to find the file and how to know it again.

    Args:
        path: Of the file.
        digest: SHA-256 of the file.
        device: Where to run.
        run: The native code; None: it is loaded at the first call, if the file is still the same.
    """

    def __init__(self, path: Path, digest: str, device: torch.device, run: Any = None) -> None:
        self.path, self.digest, self.device = path.absolute(), digest, device  # links stay: other machines have them
        self._run = run

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadedFile, (self.path, self.digest, self.device)

    def __call__(self, inputs: list[torch.Tensor]) -> Any:
        if self._run is None:
            self._run = self._loaded_again()
        return self._run(inputs)

    def _loaded_again(self) -> Any:
        where = f"{self.path}: a compiled model was sent here as the path of its file, but"
        try:
            digest = file_digest(self.path)
        except ArtifactError as error:
            reason = str(error).removeprefix(f"{self.path}: ")
            hint = "keep it where all processes can read it under the same path"
            raise ArtifactError(f"{where} {reason}; {hint}") from None
        if digest != self.digest:
            hint = "load the new file where the work is handed out"
            raise ArtifactError(f"{where} the file has changed since; {hint}")
        # The digest says that it is the file whose code the sender let run.
        return _loaded(self.path, self.device, allowed=self.digest)._runner  # noqa: SLF001 - of this module


def prepare(data: Graph, info: ModelInfo, device: torch.device) -> list[torch.Tensor]:
    """The inputs of a compiled model in the order of ``info.inputs``: checked, contiguous and of the right dtypes.

    Of a file for an engine with ghost atoms, ``owned`` may be left out: all atoms are owned then.
    """
    if "owned" in info.inputs and "owned" not in data and isinstance(data.get("atom_types"), torch.Tensor):
        data = {**data, "owned": torch.ones_like(data["atom_types"], dtype=torch.bool)}
    if missing := [key for key in info.inputs if key not in data]:
        what = f"the inputs {missing} are missing"
        raise DataError(problem("compiled model", what, hint=f"give {list(info.inputs)}"))
    ready = {key: data[key].detach().to(device, _DTYPES[field_of(key).dtype]).contiguous() for key in info.inputs}
    check_batch(ready, info, "compiled model")
    return list(ready.values())


def load_compiled(path: str | Path, device: str | torch.device = "cpu", *, allow_native: bool = False) -> CompiledModel:
    """Load a compiled file.

    All its members are compared with the digests in its manifest. Its golden frames are replayed the first time it is
    loaded on a machine, with the edges that the stated cutoffs give.

    Args:
        path: A ``.equipot.pt2`` file.
        device: Must be of the kind that it was compiled for.
        allow_native: Also load a file that you did not build yourself.

    Raises:
        ArtifactError: Before any of its code runs, if the file is for another device, torch or processor, was edited,
            or was built elsewhere and is not allowed; after that, if its golden frames give other numbers.
    """
    return _loaded(Path(path), torch.device(device), allowed=True if allow_native else None)


def golden_frames(path: str | Path) -> list[golden.GoldenFrame]:
    """The golden frames of a compiled file, to be replayed in the engine that it was compiled for.

    Args:
        path: A ``.equipot.pt2`` file; its code is not run, its members are compared with their digests.

    Returns:
        Frames with the outputs of the model before it was compiled. Some of a file for an engine with ghost atoms have
        atoms that are not ``owned``.

    Raises:
        ArtifactError: If it is not a compiled file, or it was edited.
    """
    return golden.from_bytes(read_compiled(path)[1], str(path))


def _loaded(path: Path, device: torch.device, *, allowed: str | bool | None) -> CompiledModel:
    """Load a compiled file; ``allowed`` is the digest of the only one that may be, True for any, None for own ones."""
    with open_regular(path) as file:
        digest = stream_digest(file)
        manifest, raw = read_compiled(path)
        check_fits(manifest, path, device)
        info = _checked_info(manifest, str(path))
        _check_allowed(path, digest, allow_native=allowed in (True, digest))
        load_kernels(manifest.compiled.get("kernels", {}), str(path))
        code = LoadedFile(path, digest, device, open_runner(path, device, file))
        model = CompiledModel(code, manifest, info)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise ArtifactError(problem(str(path), "was replaced while it was loaded", hint="load it again"))
    if not trust.verified_here(digest):
        _check_golden(model, raw, str(path))
        trust.remember(digest, built=False)
    return model


def _check_allowed(path: Path, digest: str, *, allow_native: bool) -> None:
    if not (allow_native or trust.built_here(digest)):
        folder = trust.folder()
        there = "has no record" if folder.is_dir() else "does not exist, so there is no record"
        raise ArtifactError(
            f"{path}: holds native code, and {folder} {there} that you built it (each EQUIPOT_CACHE_DIR and home "
            f"folder has records of its own, and an edited file is another one); compile it here with 'equipot "
            f"compile', or, if you trust its source, pass --allow-native (Python: allow_native=True)"
        )


def _checked_info(manifest: Manifest, where: str) -> ModelInfo:
    """What the manifest says of the model, if its parts agree."""
    info, place = info_of(manifest, where), f"{where}: manifest"
    if missing := [key for key in MODEL_INPUTS if key not in info.inputs]:
        raise ArtifactError(problem(f"{place}.model.inputs", f"lacks {missing}", got=list(info.inputs)))
    if missing := [key for key in info.outputs if key not in manifest.compiled["outputs"]]:
        raise ArtifactError(problem(f"{place}.compiled.outputs", f"lacks {missing}", got=manifest.compiled["outputs"]))
    return info


def _check_golden(model: CompiledModel, raw: bytes, where: str) -> None:
    """Replay the golden frames; whatever their tensors hold, the error is about the file."""
    try:
        frames = golden.from_bytes(raw, where)
        for frame in frames:
            _check_edges(frame, model.info, where)
        golden.check(model, frames, model.info.model_dtype, where)
    except (EquipotError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        if isinstance(error, ArtifactError):
            raise ArtifactError(relocate(str(error), "", where)) from None
        what = f"its golden frames cannot be replayed ({str(error).splitlines()[0] if str(error) else error!r})"
        raise ArtifactError(problem(where, what, hint="the file was edited or damaged: compile it again")) from None


def _check_edges(frame: golden.GoldenFrame, info: ModelInfo, where: str) -> None:
    """The edges of a frame are those within the stated cutoffs: another radius would give other ones in use."""
    prepare(frame.inputs, info, torch.device("cpu"))
    bare = {key: value for key, value in frame.inputs.items() if key in MODEL_INPUTS and not key.startswith("edge")}
    made = add_neighbors(bare, info.r_max, cutoffs=info.cutoff_matrix, edge_sets=info.edge_sets)
    for name in info.edge_set_names:
        index, shift = edge_set_key("edge_index", name), edge_set_key("edge_cell_shift", name)
        if _rows(made[index], made[shift]) != _rows(frame.inputs[index], frame.inputs[shift]):
            what = f"the edges {name!r} of its golden frame {frame.name!r} are not those within the stated cutoffs"
            hint = "its r_max or cutoffs were edited: compile it again"
            raise ArtifactError(problem(where, what.replace("edges ''", "edges"), hint=hint))


def _rows(index: torch.Tensor, shift: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in torch.cat([index.t().double(), shift.double()], dim=1).tolist()}


def open_runner(path: Path, device: torch.device, file: BinaryIO | None = None) -> Any:
    """Load the native code, as a function from a list of tensors to a sequence of tensors.

    Args:
        path: The file.
        device: Where it runs.
        file: The same, opened already; what is loaded is then this, even if the file is replaced meanwhile.

    Raises:
        ArtifactError: If torch cannot load it, or the folder for temporary files does not allow it.
    """
    code_folder()
    opened = Path("/proc/self/fd") / str(file.fileno()) if file is not None else path
    source = opened if opened.exists() else path
    try:
        # torch's own wrapper around this loader takes seconds to import
        loader = getattr(getattr(torch._C, "_aoti", None), "AOTIModelPackageLoader", None)  # noqa: SLF001 - see above
        if loader is None:
            model = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001 - torch documents it so
            return lambda inputs: model(*inputs)
        return loader(str(source), "model", False, 1, -1 if device.index is None else device.index).run
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f"torch cannot load its code ({reason})"
        raise ArtifactError(problem(str(path), what, hint="compile it again here")) from None


def built_for(device: str, *, portable: bool) -> dict[str, Any]:
    """Facts about a file compiled here that ``check_fits`` compares where it is loaded."""
    return {
        "device": device,
        "torch": public_torch_version(),
        "platform": platform_name(),
        "cpu": "AVX2" if portable else trust.cpu_capability(),
        "portable": portable,
    }


def check_fits(manifest: Manifest, path: Path, device: torch.device) -> None:
    """Refuse a file compiled for another device, torch version or processor, naming everything that differs."""
    made, problems = manifest.compiled, []
    if made["device"].partition(":")[0] != device.type:
        problems.append(f"it was compiled for the device {made['device']!r}, not {device.type!r}")
    if made["torch"] != public_torch_version():
        problems.append(f"it was compiled by torch {made['torch']}, but this is torch {public_torch_version()}")
    if made["platform"] != platform_name():
        problems.append(f"it was compiled for {made['platform']}, but this is {platform_name()}")
    have, need = trust.cpu_capability(), made["cpu"]
    if need in _CAPABILITIES and have in _CAPABILITIES and _CAPABILITIES.index(have) < _CAPABILITIES.index(need):
        problems.append(f"it needs a processor with {need}, but this one has {have}")
    if problems:
        hint = f"compile it again here: equipot compile MODEL {path.name} --device {device.type}"
        raise ArtifactError(problem(str(path), "; ".join(problems), hint=hint))


def platform_name() -> str:
    """Operating system and processor family, e.g. ``linux x86_64``."""
    return f"{platform.system().lower()} {platform.machine()}"


def public_torch_version() -> str:
    """Torch's version without the local part (``+cpu``)."""
    return torch.__version__.split("+")[0]
