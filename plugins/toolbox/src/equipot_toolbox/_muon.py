"""Muon for the weight matrices inside a model and Adam for all other parameters, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer

from equipot.errors import ConfigError, problem

EXCLUDED = ("*embedding*", "*readout*")
"""Patterns of parameters that Adam trains even if they are matrices, as Muon's author advises for these layers."""

Named = Iterable[tuple[str, torch.Tensor]]


class MuonParamGroups(list[dict[str, Any]]):
    """Two groups of parameters: matrices inside the model for Muon, and all others for Adam.

    Muon trains parameters with two dimensions larger than 1 whose names match no pattern in ``exclude``. Adam trains
    embeddings, readouts, scales, shifts and all parameters of other shapes.

    Args:
        params: Pairs of name and parameter, passed by the training module.
        muon: Options of ``torch.optim.Muon``, e.g. ``lr``, ``weight_decay``, ``momentum``.
        adam: Options of ``torch.optim.AdamW``, e.g. ``lr``, ``betas``, ``weight_decay``.
        exclude: Patterns of names of parameters for Adam, with ``*`` and ``?``.

    Raises:
        ConfigError: If parameters have no names.
    """

    def __init__(
        self,
        params: Any,
        muon: dict[str, Any] | None = None,
        adam: dict[str, Any] | None = None,
        exclude: list[str] | None = None,
    ) -> None:
        named = list(params)
        if not all(isinstance(one, tuple) for one in named):
            raise ConfigError(problem("MuonParamGroups.params", "must be pairs of name and parameter"))
        patterns = EXCLUDED if exclude is None else exclude
        matrices = [
            pair for pair in named if _is_matrix(pair[1]) and not any(fnmatch(pair[0], one) for one in patterns)
        ]
        chosen = {name for name, _ in matrices}
        rest = [pair for pair in named if pair[0] not in chosen]
        groups = [
            {"params": matrices, "use_muon": True, **(muon or {})},
            {"params": rest, "use_muon": False, **(adam or {})},
        ]
        super().__init__(group for group in groups if group["params"])


def _is_matrix(parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and min(parameter.shape) > 1


class MuonWithAuxAdam(Optimizer):
    """``torch.optim.Muon`` and ``torch.optim.AdamW`` behind one interface.

    Args:
        params: Pairs of name and parameter, passed by the training module.
        param_groups: ``MuonParamGroups`` with the options of both optimizers; default: torch's defaults for both.

    Raises:
        ConfigError: If the options of an optimizer are wrong.

    Source: Jordan et al. (2024), https://kellerjordan.github.io/posts/muon.
    """

    def __init__(self, params: Any, param_groups: Any = None) -> None:
        groups = MuonParamGroups(params) if param_groups is None else list(param_groups)
        self._parts = [_made(group) for group in groups]
        super().__init__([dict(group) for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Make both optimizers use the groups and states of this one."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups = [group]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with both optimizers.

        Args:
            closure: Function that computes loss and gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a stored state."""
        super().load_state_dict(dict(state_dict))
        self._share()


def _made(group: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a group; wrong options are a ConfigError."""
    options = {key: value for key, value in group.items() if key != "use_muon"}
    kind = Muon if group.get("use_muon") else AdamW
    try:
        return kind(options.pop("params"), **options)
    except (TypeError, ValueError) as error:
        where = f"MuonParamGroups.{'muon' if kind is Muon else 'adam'}"
        raise ConfigError(problem(where, f"invalid options for {kind.__name__}: {error}", got=options)) from None
