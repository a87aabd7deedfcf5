"""Components with one fault each: the kit must catch every one by the check meant for it."""

import contextlib

import torch

from broken_toys import (
    calculators,
    declared,
    derivatives,
    heads,
    models,
    modifiers,
    pairs,
    parts,
    stats,
    targets,
    terms,
)
from equipot_testing.run import run_checks

MODULES = (models, derivatives, pairs, terms, heads, modifiers, stats, parts, targets, declared, calculators)
TOYS = [toy for module in MODULES for toy in module.TOYS]

LIMIT = 3
"""Most checks that one fault may fail."""


@contextlib.contextmanager
def unharmed():
    """Put back what toys change in the process."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def row_of(toy, *, without=()):
    """What the kit finds in a toy: a row of the catch matrix, and the outcomes."""
    kit = type(toy.kit.__name__, (toy.kit,), dict.fromkeys(f"test_{name}" for name in without))
    with unharmed():
        outcomes = run_checks(kit)
    row = {
        "toy": toy.name,
        "fault": toy.fault,
        "meant": toy.check,
        "failing": [outcome.check.name for outcome in outcomes if outcome.broken],
    }
    return row, outcomes
