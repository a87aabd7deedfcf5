"""Programs of models: traced, or taken from the cache on disk, and made ready to run.

The cache is the folder ``programs`` of the user's cache folder. A file's name is the digest of all that its program
depends on, and its contents are checked before they are used.
"""

from __future__ import annotations

import hashlib
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from equipot import caches
from equipot.artifacts import random_frames
from equipot.errors import ArtifactError
from equipot.files import atomic, cache_folder
from equipot.graph import collate
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program.digest import digest
from equipot_kernels._program.interpreter import Runner
from equipot_kernels._program.store import from_bytes, to_bytes
from equipot_kernels._program.trace import Traced, splines_of, trace_inference, trace_training

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from equipot.model import GraphModel

logger = logging.getLogger(__name__)

_MAX_BYTES = 64 * 1024**2
_known: weakref.WeakValueDictionary[str, Made] = weakref.WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class Made:
    """A program that is ready to run."""

    runner: Runner
    inputs: tuple[str, ...]
    """``data:KEY``, ``param:NAME`` or ``buffer:NAME`` for each input."""
    outputs: tuple[str, ...]
    differentiated: tuple[str, ...]
    """The outputs whose cotangents the backward pass takes, in order."""
    gradients: tuple[str, ...]
    """The parameter of each gradient."""
    depends: Mapping[str, frozenset[str]]
    """The parameters that each differentiated output depends on: others have no gradient, which is not 0."""


def make(model: GraphModel, extra: tuple[str, ...] = (), num_edges: int = 0) -> Made:
    """The program of a model in its mode, shared by all models that differ in the values of their tensors alone.

    Args:
        model: The model.
        extra: Fields of the batch besides ``model.info.inputs``.
        num_edges: Number of its edges, by which splines choose how they are computed in training.

    Raises:
        KernelError: If the model does what no program can repeat, or a program cannot be run here.
    """
    chosen = [one.pays(num_edges) for one in splines_of(model).values()]
    key = hashlib.sha256(f"{digest(model)} {' '.join(extra)} {chosen}".encode()).hexdigest()
    found = _known.get(key)
    if found is None:
        traced, depends = _kept(key) or _keep(key, *_traced(model, extra, num_edges))
        facts = (traced.inputs, traced.outputs, traced.cotangents, traced.gradients)
        found = _known[key] = Made(Runner(traced.program), *facts, depends)
    return found


_Found = tuple[Traced, dict[str, frozenset[str]]]


def _traced(model: GraphModel, extra: tuple[str, ...], num_edges: int) -> _Found:
    if not model.training:
        return trace_inference(model, extra), {}
    depends = _dependencies(model)
    return trace_training(model, tuple(depends), extra, num_edges), depends


def _folder() -> Path | None:
    try:
        folder = cache_folder() / "programs"
    except ArtifactError:
        return None
    return folder if caches.own_folder(folder) else None


def _kept(key: str) -> _Found | None:
    """The program in the cache, if there is one that can be believed."""
    folder = _folder()
    if folder is None or (content := caches.own_bytes(folder / f"{key}.program", _MAX_BYTES)) is None:
        return None
    depends = caches.read_entry(folder / f"{key}.json", hashlib.sha256(content).hexdigest(), _is_record)
    if depends is None:
        return None
    try:
        return from_bytes(content), {name: frozenset(names) for name, names in depends.items()}
    except KernelError as error:
        logger.debug("a kept program is not used: %s", error)
        caches.say_damaged(folder / f"{key}.program")
        return None


def _is_record(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(names, list) and all(isinstance(one, str) for one in names) for names in value.values())


def _keep(key: str, traced: Traced, depends: dict[str, frozenset[str]]) -> _Found:
    """Keep a program in the cache, if it can be written; gives it back."""
    if (folder := _folder()) is not None:
        content = to_bytes(traced)
        try:
            with atomic(folder / f"{key}.program") as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(content)
            record = {name: sorted(names) for name, names in depends.items()}
            caches.write_entry(folder / f"{key}.json", hashlib.sha256(content).hexdigest(), record)
        except (OSError, ArtifactError) as error:
            logger.info("a program is not kept: %s", error)
    return traced, depends


def _dependencies(model: GraphModel) -> dict[str, frozenset[str]]:
    """Names of the parameters that each output with a gradient depends on, as autograd sees it."""
    frames = random_frames(model.info, 1)
    outputs = model.evaluate_directly(collate([frames["triclinic"], frames["molecule"]]))
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    found = {}
    for name, output in outputs.items():
        if output.requires_grad:
            along = torch.autograd.grad(output.sum(), list(trained.values()), retain_graph=True, allow_unused=True)
            found[name] = frozenset(key for key, one in zip(trained, along, strict=True) if one is not None)
    return found
