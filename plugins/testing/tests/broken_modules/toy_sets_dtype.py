"""Sets the default dtype of the process when it is imported."""

import dataclasses

import torch

from equipot_testing.toy import ToyModel

torch.set_default_dtype(torch.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetsDtype(ToyModel):
    """A healthy model in a module that sets the default dtype."""
