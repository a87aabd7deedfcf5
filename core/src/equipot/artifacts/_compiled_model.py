"""Run compiled files ``*.equipot.pt2``; inputs are checked here because native code does not check them."""

from __future__ import annotations

import platform
import threading
from pathlib import Path
from typing import Any

import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import read_compiled
from equipot.artifacts._inputs import check_batch, field_of
from equipot.artifacts._kernels import load_kernels
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._stored import info_of
from equipot.errors import ArtifactError, DataError, problem
from equipot.files import file_digest
from equipot.graph import Graph
from equipot.model._context import ModelInfo

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
        """
        prepared = prepare(data, self.info, self._device)
        with self._lock:
            outputs = self._runner(prepared)
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
        return load_compiled(self.path, self.device, allow_native=True)._runner  # noqa: SLF001 - of this module


def prepare(data: Graph, info: ModelInfo, device: torch.device) -> list[torch.Tensor]:
    """The inputs of a compiled model in the order of ``info.inputs``: checked, contiguous and of the right dtypes."""
    if missing := [key for key in info.inputs if key not in data]:
        what = f"the inputs {missing} are missing"
        raise DataError(problem("compiled model", what, hint=f"give {list(info.inputs)}"))
    ready = {key: data[key].detach().to(device, _DTYPES[field_of(key).dtype]).contiguous() for key in info.inputs}
    check_batch(ready, info, "compiled model")
    return list(ready.values())


def load_compiled(path: str | Path, device: str | torch.device = "cpu", *, allow_native: bool = False) -> CompiledModel:
    """Load a compiled file.

    Its golden frames are replayed the first time it is loaded on a machine.

    Args:
        path: A ``.equipot.pt2`` file.
        device: Must be of the kind that it was compiled for.
        allow_native: Also load a file that was not built on this machine.

    Raises:
        ArtifactError: Before any of its code runs, if the file is for another device, torch or processor, or was
            built elsewhere and is not allowed; after that, if its golden frames give other numbers.
    """
    path = Path(path)
    manifest, raw = read_compiled(path)
    check_fits(manifest, path, torch.device(device))
    digest = file_digest(path)
    if not (allow_native or trust.built_here(digest)):
        raise ArtifactError(
            f"{path}: holds native code and was not built on this machine; compile it here with "
            f"'equipot compile', or, if you trust its source, pass --allow-native (Python: allow_native=True)"
        )
    load_kernels(manifest.compiled.get("kernels", {}), str(path))
    code = LoadedFile(path, digest, torch.device(device), open_runner(path, torch.device(device)))
    model = CompiledModel(code, manifest, info_of(manifest, str(path)))
    if not trust.verified_here(digest):
        golden.check(model, golden.from_bytes(raw, str(path)), model.info.model_dtype, str(path))
        trust.remember(digest, built=False)
    return model


def open_runner(path: Path, device: torch.device) -> Any:
    """Load the native code, as a function from a list of tensors to a sequence of tensors."""
    try:
        # torch's own wrapper around this loader takes seconds to import
        loader = getattr(getattr(torch._C, "_aoti", None), "AOTIModelPackageLoader", None)  # noqa: SLF001 - see above
        if loader is None:
            model = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001 - torch documents it so
            return lambda inputs: model(*inputs)
        return loader(str(path), "model", False, 1, -1 if device.index is None else device.index).run
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
    if torch.device(made["device"]).type != device.type:
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
