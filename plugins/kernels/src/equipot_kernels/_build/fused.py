"""What modules with kernels have in common: the module that they replace, and the kernels that they call."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch

from equipot.nn.slots import KernelSlot
from equipot_kernels._build import registry

DTYPES = (torch.float32, torch.float64)
"""Data types with kernels."""

Reference = TypeVar("Reference", bound=torch.nn.Module)


class FusedModule(KernelSlot, Generic[Reference]):
    """Has the weights of the module that it replaces, and a handle for each of its kernels.

    Args:
        reference: The module to replace.
        specs: For each data type the spec of its kernel, or a list of several.
    """

    kernel_modifier = "enable_FusedKernels"

    def __init__(self, reference: Reference, specs: dict[torch.dtype, Any]) -> None:
        super().__init__()
        self.adopt(reference)
        self._reference = (reference,)  # in a tuple, so that its submodules are not registered twice
        self._specs = specs
        self.handles = self._registered()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the kernels known to the process in which a copy arrives."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.handles = self._registered()

    def _registered(self) -> dict[torch.dtype, Any]:
        """The handles, in the form of the specs."""
        return {dtype: _handles(specs) for dtype, specs in self._specs.items()}

    @property
    def reference(self) -> Reference:
        """The module that it replaces."""
        return self._reference[0]


def _handles(specs: Any) -> Any:
    return [registry.handle_of(one) for one in specs] if isinstance(specs, list) else registry.handle_of(specs)
