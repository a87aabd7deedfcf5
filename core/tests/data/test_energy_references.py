import numpy as np
import pytest
import torch
from ase.data import atomic_numbers

from equipot.data._energy_references import AUTO, EnergyReferences, collect_references
from equipot.data._isolated import is_alone
from equipot.data._ridge import RIDGES
from equipot.data._stats_managers import CommonDataStatisticsManager
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper
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


def references(frames, types=TYPES):
    """References of frames as read: with elements instead of types, and no edges."""
    numbers = torch.tensor([atomic_numbers[name] for name in types])
    raw = [{**one, "atomic_numbers": numbers[one["atom_types"]]} for one in frames]
    raw = [{key: one[key] for key in one if key not in ("atom_types", "edge_index", "edge_cell_shift")} for one in raw]
    return collect_references([(one, is_alone(one)) for one in raw], ChemicalSpeciesToAtomTypeMapper(list(types)))


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
    assert compute(made, "per_type_energy_shifts_lstsq") == pytest.approx(shifts, rel=1e-11)


def solved(frames):
    """Least squares from the normal equations."""
    counts = np.array([[one["atom_types"].tolist().count(t) for t in range(3)] for one in frames], float)
    energies = np.array([float(one["total_energy"][0]) for one in frames])
    return np.linalg.solve(counts.T @ counts, counts.T @ energies).tolist()


def test_least_squares_minimises_the_residual_without_isolated_atoms(frames):
    molecules = [frames[1], frames[2], frame([1, 1], [[0.0, 0, 0], [0, 0, 1.3]], energy=-2062.0)]
    for repeated in (molecules, molecules * 3 + molecules[:1]):
        found = compute([*repeated, *frames[3:]], "per_type_energy_shifts_lstsq")
        assert list(found.values()) == pytest.approx(solved(repeated), rel=1e-10)


def test_one_stoichiometry_is_refused():
    waters = [frame([0, 0, 2], np.random.default_rng(k).uniform(0, 9, (3, 3)), energy=-5.0 - k) for k in range(4)]
    with pytest.raises(DataError) as caught:
        compute(waters, "per_type_energy_shifts_lstsq", ("H", "X", "O"))
    assert str(caught.value).endswith("the train set has no atoms of the types ['X'] (besides isolated ones)")
    for one in waters:
        one["atom_types"] = torch.tensor([0, 0, 1])
    with pytest.raises(
        DataError, match=r"per_type_energy_shifts_lstsq: compositions are rank deficient: they determine 1 of 2"
    ):
        compute(waters, "per_type_energy_shifts_lstsq", ("H", "O"))


class TestNearestToMean:
    """What compositions leave open stays as close to the mean as it can; the rest is least squares."""

    def ratios(self, spread=0.0):
        """H and C always together, O by itself: C + H is determined, and O, but neither C nor H alone."""
        rng = np.random.default_rng(3)
        made = []
        for number, oxygens in ((1, 0), (1, 1), (2, 1), (1, 3), (3, 2)):
            types = [0, 1] * number + [2] * oxygens
            positions = rng.uniform(0, 30, size=(len(types), 3))
            made.append(frame(types, positions, energy=-40.0 * number - 432.0 * oxygens + spread * rng.normal()))
        return made

    def test_undetermined_types_are_named(self):
        with pytest.raises(
            DataError, match=r"determine 2 of 3 per-type energies, and leave open those of \['H', 'C'\]"
        ):
            compute(self.ratios(), "per_type_energy_shifts_lstsq")

    def test_what_is_determined_is_exact_and_the_rest_is_near_the_mean(self):
        frames = self.ratios()
        found = compute(frames, "per_type_energy_shifts_min_norm")
        assert found["O"] == pytest.approx(-432.0, abs=1e-9)
        assert found["H"] + found["C"] == pytest.approx(-40.0, abs=1e-9)
        assert found["H"] == pytest.approx(found["C"], abs=1e-9), "nothing tells them apart"

    def test_of_all_solutions_it_is_the_nearest(self):
        frames = self.ratios(spread=0.5)
        mean = compute(frames, "per_atom_energy_mean")
        found = np.array(list(compute(frames, "per_type_energy_shifts_min_norm").values()))
        counts = np.array([[one["atom_types"].tolist().count(t) for t in range(3)] for one in frames], float)
        energies = np.array([float(one["total_energy"][0]) for one in frames])
        best = np.linalg.pinv(counts) @ (energies - counts.sum(1) * mean) + mean
        assert found == pytest.approx(best, rel=1e-10)
        for step in (-1.0, 0.3):
            other = found + step * np.array([1.0, -1.0, 0.0])
            assert np.allclose(counts @ other, counts @ found)
            assert ((other - mean) ** 2).sum() > ((found - mean) ** 2).sum()

    def test_the_zero_of_energy_does_not_matter(self):
        plain, moved = self.ratios(), self.ratios()
        for one in moved:
            one["total_energy"] = one["total_energy"] + 1000.0 * len(one["atom_types"])
        before, after = (compute(one, "per_type_energy_shifts_min_norm") for one in (plain, moved))
        assert {name: value - 1000.0 for name, value in after.items()} == pytest.approx(before, abs=1e-7)

    def test_one_stoichiometry_gives_the_mean(self):
        waters = [frame([0, 0, 2], np.random.default_rng(k).uniform(0, 9, (3, 3)), energy=-5.0 - k) for k in range(4)]
        found = compute(waters, "per_type_energy_shifts_min_norm")
        assert list(found.values()) == pytest.approx([compute(waters, "per_atom_energy_mean")] * 3, rel=1e-12)


class TestRidge:
    """Least squares of energies per atom that stay close to the mean as far as data cannot tell."""

    NAME = "per_type_energy_shifts_ridge"

    def frames(self, number, noise, rare=0):
        """Frames of H and C with random errors per atom, and some with one O, whose energy is off by 1 an atom."""
        rng = np.random.default_rng(5)
        made = []
        for index in range(number + rare):
            types = rng.integers(0, 2, size=rng.integers(3, 9)).tolist() + [2] * (index >= number)
            energy = sum((-2.0, -4.0, -3.0)[one] for one in types)
            off = 1.0 if index >= number else noise * rng.normal()
            made.append(frame(types, rng.uniform(0, 60, (len(types), 3)), energy=energy + off * len(types)))
        return made

    def test_additive_energies_are_recovered(self):
        found = compute(self.frames(40, 0.0), self.NAME, TYPES[:2])
        assert found == pytest.approx({"H": -2.0, "C": -4.0}, abs=1e-5)

    def test_an_element_of_one_frame_does_not_take_all_of_its_error(self):
        frames = self.frames(60, 0.5, rare=1)
        ridge, plain = compute(frames, self.NAME), compute(frames, "per_type_energy_shifts_lstsq")
        assert abs(plain["O"] + 3.0) > 5.0, "one atom of O takes the error of all atoms"
        assert abs(ridge["O"] + 3.0) < 0.8 * abs(plain["O"] + 3.0)
        assert ridge["H"] == pytest.approx(-2.0, abs=0.4)
        assert ridge["C"] == pytest.approx(-4.0, abs=0.4)

    def test_the_strength_is_the_most_likely_one(self):
        frames = self.frames(12, 0.5, rare=2)
        found = np.array(list(compute(frames, self.NAME).values()))
        counts = np.array([[one["atom_types"].tolist().count(t) for t in range(3)] for one in frames], float)
        shares = counts / counts.sum(1, keepdims=True)
        wanted = np.array([float(one["total_energy"][0]) for one in frames]) / counts.sum(1)
        mean = wanted.mean()

        def unlikeliness(strength):
            covariance = np.eye(len(frames)) + shares @ shares.T / strength
            variance = (wanted - mean) @ np.linalg.solve(covariance, wanted - mean) / len(frames)
            return np.linalg.slogdet(variance * covariance)[1]

        best = min(RIDGES, key=unlikeliness)
        solved = mean + np.linalg.solve(shares.T @ shares + best * np.eye(3), shares.T @ (wanted - mean))
        assert found == pytest.approx(solved, rel=1e-8)

    def test_what_nothing_tells_apart_is_shared(self):
        found = compute(TestNearestToMean().ratios(), self.NAME)
        assert found["H"] == pytest.approx(found["C"], abs=1e-9)
        assert found["O"] == pytest.approx(-432.0, abs=0.1)


class TestAuto:
    """Isolated atoms if complete, else least squares if determined, else the mean."""

    def chosen(self, frames, types=TYPES):
        made = references(frames, types).choose()
        assert made.values == pytest.approx(compute(frames, AUTO, types), rel=1e-12), "the record and the statistic"
        return made

    @pytest.fixture
    def many(self, frames):
        rng = np.random.default_rng(1)
        made = []
        for _ in range(9):
            types = rng.integers(0, 3, size=rng.integers(2, 6)).tolist()
            made.append(frame(types, rng.uniform(0, 20, size=(len(types), 3)), energy=-7.0 * sum(types) - rng.random()))
        return [*frames[:3], *made]

    def test_isolated_atoms_are_preferred(self, frames, many):
        made = self.chosen([*many, *frames[3:]])
        assert made.rule == "isolated atoms"
        assert made.values == {"H": -13.5, "C": -1027.5, "O": -2041.25}

    def test_least_squares_if_one_is_missing(self, frames, many):
        made = self.chosen([*many, *frames[3:5]])
        assert made.rule == "least squares"
        assert list(made.values.values()) == pytest.approx(solved(many[1:]), rel=1e-10)
        assert "no isolated atom" in made.reason
        assert "['O']" in made.reason
        assert "over 11 frames" in made.reason

    def test_least_squares_if_they_contradict_each_other(self, frames, many):
        other = frame([0], [[0.0, 0, 0]], energy=-13.0)
        made = self.chosen([*many, *frames[3:], other])
        assert made.rule == "least squares"
        assert "isolated atoms of type 'H' have different energies: [-13.5, -13.0]" in made.reason

    def test_the_mean_if_compositions_are_too_few(self, frames):
        made = self.chosen(frames[:3])
        assert made.rule == "mean"
        mean = compute(frames[:3], "per_atom_energy_mean")
        assert set(compute(frames[:3], AUTO).values()) == {mean}, "to the last digit"
        assert "compositions determine 2 of 3 per-type energies, not those of ['H', 'C', 'O']" in made.reason

    def test_without_any_energy(self, frames):
        with pytest.raises(DataError, match="and no other frames with total_energy"):
            compute(frames[:1], AUTO)
        with pytest.raises(DataError, match="no isolated atom"):
            compute(frames[3:4], AUTO)


class TestCharges:
    """Ions are no reference atoms, and their frames are left out of a fit that does not need them."""

    @staticmethod
    def charged(one, charge):
        return {**one, "total_charge": torch.tensor([float(charge)], dtype=torch.float64)}

    def test_ions_are_not_isolated_atoms(self, frames):
        proton = self.charged(frame([0], [[0.0, 0, 0]], energy=0.0), 1)
        neutral = [self.charged(one, 0) for one in frames[3:]]
        assert compute([proton, *neutral], "isolated_atom_energies")["H"] == -13.5
        with pytest.raises(DataError, match=r"of the types \['H'\] \(1 have a charge and do not count\)"):
            compute([proton, *neutral[1:]], "isolated_atom_energies")

    def test_a_fit_needs_no_charged_frames_if_neutral_ones_determine_it(self):
        rng = np.random.default_rng(5)
        neutral = [
            self.charged(frame(types, rng.uniform(0, 20, (len(types), 3)), energy=float(sum(types)) - 3.0), 0)
            for types in ([0, 1], [1, 2], [0, 2, 2], [0, 0, 1])
        ]
        ions = [self.charged(frame([0, 1], rng.uniform(0, 20, (2, 3)), energy=50.0), 1)]
        found = compute([*neutral, *ions], "per_type_energy_shifts_lstsq")
        assert list(found.values()) == pytest.approx(solved(neutral), rel=1e-10)
        needed = [*neutral[:2], *[self.charged(one, 1) for one in neutral[2:]]]
        found = compute(needed, "per_type_energy_shifts_lstsq")
        assert list(found.values()) == pytest.approx(solved(neutral), rel=1e-10)


def test_residuals_are_per_frame_and_atom():
    molecules = [frame([0, 1], [[0.0, 0, 0], [0, 0, 1.2]], energy=-9.0 - k) for k in range(2)]
    made = references([*molecules, frame([1, 1, 2], np.eye(3) * 9, energy=-30.0)])
    left = made.residuals([-1.0, -2.0, -3.0])
    assert sorted(left) == pytest.approx([-23 / 3, -3.25, -3.25]), "of one composition the mean, once for each frame"


@pytest.mark.slow
def test_eighty_five_types_and_many_compositions():
    types = tuple(f"T{number}" for number in range(85))
    rng = np.random.default_rng(2)
    shifts = rng.uniform(-2000, 0, 85)
    many = EnergyReferences(types)
    for _ in range(300):
        chosen = rng.integers(0, 85, size=12)
        one = frame(chosen.tolist(), rng.uniform(0, 90, (12, 3)), energy=float(shifts[chosen].sum()))
        many.update(one)
    assert list(many.least_squares().values()) == pytest.approx(shifts.tolist(), rel=1e-9)


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
