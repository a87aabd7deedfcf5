"""Broken parts."""

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.train import Loss
from equipot_testing.conformance import PartConformance

KINDS = {"NoLoss": "loss", "made_loss": "loss", "Open": "dataset"}


@caught_by("of_its_kind", "a loss must derive from equipot.train.Loss")
class NoLoss(torch.nn.Module):
    """Is declared as a loss, and is a module of torch."""

    def __init__(self):
        super().__init__()


@caught_by("of_its_kind", "a part must be a class, got a function")
def made_loss() -> Loss:
    """Makes the object in a function."""


@caught_by("no_open_options", r"found \['\*\*options'\]")
class Open:
    """Takes any options."""

    def __init__(self, **options):
        self.options = options


def kit_of(part):
    target = staticmethod(part) if part is made_loss else part
    return type(f"Kit{part.__name__}", (PartConformance,), {"target": target, "part_kind": KINDS[part.__name__]})


TOYS = toys_of("part", __name__, kit_of)
