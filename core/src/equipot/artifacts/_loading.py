"""Load models from files of any kind, which is recognised by the suffix."""

from __future__ import annotations

from pathlib import Path

import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import _package as package
from equipot.artifacts._checkpoint import Weights, read_checkpoint
from equipot.artifacts._compiled_model import CompiledModel, load_compiled
from equipot.artifacts._manifest import kind_of
from equipot.artifacts._stored import StoredModel
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.model._graph_model import GraphModel


def read(path: str | Path, weights: Weights = "ema") -> StoredModel:
    """Read a checkpoint or package without building its model."""
    kind = kind_of(path)
    if kind == "compiled":
        what = "is a compiled file, which cannot become an eager model again"
        raise ArtifactError(problem(str(path), what, hint="use the package or checkpoint it was compiled from"))
    return package.read_package(path) if kind == "package" else read_checkpoint(path, weights)


def load_model(path: str | Path, weights: Weights = "ema") -> GraphModel:
    """Load an eager model from a checkpoint or package.

    Args:
        path: A ``.ckpt`` or ``.equipot.zip`` file.
        weights: Which weights of a checkpoint: ``ema`` (if present) or ``raw``.

    Returns:
        The model in eval mode, on the CPU.

    Raises:
        ArtifactError: Saying what is wrong with the file or what to install.
    """
    return read(path, weights).build().eval()


def load(
    path: str | Path, device: str | torch.device = "cpu", *, weights: Weights = "ema", allow_native: bool = False
) -> GraphModel | CompiledModel:
    """Load any artifact for inference.

    Args:
        path: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file.
        device: Where to run.
        weights: Which weights of a checkpoint: ``ema`` (if present) or ``raw``.
        allow_native: Also load a compiled file that you did not build yourself. It contains native code that runs
            with your rights.

    Returns:
        A model that is called with a batch and has ``.info``.

    Raises:
        ArtifactError: Saying what is wrong with the file or what to do.
        ConfigError: If torch has no such device here.
    """
    device = usable_device(device)
    if kind_of(path) == "compiled":
        return load_compiled(path, device, allow_native=allow_native)
    return load_model(path, weights).to(device)


def usable_device(device: str | torch.device) -> torch.device:
    """The device, after a check that it can hold a tensor."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        what = f"cannot be used here ({reason})"
        raise ConfigError(problem("device", what, got=str(device), hint="use 'cpu', or 'cuda' with a GPU")) from None
    return found


def verify(path: str | Path) -> dict[str, float]:
    """Build a package's model and replay its golden frames.

    Args:
        path: A ``.equipot.zip`` file.

    Returns:
        Largest relative deviation of each output.

    Raises:
        ArtifactError: If the file cannot be used or the numbers differ.
    """
    stored = package.read_package(path)
    model = stored.build().eval()
    return golden.check(model, stored.golden or (), model.info.model_dtype, str(path), stored.allowed(model))
