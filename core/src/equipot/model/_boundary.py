"""Boundary conditions: which frames a component of a model is made for, and the refusal of others."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from equipot.errors import ConfigError, DataError, problem

BOUNDARIES: tuple[str, ...] = ("molecule", "wire", "slab", "bulk")
"""Names of frames that are periodic in 0, 1, 2 and 3 directions."""

Limits = tuple[tuple[str, tuple[str, ...]], ...]
"""Name of each component that does not serve all boundary conditions, and those that it serves."""


def limits_of(components: Iterable[tuple[str, tuple[str, ...]]]) -> Limits:
    """Components that do not serve all boundary conditions.

    Args:
        components: Name and boundary conditions of each.

    Raises:
        ConfigError: On an unknown boundary condition, or if there is none that all of them serve.
    """
    limits: list[tuple[str, tuple[str, ...]]] = []
    for name, served in components:
        if unknown := sorted(set(served) - set(BOUNDARIES)):
            what = f"has unknown boundary conditions {unknown}"
            raise ConfigError(problem(f"model.{name}", what, hint=f"take some of {list(BOUNDARIES)}"))
        if not set(BOUNDARIES) <= set(served):
            limits.append((name, tuple(one for one in BOUNDARIES if one in served)))
    if not any(is_served(tuple(limits), periodic) for periodic in range(len(BOUNDARIES))):
        what = "there are no frames that all its components serve"
        raise ConfigError(problem("model", what, got=dict(limits), hint="leave one of them out"))
    return tuple(limits)


def is_served(limits: Limits, periodic: int) -> bool:
    """Whether all components serve frames that are periodic in so many directions."""
    return all(BOUNDARIES[periodic] in served for _, served in limits)


def check_boundary(pbc: torch.Tensor, limits: Limits, where: str) -> None:
    """Refuse frames whose boundary conditions a component does not serve.

    Args:
        pbc: Whether each frame is periodic along each cell vector, shape [n_frames, 3].
        limits: The components that do not serve all.
        where: What is called, in messages.

    Raises:
        DataError: Naming the component and the first frame in the batch that it does not serve.
    """
    kinds = [BOUNDARIES[periodic] for periodic in pbc.sum(1).tolist()] if limits else []
    for name, served in limits:
        for index, kind in enumerate(kinds):
            if kind not in served:
                what = f"{name!r} is for {' or '.join(served)} only, but frame {index} has the pbc of a {kind}"
                hint = "a frame is a molecule, wire, slab or bulk if it is periodic in 0, 1, 2 or 3 directions"
                raise DataError(problem(where, what, got=pbc[index].tolist(), hint=hint))
