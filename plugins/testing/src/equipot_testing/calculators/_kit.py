"""The calculator under test, its precision, and comparisons that remember the largest difference."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from equipot_testing._base import Conformance
from equipot_testing.calculators._derivatives import Precision, measured_precision
from equipot_testing.calculators._structures import bulk, molecule, slab
from equipot_testing.calculators.potentials import Potential, Results, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms


class CalculatorKit(Conformance):
    """Makes the calculator under test, once for all checks."""

    kind = "calculators"
    basics = ("runs", "inputs_not_changed", "repeatable")

    elements: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Chemical symbols that it supports."""

    dtype: ClassVar[str] = "auto"
    """``float32`` or ``float64``; ``auto`` measures it."""

    note: str = ""
    """The result of the last comparisons, for the report."""

    # no plugin declares a calculator
    test_options_documented = None  # type: ignore[assignment]
    test_no_open_options = None  # type: ignore[assignment]
    test_declaration_imports_no_torch = None  # type: ignore[assignment]
    test_import_has_no_side_effects = None  # type: ignore[assignment]
    test_imports_core_only = None  # type: ignore[assignment]

    def calculator(self) -> Any:
        """Make the ASE calculator or torch-sim model; override, or set ``target`` to a factory."""
        return type(self).target()

    @property
    def potential(self) -> Potential:
        """The calculator with a uniform interface."""
        return _potential_of(cast("Any", type(self)))

    @property
    def precision(self) -> Precision:
        """The calculator's precision."""
        return _precision_of(cast("Any", type(self)))

    def frames(self) -> dict[str, Atoms]:
        """A crystal and a molecule, and a slab if frames are computed one by one."""
        frames = {"crystal": bulk(self.elements), "molecule": molecule(self.elements)}
        if not self.potential.batched:
            frames["slab"] = slab(self.elements)
        return frames

    def results(self, frames: Sequence[Atoms]) -> list[Results]:
        """Results for frames, computed one by one on copies."""
        return [self.potential.evaluate([frame.copy()])[0] for frame in frames]

    def close(self, law: str, actual: Any, expected: Any, *, relative: float, floor: float = 0.0) -> None:
        """Fail unless two arrays agree, and remember their difference.

        Args:
            law: Starts the message.
            actual: What the calculator gives.
            expected: What the law asks for.
            relative: Allowed difference, relative to the largest expected value.
            floor: Smallest allowed difference.

        Raises:
            AssertionError: With the size of the difference.
        """
        actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        if actual.shape != expected.shape:
            raise AssertionError(f"{law}: shape {actual.shape}, expected {expected.shape}")
        if not np.isfinite(actual).all():
            raise AssertionError(f"{law}: values are not finite")
        difference = float(np.abs(actual - expected).max(initial=0.0))
        allowed = max(floor, relative * float(np.abs(expected).max(initial=0.0)))
        if not difference <= allowed:
            raise AssertionError(f"{law}: differs by {difference:.3g}, allowed {allowed:.3g}")
        if difference >= self._worst:
            self._worst = difference
            self.note = f"{law.partition(':')[0]}: differs by at most {difference:.2g}, allowed {allowed:.2g}"

    _worst = 0.0

    def same(self, law: str, actual: Results, expected: Results) -> None:
        """Fail unless energy, forces and stress of two results agree within rounding."""
        precision = self.precision
        floor = precision.energy_floor
        self.close(f"{law}: energy", actual.energy, expected.energy, relative=1e-12, floor=floor)
        slope = max(precision.exact, precision.slope_floor)
        self.close(f"{law}: forces", actual.forces, expected.forces, relative=precision.exact, floor=slope)
        if expected.stress is not None and actual.stress is not None:
            self.close(f"{law}: stress", actual.stress, expected.stress, relative=precision.exact, floor=slope)


@functools.cache
def _potential_of(kit: Any) -> Potential:
    return wrapped(kit().calculator(), kit.name or kit.__name__)


@functools.cache
def _precision_of(kit: Any) -> Precision:
    return measured_precision(_potential_of(kit), bulk(kit.elements), kit.dtype)
