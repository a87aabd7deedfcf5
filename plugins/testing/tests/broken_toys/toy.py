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


def toys_of(kind, rows, kit_of):
    """Toys from rows (component, check, words); the component's docstring says the fault."""
    toys = []
    for component, check, words in rows:
        fault = " ".join((component.__doc__ or "").split()).removesuffix(".")
        if not fault:
            raise ValueError(f"{component.__name__}: say the fault in the docstring")
        toys.append(Toy(f"{kind}: {component.__name__}", fault, kit_of(component), check, words))
    return toys
