"""Outliers and residuals of energies."""

import numpy as np
import pytest

from equipot.data.checks._numbers import apart, composition_fit, composition_matrix


def test_values_apart():
    values = np.linspace(1, 2, 100)
    assert apart(values, factor=3.0, least=0.0) == []
    values[[7, 30]] = 50.0, 80.0
    assert apart(values, factor=3.0, least=10.0) == [30, 7]
    assert apart(values, factor=3.0, least=60.0) == [30][:0], "the second is not apart from the first"
    values[:5] = 70.0
    assert apart(values, factor=3.0, least=10.0) == [], "too many to be single frames"
    assert apart(np.array([1.0]), factor=3.0, least=0.0) == []


def test_residuals_of_compositions():
    counts = [{1: 2, 8: 1}] * 10 + [{1: 4, 6: 1}] * 10 + [{6: 1, 8: 2}] * 10
    energies = np.array([2 * -3.0 + -5.0] * 10 + [4 * -3.0 + -7.0] * 10 + [-7.0 + 2 * -5.0] * 10)
    energies[4] += 30.0
    matrix, elements = composition_matrix(counts)
    atoms = matrix.sum(axis=1)
    shares, per_atom = matrix[::10] / atoms[::10, None], energies / atoms
    kind_of = np.repeat(np.arange(3), 10)
    residuals = per_atom - (shares @ composition_fit(shares, per_atom, kind_of))[kind_of]
    assert residuals[4] == pytest.approx(10.0, abs=0.1)
    assert np.abs(np.delete(residuals, 4)).max() < 0.1
    assert elements == [1, 6, 8]
    assert matrix[[0, 10, 20]].tolist() == [[2, 0, 1], [4, 1, 0], [0, 1, 2]]
