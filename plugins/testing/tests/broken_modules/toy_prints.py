"""Prints a banner and seeds a generator when it is imported."""

import dataclasses
import random

from equipot_testing.toy import ToyModel

print("Thank you for using toy_prints!")  # noqa: T201 - the fault
random.seed(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prints(ToyModel):
    """A healthy model in a module that prints."""
