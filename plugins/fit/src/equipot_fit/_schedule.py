"""The learning rate as a function of the step: warm-up, constant, decay to zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem


def factor_at(step: int, warmup_steps: int, decays: Sequence[Sequence[int]]) -> float:
    """What the learning rate is multiplied by after a number of steps.

    It rises linearly to 1 within the warm-up. A decay ``[start, end]`` takes what it is at ``start`` linearly to 0 at
    ``end``; a later one goes on from what it is at its own start. The numbers before a start do not depend on it, bit
    for bit, so that a decay can be added while a training runs.

    Args:
        step: Number of optimizer steps taken, from 0.
        warmup_steps: Number of steps below the full learning rate.
        decays: Pairs ``[start, end]``, starts in ascending order.

    Example:
        >>> [factor_at(step, 3, [[5, 9]]) for step in (0, 3, 5, 7, 9)]
        [0.25, 1.0, 1.0, 0.5, 0.0]
    """
    begun = [index for index, (start, _) in enumerate(decays) if start <= step]
    if not begun:
        return min((step + 1) / (warmup_steps + 1), 1.0)
    start, end = decays[begun[-1]]
    held = factor_at(start, warmup_steps, decays[: begun[-1]])
    return held * (max(end - step, 0) / (end - start))


class WarmupDecay(torch.optim.lr_scheduler.LRScheduler):
    """Warm-up, constant learning rate and decay to zero, by optimizer steps (``interval: step``).

    Without decays the learning rate stays constant after the warm-up; ``equipot_fit.TimeBudget`` adds them when time
    runs out.

    Args:
        optimizer: Whose learning rates are set.
        warmup_steps: Number of steps in which the learning rate rises to its full value.
        decays: Pairs ``[start, end]`` of steps; see ``factor_at``.

    Raises:
        ConfigError: If a decay ends before it starts, or the starts are not in ascending order.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: Annotated[int, Field(ge=0)] = 0,
        decays: list[list[int]] | None = None,
    ) -> None:
        self.warmup_steps = warmup_steps
        self.decays: list[list[int]] = []
        for decay in decays or []:
            self.add_decay(*decay)
        super().__init__(optimizer)

    def add_decay(self, *decay: int) -> None:
        """Decline from a step on.

        Args:
            *decay: The step from which on the learning rate declines to 0, and that at which it is 0.

        Raises:
            ConfigError: As the class.
        """
        last = self.decays[-1][0] if self.decays else -1
        if len(decay) != 2 or not last < decay[0] < decay[1]:
            hint = "pairs [start, end] of steps, each start after the one before, each end after its start"
            raise ConfigError(problem("WarmupDecay.decays", "is not in order", got=list(decay), hint=hint))
        self.decays.append([int(one) for one in decay])

    @property
    def end(self) -> int | None:
        """The step at which the learning rate is 0; None as long as it is not known."""
        return self.decays[-1][1] if self.decays else None

    def get_lr(self) -> list[Any]:
        """The learning rates after ``last_epoch`` steps, as torch calls their number."""
        factor = factor_at(self.last_epoch, self.warmup_steps, self.decays)
        return [base * factor for base in self.base_lrs]
