"""Weights from the file in losses, metrics and statistics, against plain numpy."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import (
    ASEDataModule,
    CommonDataStatisticsManager,
    DataStatisticsManager,
    EdgeLengths,
    EnergyOnlyDataStatisticsManager,
    NumNeighbors,
)
from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data._weights import weight_scales
from equipot.errors import ConfigError, DataError
from equipot.graph import collate, split
from equipot.train import EnergyForceLoss, EnergyForceMetrics

KEYS = {"frame": "config_weight", "total_energy": "energy_weight", "forces": "atom_weights"}
FRAMES = 6


@pytest.fixture
def weighted(water, write, make_info):
    """A bound data section of six frames whose weights a function sets: ``weighted(change)``."""

    def make(change=None, weights=KEYS, **options):
        frames = water(FRAMES, seed=3)
        random = np.random.default_rng(5)
        for frame in frames:
            frame.info["config_weight"] = float(random.uniform(0.5, 3.0))
            frame.info["energy_weight"] = float(random.uniform(0.1, 2.0))
            frame.arrays["atom_weights"] = random.uniform(0.2, 4.0, size=3)
            if change is not None:
                change(frame)
        path = write("a.extxyz", frames)
        given = {"cache_dir": None, "stats_manager": CommonDataStatisticsManager(), "mask_nan_labels": True, **options}
        data = ASEDataModule(1, train_file_path=path, weights=weights, **given)
        data.bind(make_info("O", "H"))
        return data, frames

    return make


def ones(frame):
    frame.info["config_weight"] = frame.info["energy_weight"] = 1.0
    frame.arrays["atom_weights"] = np.ones(3)


def predictions(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(*batch[key].shape, dtype=torch.float64, generator=generator).requires_grad_()
        for key in ("total_energy", "forces")
    }


def measured(data, measure, size=2):
    """Values of an epoch in batches, and the summed gradients by energies and forces of the steps of a loss."""
    measure.bind(["O", "H"])
    frames = [data.dataset()[index] for index in range(FRAMES)]
    whole = predictions(collate(frames))
    gradient = None
    for start in range(0, FRAMES, size):
        outputs = {
            "total_energy": whole["total_energy"][start : start + size],
            "forces": whole["forces"][3 * start : 3 * (start + size)],
        }
        batch = collate(frames[start : start + size])
        if isinstance(measure, EnergyForceLoss):
            measure(outputs, batch)["weighted_sum"].backward()
            gradient = [value.grad for value in whole.values()]
        else:
            measure.update(outputs, batch)
    return {name: value.item() for name, value in measure.epoch_values().items()}, gradient, whole


def expected_weights(frames):
    """Weights of energies [6] and of forces [6, 3], as the definition says: mean 1 over the set."""
    energy = np.array([one.info["config_weight"] * one.info["energy_weight"] for one in frames])
    forces = np.array([one.info["config_weight"] * one.arrays["atom_weights"] for one in frames])
    return energy / energy.mean(), forces / forces.mean()


def errors(frames, whole):
    energy = whole["total_energy"].detach().numpy() - [one.calc.results["energy"] for one in frames]
    forces = whole["forces"].detach().numpy().reshape(FRAMES, 3, 3) - [one.calc.results["forces"] for one in frames]
    return energy, forces


def test_metrics_are_weighted_means(weighted):
    data, frames = weighted()
    values, _, whole = measured(data, EnergyForceMetrics())
    (w_energy, w_forces), (energy, forces) = expected_weights(frames), errors(frames, whole)
    wide = np.broadcast_to(w_forces[:, :, None], forces.shape)
    assert values["total_energy_rmse"] == pytest.approx(
        np.sqrt((w_energy * energy**2).sum() / w_energy.sum()), rel=1e-7
    )
    assert values["per_atom_energy_mae"] == pytest.approx(np.average(abs(energy) / 3, weights=w_energy), rel=1e-7)
    assert values["forces_rmse"] == pytest.approx(np.sqrt((wide * forces**2).sum() / wide.sum()), rel=1e-6)
    assert values["forces_mae"] == pytest.approx(np.average(abs(forces), weights=wide), rel=1e-6)
    assert values["forces_maxabserr"] == pytest.approx(abs(forces).max(), rel=1e-6), "the largest has no weight"


@pytest.mark.parametrize("size", [1, 2, 6])
def test_steps_of_any_size_follow_the_weighted_mean(weighted, size):
    """The gradients of all steps sum to that of the mean over the set, even one frame at a time."""
    data, frames = weighted()
    loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "forces": 1.0})
    values, (energy_gradient, gradient), whole = measured(data, loss, size)
    (w_energy, w_forces), (energy, forces) = expected_weights(frames), errors(frames, whole)
    expected = (2 * w_forces[:, :, None] * forces / (size * 9)).reshape(-1, 3) / 2
    torch.testing.assert_close(gradient, torch.from_numpy(expected), rtol=1e-5, atol=1e-9)
    expected = 2 * w_energy * energy / 9 / size / 2
    torch.testing.assert_close(energy_gradient, torch.from_numpy(expected), rtol=1e-6, atol=1e-9)
    mean = (w_forces[:, :, None] * forces**2).sum() / (3 * w_forces.sum())
    assert values["forces_mse"] == pytest.approx(mean, rel=1e-6)


def test_weights_of_types_and_of_atoms(weighted):
    data, frames = weighted()
    loss = EnergyForceLoss(coeffs={"forces": 1.0}, per_type_forces_coeffs={"O": 3.0, "H": 1.0})
    values, _, whole = measured(data, loss)
    (_, weights), (_, forces) = expected_weights(frames), errors(frames, whole)
    squares = weights * (forces**2).mean(axis=2)
    oxygen = squares[:, 0].sum() / weights[:, 0].sum()
    hydrogen = squares[:, 1:].sum() / weights[:, 1:].sum()
    assert values["forces_mse"] == pytest.approx((3 * oxygen + hydrogen) / 4, rel=1e-6)


@pytest.mark.parametrize("measure", [EnergyForceLoss, EnergyForceMetrics])
def test_weights_of_one_change_nothing_to_the_last_bit(weighted, measure):
    plain, with_ones = weighted(ones, weights=None)[0], weighted(ones)[0]
    one, other = measured(plain, measure()), measured(with_ones, measure())
    assert one[0] == other[0]
    if one[1] is not None:
        assert all(torch.equal(*pair) for pair in zip(one[1], other[1], strict=True))
    assert plain.statistics() == with_ones.statistics()


def test_only_ratios_of_weights_matter(weighted):
    def tenfold(frame):
        frame.info["config_weight"] *= 10

    one, other = (measured(weighted(change)[0], EnergyForceLoss()) for change in (None, tenfold))
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    torch.testing.assert_close(one[1], other[1], rtol=1e-12, atol=0)


def test_weighted_statistics(weighted):
    data, frames = weighted()
    w_energy, w_forces = expected_weights(frames)
    energy = np.array([one.calc.results["energy"] for one in frames]) / 3
    forces = np.array([one.calc.results["forces"] for one in frames])
    found = data.statistics()
    assert found["per_atom_energy_mean"] == pytest.approx(np.average(energy, weights=w_energy), rel=1e-7)
    wide = np.broadcast_to(w_forces[:, :, None], forces.shape)
    assert found["forces_rms"] == pytest.approx(np.sqrt(np.average(forces**2, weights=wide)), rel=1e-6)
    by_type = np.sqrt(np.average(forces[:, 1:] ** 2, weights=wide[:, 1:]))
    assert found["per_type_forces_rms"]["H"] == pytest.approx(by_type, rel=1e-6)
    assert found["num_neighbors_mean"] == 2.0, "structures have no weights"


def test_weighted_standard_deviation(weighted):
    data, frames = weighted(stats_manager=EnergyOnlyDataStatisticsManager())
    w_energy, _ = expected_weights(frames)
    energy = np.array([one.calc.results["energy"] for one in frames])
    mean = np.average(energy, weights=w_energy)
    expected = np.sqrt(np.average((energy - mean) ** 2, weights=w_energy) * FRAMES / (FRAMES - 1))
    assert data.statistics(["total_energy_std"])["total_energy_std"] == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def molecules(write, make_info):
    """A bound data section of molecules of different compositions with weights, some of them 0, and the frames."""

    def make(formulas=("H2O", "O2", "H2O2", "H2", "OH", "HO2"), **info):
        random, frames = np.random.default_rng(8), []
        for number, formula in enumerate(formulas * 3):
            atoms = Atoms(formula, positions=random.uniform(0, 4.0, (len(Atoms(formula)), 3)))
            atoms.info["w"] = float(random.uniform(0.1, 5.0)) if number % 5 else 0.0
            energy = float(random.normal(-20.0, 5.0)) if number % 5 else 1e6
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=random.normal(size=(len(atoms), 3)))
            frames.append(atoms)
        for atoms in frames:
            atoms.info.update(info)
        path = write("m.extxyz", frames)
        options = {"cache_dir": None, "stats_manager": CommonDataStatisticsManager()}
        data = ASEDataModule(1, train_file_path=path, weights={"frame": "w"}, **options)
        data.bind(make_info("O", "H"))
        return data, frames

    return make


def fitted(frames):
    """Energies by type from weighted normal equations, and the weighted mean of the energies per atom."""
    counts = np.array([[one.symbols.count(symbol) for symbol in "OH"] for one in frames], float)
    energies = np.array([one.calc.results["energy"] for one in frames])
    weights = np.array([one.info["w"] for one in frames])
    normal = np.linalg.pinv(counts.T @ (weights[:, None] * counts))
    mean = np.average(energies / counts.sum(axis=1), weights=weights)
    return mean + normal @ counts.T @ (weights * (energies - mean * counts.sum(axis=1))), mean


def test_fits_of_energies_of_atoms_weigh_frames(molecules):
    data, frames = molecules()
    (oxygen, hydrogen), mean = fitted(frames)
    names = [f"per_type_energy_shifts_{one}" for one in ("auto", "lstsq", "min_norm")]
    found = data.statistics([*names, "per_atom_energy_mean"])
    for name in names:
        assert found[name] == pytest.approx({"O": oxygen, "H": hydrogen}, rel=1e-7)
    assert found["per_atom_energy_mean"] == pytest.approx(mean, rel=1e-9)
    plain, _ = fitted([one for one in frames if not one.info.update(w=float(one.info["w"] > 0))])
    assert abs(plain[0] - oxygen) > 1e-3, "else the test could not fail"
    references = data.energy_references()
    assert references.choose().values == pytest.approx({"O": oxygen, "H": hydrogen}, rel=1e-7)
    assert references.mean == pytest.approx(mean, rel=1e-9)
    assert "over 14 frames" in references.choose().reason, "18 less 4 of weight 0"


def test_compositions_of_weight_zero_determine_nothing(molecules):
    """Oxygen molecules have weight 0, and water leaves one number open: auto is the mean, min_norm near it."""
    data, frames = molecules(("O2", "H2O", "H2O", "H2O", "H2O"))
    expected, mean = fitted(frames)
    found = data.statistics(["per_type_energy_shifts_auto", "per_type_energy_shifts_min_norm"])
    assert found["per_type_energy_shifts_auto"] == pytest.approx(dict.fromkeys("OH", mean), rel=1e-9)
    assert list(found["per_type_energy_shifts_min_norm"].values()) == pytest.approx(expected.tolist(), rel=1e-7)


@pytest.mark.parametrize("joined", [True, False])
def test_frames_of_weight_zero_are_part_of_no_statistic(molecules, joined):
    """Also of none of the structure; whether frames are joined for it (only counts) or not (lengths of edges)."""
    data, frames = molecules()
    entries = [{"field": NumNeighbors(), "metric": "Mean"}, {"field": NumNeighbors(), "metric": "Count"}]
    entries += [] if joined else [{"field": EdgeLengths(), "metric": "Mean"}]
    info, file = data.info, data.source_files()[0]
    manager = DataStatisticsManager(entries)
    data = ASEDataModule(1, train_file_path=file, weights={"frame": "w"}, cache_dir=None, stats_manager=manager)
    data.bind(info)
    kept = [one for one in frames if one.info["w"] > 0]
    found = data.statistics()
    assert found["NumNeighbors_count"] == sum(map(len, kept)) < sum(map(len, frames))
    indices = [index for index, one in enumerate(frames) if one.info["w"] > 0]
    edges = sum(data.dataset()[index]["edge_index"].shape[1] for index in indices)
    assert found["NumNeighbors_mean"] == pytest.approx(edges / sum(map(len, kept)))


def test_extremes_and_counts_have_no_weights(weighted):
    entries = [{"field": "forces", "metric": kind} for kind in ("Max", "Count")]
    data, frames = weighted(stats_manager=DataStatisticsManager(entries))
    largest = max(one.calc.results["forces"].max() for one in frames)
    assert data.statistics() == {"forces_max": pytest.approx(largest, rel=1e-6), "forces_count": 54.0}


def test_weight_zero_leaves_a_label_out(weighted):
    def change(frame):
        frame.arrays["atom_weights"][1] = 0.0
        frame.calc.results["forces"][1] = np.nan  # never read

    data, frames = weighted(change, mask_nan_labels=False)
    assert data.dataset()[0]["forces_mask"].tolist() == [True, False, True]
    values, _, whole = measured(data, EnergyForceMetrics())
    forces = errors(frames, whole)[1][:, [0, 2]]
    assert values["forces_maxabserr"] == pytest.approx(abs(forces).max(), rel=1e-6)


def test_frames_whose_weight_is_zero(weighted):
    def change(frame):
        frame.info["energy_weight"] = 0.0 if frame.positions[0, 0] > 0 else 2.0

    data, frames = weighted(change)
    left_out = sum(one.positions[0, 0] > 0 for one in frames)
    assert 0 < left_out < FRAMES
    row = data.census().sets["train"].labels["total_energy"]
    assert row.ignored == {"weight 0": left_out}
    assert row.present == FRAMES - left_out


def test_frames_without_the_key_have_weight_one(weighted):
    def change(frame):
        if frame.positions[0, 0] > 0:
            del frame.info["config_weight"]

    data, frames = weighted(change, weights={"frame": "config_weight"})
    weights = np.array([one.info.get("config_weight", 1.0) for one in frames])
    found = [data.dataset()[index]["total_energy_weight"].item() for index in range(FRAMES)]
    assert found == pytest.approx(weights / weights.mean(), rel=1e-7)


def test_validation_frames_have_the_scale_of_the_train_set():
    contract = label_contract({"total_energy": "energy"}, weights={"frame": "w"})

    def collection(*weights):
        frames = [Atoms("H", info={"energy": -1.0, "w": weight}) for weight in weights]
        return collect_frames([(f"a, frame {index}", one) for index, one in enumerate(frames)], contract)

    sets = {"train": collection(2.0, 6.0), "val0": collection(100.0)}
    assert weight_scales(sets, contract) == {"total_energy": 0.25}
    assert weight_scales({"test0": collection(2.0)}, contract) == {"total_energy": 0.5}


def test_batches_of_frames_with_and_without_weights(weighted):
    data, _ = weighted()
    frame = data.dataset()[0]
    bare = {key: value for key, value in frame.items() if not key.endswith("_weight")}
    batch = collate([frame, bare])
    assert torch.equal(batch["forces_weight"][:3], frame["forces_weight"])
    assert batch["forces_weight"][3:].tolist() == [1.0] * 3
    assert torch.equal(split(batch)[0]["forces_weight"], frame["forces_weight"])


def change_to(**info):
    def change(frame):
        frame.info.update(info)

    return change


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"config_weight": -1.0}, r"a.extxyz, frame 0, config_weight: weights must be 0 or greater, got -1.0"),
        ({"config_weight": np.nan}, "weights must be 0 or greater"),
        ({"config_weight": "much"}, "is not a number, as weights must be, got 'much'"),
        ({"config_weight": [1.0, 2.0]}, r"weights of total_energy must be one number, got \(2,\)"),
    ],
)
def test_weights_that_cannot_be_used(weighted, info, message):
    with pytest.raises(DataError, match=message):
        weighted(change_to(**info))[0].setup()


def test_weights_that_are_nowhere(weighted):
    with pytest.raises(DataError, match=r"data.weights: no frame of .*a.extxyz that has the labels has the key 'w'"):
        weighted(weights={"frame": "w"})[0].setup()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"energy": "w"}, r"ASEDataModule.weights.energy: unknown label"),
        ({"stres": "w"}, "did you mean 'stress'"),
        ({"frame": ""}, r"weights.frame: must be a key of the files, got ''"),
        ({"atomic_energy": "w"}, "weights.atomic_energy: unknown label"),
    ],
)
def test_weights_of_a_config(weights, message):
    with pytest.raises(ConfigError, match=message):
        ASEDataModule(1, train_file_path="a.xyz", weights=weights)


def test_unused_weights_are_noted(water):
    frames = water(2)
    frames[0].info.update(config_weight=2.0, config_virial_weight=3.0, config_forces_weight=1.0, use_weights=True)
    frames[1].arrays["atom_weight"] = np.array([1.0, 0.5, 1.0])
    frames[1].calc = SinglePointCalculator(frames[1], energy=1.0)
    places = [("a, frame 0", frames[0]), ("a, frame 1", frames[1])]
    notes = collect_frames(places, label_contract(None)).notes
    unused = "is in the file but not used; it would be by data.weights"
    assert [[one.text for one in some] for some in notes] == [
        [
            f"config_virial_weight {unused}: {{stress: config_virial_weight}}",
            f"config_weight {unused}: {{frame: config_weight}}",
        ],
        [f"atom_weight {unused}: {{forces: atom_weight}}"],
    ]
    assert notes[0][0].code == "unused-weights"
    used = label_contract(None, weights={"frame": "config_weight", "stress": "config_virial_weight"})
    assert collect_frames(places[:1], used).notes == [()]


@pytest.mark.slow
def test_training_with_weights(folder):
    """Weights of 1 give the same model to the last bit; frames of weight 0 are never read, here NaN."""

    def change(frame):
        odd = frame.positions[0, 0] > 0
        frame.info.update(one=1.0, w=0.0 if odd else 2.0)
        frame.info["E"] = np.nan if odd else frame.get_potential_energy()
        return frame

    folder.change_data(change)
    ends = {}
    ruined = ["+data.labels={total_energy: E, forces: forces}", "+data.weights={total_energy: w}"]
    for name, options in (("none", []), ("one", ["+data.weights={frame: one}"]), ("ruined", ruined)):
        code, _, errors = folder.call("run=[train]", "--output", name, *options)
        assert code == 0, errors
        ends[name] = torch.load(folder.path / name / "last.ckpt", weights_only=True)["state_dict"]
    stored = torch.load(folder.path / "one" / "last.ckpt", weights_only=True)["equipot"]["data"]
    assert (stored["weights"], stored["unconverged"], stored["species"]) == ({"frame": "one"}, "error", {})
    assert all(torch.equal(value, ends["one"][name]) for name, value in ends["none"].items())
    assert all(value.isfinite().all() for value in ends["ruined"].values())
