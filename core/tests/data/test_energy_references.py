import numpy as np
import pytest
import torch

from equipot.data._stats_managers import CommonDataStatisticsManager
from equipot.errors import DataError
from equipot.neighbors import add_neighbors

TYPES = ("H", "C", "O")


def frame(types, positions, *, energy, box=None):
    n = len(types)
    graph = {
        "positions": torch.tensor(positions, dtype=torch.float64),
        "cell": torch.eye(3, dtype=torch.float64)[None] * (box or 0.0),
        "pbc": torch.tensor([[box is not None] * 3]),
        "atom_types": torch.tensor(types),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
        "total_energy": torch.tensor([energy], dtype=torch.float64),
    }
    return add_neighbors(graph, 2.6)


@pytest.fixture
def frames():
    """Molecules, three isolated atoms, and a frame whose energy is masked out."""
    masked = {**frame([0, 0], [[0.0, 0, 0], [0, 0, 9.0]], energy=1e9), "total_energy_mask": torch.tensor([False])}
    return [
        masked,
        frame([0, 2, 2], [[30.0, 0, 0], [0, 0, 0], [0, 0, 1.2]], energy=-20.0),
        frame([1, 0, 2], [[0.0, 0, 0], [9.0, 9, 9], [0, 0, 1.1]], energy=-33.0),
        frame([0], [[0.0, 0, 0]], energy=-13.5),
        frame([1], [[0.0, 0, 0]], energy=-1027.5),
        frame([2], [[0.0, 0, 0]], energy=-2041.25),
    ]


def compute(frames, name, types=TYPES):
    return CommonDataStatisticsManager().compute(frames, types, [name])[name]


def test_least_squares_recovers_additive_energies():
    shifts = {"H": -13.6, "C": -1027.6, "O": -2041.8}
    rng = np.random.default_rng(0)
    made = []
    for _ in range(12):
        types = rng.integers(0, 3, size=rng.integers(2, 6)).tolist()
        positions = rng.uniform(0, 20, size=(len(types), 3))
        made.append(frame(types, positions, energy=sum(shifts[TYPES[t]] for t in types)))
    assert compute(made, "per_type_energy_shifts_lstsq") == pytest.approx(shifts, rel=1e-12)


def test_least_squares_minimises_the_residual(frames):
    labelled = frames[1:]
    counts = np.array([[one["atom_types"].tolist().count(t) for t in range(3)] for one in labelled], float)
    energies = np.array([float(one["total_energy"][0]) for one in labelled])
    expected = np.linalg.solve(counts.T @ counts, counts.T @ energies)
    found = compute(frames, "per_type_energy_shifts_lstsq")
    assert list(found.values()) == pytest.approx(expected.tolist(), rel=1e-10)


def test_one_stoichiometry_is_refused():
    waters = [frame([0, 0, 2], np.random.default_rng(k).uniform(0, 9, (3, 3)), energy=-5.0 - k) for k in range(4)]
    with pytest.raises(DataError) as caught:
        compute(waters, "per_type_energy_shifts_lstsq", ("H", "X", "O"))
    assert str(caught.value).endswith("the train set has no atoms of the types ['X']")
    for one in waters:
        one["atom_types"] = torch.tensor([0, 0, 1])
    with pytest.raises(
        DataError, match=r"per_type_energy_shifts_lstsq: compositions are rank deficient: they determine 1 of 2"
    ):
        compute(waters, "per_type_energy_shifts_lstsq", ("H", "O"))


def test_isolated_atoms(frames):
    found = compute(frames, "isolated_atom_energies")
    assert found == {"H": -13.5, "C": -1027.5, "O": -2041.25}


def test_one_atom_crystals_are_not_isolated(frames):
    crystal = frame([2], [[0.0, 0, 0]], box=2.0, energy=-99.0)
    assert compute([*frames, crystal], "isolated_atom_energies")["O"] == -2041.25


def test_missing_or_contradicting_isolated_atoms(frames):
    with pytest.raises(
        DataError, match=r"isolated_atom_energies: the train set has no isolated atom .* of the types \['C', 'O'\]"
    ):
        compute(frames[:4], "isolated_atom_energies")
    other = frame([0], [[0.0, 0, 0]], energy=-13.0)
    with pytest.raises(DataError, match=r"isolated atoms of type 'H' have different energies: \[-13.5, -13.0\]"):
        compute([*frames, other], "isolated_atom_energies")
