"""Laws that every model with a peer keeps, stated on the stored numbers of ``tests/reference``."""

import importlib.util
import math

import pytest

from equipot_test_support import ROOT

_SPEC = importlib.util.spec_from_file_location("parity", ROOT / "tests" / "reference" / "parity.py")
parity = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(parity)


def parity_tests(reference):
    """A test class for one peer's stored models.

    Args:
        reference: A ``parity.Reference``.
    """

    class TestParity:
        """Energies, forces, stress and initial weights are the peer's."""

        @pytest.mark.parametrize("name", reference.cases)
        def test_float64_energies_forces_and_stress_equal_the_peer(self, name):
            for frame, found in reference.deviations(name, "float64").items():
                assert max(found.energy, found.forces, found.stress) <= parity.FLOAT64_TOLERANCE, (frame, found)

        @pytest.mark.parametrize("name", reference.cases)
        def test_float32_forces_are_the_peers_to_rounding(self, name):
            rounding = reference.peer_rounding(name)
            for against in ("float32", "float64"):
                for frame, found in reference.deviations(name, "float32", against).items():
                    allowed = max(parity.FLOAT32_TOLERANCE, 3.0 * rounding[frame].forces)
                    assert found.forces <= allowed, (against, frame, found)

        def test_initial_weights_are_drawn_from_the_peers_distribution(self):
            pairs = reference.initial_weights()
            assert len(pairs) > 50
            for name, (ours, theirs) in pairs.items():
                samples = math.sqrt(ours.numel())
                spread, expected = ours.square().mean().sqrt(), theirs.square().mean().sqrt()
                assert abs(spread / expected - 1.0) < 3.0 / samples, name
                assert abs(ours.mean()) < 4.0 * expected / samples, name
                # Uniform, within √3 of its scale, or normal: the largest of some hundreds is beyond.
                if ours.numel() >= 100:
                    assert (ours.abs().max() > 1.85 * expected) == (theirs.abs().max() > 1.85 * expected), name

    return TestParity
