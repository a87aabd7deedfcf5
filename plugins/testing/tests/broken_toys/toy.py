"""What a broken toy is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Toy:
    """A component with one fault, and the check meant for it."""

    name: str
    fault: str
    kit: type
    check: str
    words: str
    """Regular expression that the check's message must match."""


_MEANT = {}
"""Component, check and words of every toy, by the module that defines it."""


def caught_by(check, words):
    """Mark a component as a toy that a check must catch, with a message that matches ``words``."""

    def register(component):
        _MEANT.setdefault(component.__module__, []).append((component, check, words))
        return component

    return register


def toys_of(kind, module, kit_of):
    """The toys of a module; the docstring of each says its fault."""
    toys = []
    for component, check, words in _MEANT[module]:
        fault = " ".join((component.__doc__ or "").split()).removesuffix(".")
        if not fault:
            raise ValueError(f"{component.__name__}: say the fault in the docstring")
        toys.append(Toy(f"{kind}: {component.__name__}", fault, kit_of(component), check, words))
    return toys
