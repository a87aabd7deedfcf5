import numpy as np
import pytest
import torch

from equipot import data
from equipot.data._stats_managers import (
    CommonDataStatisticsManager,
    DataStatisticsManager,
    EnergyOnlyDataStatisticsManager,
)
from equipot.errors import ConfigError, DataError
from equipot.neighbors import add_neighbors

TYPES = ("H", "C", "O")
R_MAX = 2.6


def frame(types, positions, *, box=None, energy=None, forces=None):
    n = len(types)
    cell = np.zeros((3, 3)) if box is None else np.eye(3) * box
    graph = {
        "positions": torch.tensor(positions, dtype=torch.float64),
        "cell": torch.tensor(cell)[None],
        "pbc": torch.tensor([[box is not None] * 3]),
        "atom_types": torch.tensor(types),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
    }
    if energy is not None:
        graph["total_energy"] = torch.tensor([energy], dtype=torch.float64)
    if forces is not None:
        graph["forces"] = torch.tensor(forces, dtype=torch.float64)
    return add_neighbors(graph, R_MAX)


@pytest.fixture
def frames():
    """Bulk and molecules with isolated atoms first, in the middle and alone; some labels missing."""
    rng = np.random.default_rng(11)

    def forces(n):
        return rng.normal(size=(n, 3))

    bulk = rng.uniform(0, 4, size=(7, 3))
    return [
        frame([0, 2, 2], [[30.0, 0, 0], [0, 0, 0], [0, 0, 1.2]], energy=-20.0, forces=forces(3)),
        frame([1, 0, 2], [[0.0, 0, 0], [9.0, 9, 9], [0, 0, 1.1]], energy=-33.0, forces=forces(3)),
        frame([1, 2, 0, 0, 1, 2, 0], bulk, box=4.0, energy=-70.0, forces=forces(7)),
        frame([0], [[0.0, 0, 0]], energy=-13.5),
        frame([1], [[0.0, 0, 0]], energy=-1027.5),
        frame([2], [[0.0, 0, 0]], energy=-2041.25, forces=np.zeros((1, 3))),
        frame([0, 1], [[0.0, 0, 0], [0, 0, 1.1]], forces=forces(2)),
        frame([1, 1], [[0.0, 0, 0], [0, 0, 1.3]], energy=-2060.0, forces=forces(2)),
    ]


def brute_force(frames):
    """Every statistic with numpy, from pairs of atoms and explicit loops; frames of one atom are isolated atoms."""
    neighbors, lengths, forces, energies = [], [], [], []
    for one in [one for one in frames if len(one["atom_types"]) > 1]:
        positions, cell = one["positions"].numpy(), one["cell"][0].numpy()
        types = one["atom_types"].tolist()
        images = range(-2, 3) if one["pbc"].any() else range(1)
        shifts = [np.array([a, b, c]) @ cell for a in images for b in images for c in images]
        for i, centre in enumerate(types):
            count = 0
            for j, neighbour in enumerate(types):
                for shift in shifts:
                    distance = np.linalg.norm(positions[j] + shift - positions[i])
                    if 0 < distance < R_MAX:
                        count += 1
                        lengths.append((centre, neighbour, distance))
            neighbors.append((centre, count))
        if "forces" in one:
            forces += list(zip(types, one["forces"].numpy(), strict=True))
        if "total_energy" in one:
            energies.append((float(one["total_energy"][0]), len(types)))
    return neighbors, lengths, forces, energies


def per_type(pairs, reduce):
    return {name: reduce([value for kind, value in pairs if kind == index]) for index, name in enumerate(TYPES)}


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-13), name


def test_common_statistics(frames):
    neighbors, _, forces, energies = brute_force(frames)
    found = CommonDataStatisticsManager().compute(frames, TYPES)
    close(
        found,
        {
            "num_neighbors_mean": np.mean([count for _, count in neighbors]),
            "per_type_num_neighbors_mean": per_type(neighbors, np.mean),
            "per_atom_energy_mean": np.mean([energy / n for energy, n in energies]),
            "forces_rms": rms([force for _, force in forces]),
            "per_type_forces_rms": per_type(forces, rms),
        },
    )
    counts = found["per_type_num_neighbors_mean"]
    assert len({round(value, 6) for value in counts.values()}) == 3, "the data tell the types apart"


def test_energy_only_statistics(frames):
    neighbors, _, _, energies = brute_force(frames)
    per_atom = [energy / n for energy, n in energies]
    close(
        EnergyOnlyDataStatisticsManager().compute(frames, TYPES),
        {
            "num_neighbors_mean": np.mean([count for _, count in neighbors]),
            "per_type_num_neighbors_mean": per_type(neighbors, np.mean),
            "per_atom_energy_mean": np.mean(per_atom),
            "per_atom_energy_std": np.std(per_atom, ddof=1),
            "total_energy_std": np.std([energy for energy, _ in energies], ddof=1),
        },
    )


def test_custom_statistics(frames):
    neighbors, lengths, forces, energies = brute_force(frames)
    metrics = [
        {"field": "forces", "metric": data.MeanAbsolute(), "name": "fabs"},
        {"field": "forces", "metric": "Max", "per_type": True},
        {"field": data.EdgeLengths(), "metric": data.Min(), "name": "shortest", "per_type": True},
        {"field": data.EdgeLengths(), "metric": "Mean"},
        {"field": data.NumNeighbors(), "metric": "Max", "name": "most"},
        {"field": data.PerAtomModifier("total_energy", factor=1000.0), "metric": "Min", "name": "lowest"},
        {"field": "total_energy", "metric": "Count", "name": "labelled"},
        {"field": data.EdgeLengths(), "metric": "Count", "per_type": True, "name": "edges"},
    ]
    manager = DataStatisticsManager(metrics)
    assert manager.names() == {
        "fabs": "scalar",
        "per_type_forces_max": "per_type",
        "shortest": "per_type_pair",
        "EdgeLengths_mean": "scalar",
        "most": "scalar",
        "lowest": "scalar",
        "labelled": "scalar",
        "edges": "per_type_pair",
    }
    by_pair = {
        f"{one}_{two}": [length for i, j, length in lengths if (i, j) == (a, b)]
        for a, one in enumerate(TYPES)
        for b, two in enumerate(TYPES)
    }
    close(
        manager.compute(frames, TYPES),
        {
            "fabs": np.mean(np.abs([force for _, force in forces])),
            "per_type_forces_max": per_type(forces, np.max),
            "shortest": {pair: min(values) for pair, values in by_pair.items()},
            "EdgeLengths_mean": np.mean([length for _, _, length in lengths]),
            "most": max(count for _, count in neighbors),
            "lowest": min(energy / n for energy, n in energies) * 1000.0,
            "labelled": len(energies),
            "edges": {pair: len(values) for pair, values in by_pair.items()},
        },
    )


def test_pair_statistics_are_centre_first():
    """With one-way edges a transposed pair shows: only the O-centred edge to H is left."""
    one = frame([0, 2, 1], [[0.0, 0, 0], [0, 0, 1.0], [0, 0, 9.0]])
    keep = one["atom_types"][one["edge_index"][0]] == 2
    one["edge_index"], one["edge_cell_shift"] = one["edge_index"][:, keep], one["edge_cell_shift"][keep]
    metrics = [{"field": data.EdgeLengths(), "metric": "Count", "per_type": True, "name": "n"}]
    counts = DataStatisticsManager(metrics).compute([one], TYPES)["n"]
    assert {pair for pair, count in counts.items() if count} == {"O_H"}


def test_neighbours_are_counted_at_their_centre():
    one = frame([0, 2], [[0.0, 0, 0], [0, 0, 1.0]])
    keep = one["atom_types"][one["edge_index"][0]] == 2
    one["edge_index"], one["edge_cell_shift"] = one["edge_index"][:, keep], one["edge_cell_shift"][keep]
    one["atom_types"] = torch.tensor([0, 1])
    found = CommonDataStatisticsManager().compute([one], ("H", "O"), ["per_type_num_neighbors_mean"])
    assert found == {"per_type_num_neighbors_mean": {"H": 0.0, "O": 1.0}}


def test_isolated_first_atom_does_not_shift_neighbour_counts():
    one = frame([0, 2, 2, 1], [[30.0, 0, 0], [0, 0, 0], [0, 0, 1.2], [-30.0, 0, 0]])
    found = CommonDataStatisticsManager().compute([one], TYPES, ["per_type_num_neighbors_mean"])
    assert found == {"per_type_num_neighbors_mean": {"H": 0.0, "C": 0.0, "O": 1.0}}


def test_result_does_not_depend_on_batching(frames, monkeypatch):
    import equipot.data._stats_managers as module

    manager = CommonDataStatisticsManager()
    names = list(manager.names())
    together = manager.compute([*frames, *_solvable()], TYPES, names)
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 1)
    close(manager.compute([*frames, *_solvable()], TYPES, names), together)


def _solvable():
    return [frame([1, 1, 1], [[0.0, 0, 0], [0, 0, 1.3], [0, 1.3, 0]], energy=-3085.0), *_atoms()]


def _atoms():
    return [frame([0], [[0.0, 0, 0]], energy=-13.5)]


def test_isolated_atoms_change_no_statistic_by_a_digit(frames):
    bulk = [one for one in frames if len(one["atom_types"]) > 1]
    metrics = [
        {"field": "total_energy", "metric": "Min", "name": "lowest"},
        {"field": data.NumNeighbors(), "metric": "Count", "name": "atoms"},
    ]
    for manager in (
        CommonDataStatisticsManager(),
        EnergyOnlyDataStatisticsManager(),
        DataStatisticsManager(metrics),
    ):
        assert manager.compute([*_atoms(), *bulk, *frames[3:6]], TYPES) == manager.compute(bulk, TYPES)


def test_marked_atoms_are_isolated_even_if_images_are_near(frames):
    bulk = [one for one in frames if len(one["atom_types"]) > 1]
    crystal = frame([2], [[0.0, 0, 0]], box=2.0, energy=-99.0)
    assert crystal["edge_index"].shape[1] == 6
    names = ["num_neighbors_mean", "per_atom_energy_mean"]
    manager = CommonDataStatisticsManager()
    marked = manager.compute([*bulk, crystal], TYPES, names, isolated=[False] * len(bulk) + [True])
    assert marked == manager.compute(bulk, TYPES, names)
    assert manager.compute([*bulk, crystal], TYPES, names) != marked, "a crystal with one atom in its cell counts"


def test_a_manager_of_a_plugin_gets_no_isolated_atoms(frames):
    sizes = []

    class Sizes:
        def update(self, batch):
            sizes.extend(batch["num_atoms"].tolist())

        def result(self):
            return float(len(sizes))

    class Manager(data.StatsManager):
        def names(self):
            return {"frames": "scalar"}

        def collector(self, name, type_names):
            return Sizes()

    assert Manager().compute(frames, TYPES) == {"frames": 5.0}
    assert 1 not in sizes


def test_masked_labels_do_not_count(frames):
    full = frames[0]
    masked = {**full, "forces_mask": torch.tensor([True, True, False]), "total_energy_mask": torch.tensor([False])}
    masked["forces"] = full["forces"].clone()
    masked["forces"][2] = 1e6
    found = DataStatisticsManager(
        [
            {"field": "forces", "metric": "RootMeanSquare", "name": "rms"},
            {"field": "total_energy", "metric": "Count", "name": "n"},
        ]
    ).compute([masked], TYPES)
    assert found["rms"] == pytest.approx(rms(full["forces"][:2].numpy()), rel=1e-14)
    assert found["n"] == 0


class Untouchable(dict):
    """A frame whose forces must not be read."""

    def __getitem__(self, key):
        assert not key.startswith("forces"), key
        return super().__getitem__(key)

    def get(self, key, default=None):
        assert not key.startswith("forces"), key
        return super().get(key, default)


def test_energy_only_manager_never_touches_forces(frames, monkeypatch):
    import equipot.data._stats_managers as module

    monkeypatch.setattr(module, "collate", lambda some: some[0])
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 1)
    manager = EnergyOnlyDataStatisticsManager()
    guarded = [Untouchable(one) for one in [*frames, *_solvable()]]
    assert len(manager.compute(guarded, TYPES, list(manager.names()))) == 10
    with pytest.raises(AssertionError, match="forces"):
        CommonDataStatisticsManager().compute(guarded, TYPES)


def test_names_before_data():
    assert CommonDataStatisticsManager().names() == {
        "num_neighbors_mean": "scalar",
        "per_type_num_neighbors_mean": "per_type",
        "per_atom_energy_mean": "scalar",
        "forces_rms": "scalar",
        "per_type_forces_rms": "per_type",
        "per_type_energy_shifts_auto": "per_type",
        "isolated_atom_energies": "per_type",
        "per_type_energy_shifts_lstsq": "per_type",
        "per_type_energy_shifts_min_norm": "per_type",
        "per_type_energy_shifts_ridge": "per_type",
    }
    assert "forces_rms" not in EnergyOnlyDataStatisticsManager().names()


def _bare(types):
    """A molecule with an energy and no forces."""
    return frame(types, [[0.0, 0, index] for index in range(len(types))], energy=-1000.0)


def test_missing_types_and_labels_are_named():
    with pytest.raises(DataError) as caught:
        CommonDataStatisticsManager().compute([_bare([0, 1])], (*TYPES, "Zr"))
    lines = str(caught.value).splitlines()
    assert lines == [
        (
            "statistic per_type_num_neighbors_mean: the train set has no (or too few, or NaN) values of edge_index "
            "for the types ['O', 'Zr']"
        ),
        "statistic forces_rms: the train set has no (or too few, or NaN) values of forces",
        (
            "statistic per_type_forces_rms: the train set has no (or too few, or NaN) values of forces "
            "for the types ['H', 'C', 'O', 'Zr']"
        ),
    ]


def test_only_what_is_asked_for_is_computed(frames):
    manager = CommonDataStatisticsManager()
    assert list(manager.compute(frames[:1], TYPES, ["num_neighbors_mean"])) == ["num_neighbors_mean"]
    assert manager.compute([], TYPES, []) == {}


def test_possible_statistics_leave_out_the_others_with_a_warning(caplog):
    found = CommonDataStatisticsManager().compute_possible([_bare([0, 1])], TYPES[:2])
    assert set(found) == {"num_neighbors_mean", "per_type_num_neighbors_mean", "per_atom_energy_mean"}
    assert "statistic forces_rms: the train set has no" in caplog.text
    assert "lstsq" not in caplog.text, "energy references are computed on demand only"


def test_nan_is_refused_unless_ignored(frames):
    bad = {**frames[0], "forces": frames[0]["forces"].clone()}
    bad["forces"][1, 1] = torch.nan
    entry = {"field": "forces", "metric": "RootMeanSquare", "name": "rms"}
    with pytest.raises(DataError, match="statistic rms: the train set has no .or too few, or NaN. values of forces"):
        DataStatisticsManager([entry]).compute([bad], TYPES)
    found = DataStatisticsManager([{**entry, "ignore_nan": True}]).compute([bad], TYPES)
    assert found["rms"] == pytest.approx(rms(bad["forces"][[0, 2]].numpy()), rel=1e-14)


def test_wrong_entries_come_at_once():
    with pytest.raises(ConfigError) as caught:
        DataStatisticsManager(
            [
                {"field": "force", "metric": "Mean"},
                {"field": "forces", "metrik": "Mean"},
                {"field": "total_energy", "metric": "Mean", "per_type": True},
                {"field": "forces", "metric": "Mean", "per_type": "yes"},
                {"field": "forces", "metric": "Mean", "name": "x"},
                {"field": "forces", "metric": "Max", "name": "x"},
                {"field": 3, "metric": "Max"},
            ]
        )
    assert caught.value.problems == [
        "DataStatisticsManager.metrics.0.field: unknown field, got 'force'; did you mean 'forces'?",
        "DataStatisticsManager.metrics.1.metrik: unknown option; did you mean 'metric'?",
        "DataStatisticsManager.metrics.2.per_type: needs a field per atom or edge, got 'total_energy'",
        "DataStatisticsManager.metrics.3.per_type: must be true or false, got 'yes'",
        "DataStatisticsManager.metrics.6.field: must be a field name or a quantity, got 3",
        "DataStatisticsManager.metrics: two statistics have the same name, got 'x'",
    ]
    with pytest.raises(ConfigError, match="PerAtomModifier.field: must be a field per frame, got 'forces'"):
        data.PerAtomModifier("forces")


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(ConfigError) as caught:
        CommonDataStatisticsManager().check_names(["force_rms", "median"])
    assert caught.value.problems == [
        "training_data_stats: unknown statistic, got 'force_rms'; did you mean 'forces_rms'?",
        (
            "training_data_stats: unknown statistic, got 'median'; statistics: "
            "num_neighbors_mean, per_type_num_neighbors_mean, per_atom_energy_mean, forces_rms, per_type_forces_rms, "
            "per_type_energy_shifts_auto, isolated_atom_energies, per_type_energy_shifts_lstsq, "
            "per_type_energy_shifts_min_norm, per_type_energy_shifts_ridge"
        ),
    ]


def test_type_names_of_manager_and_model_must_agree(frames):
    manager = CommonDataStatisticsManager(type_names=["H", "C", "O"])
    assert manager.compute(frames, None, ["num_neighbors_mean"])
    with pytest.raises(ConfigError, match=r"stats_manager.type_names: differ from the model's \['C', 'H', 'O'\]"):
        manager.compute(frames, ("C", "H", "O"))
    with pytest.raises(ConfigError, match="stats_manager.type_names: is needed"):
        CommonDataStatisticsManager().compute(frames)


def test_config_tells_managers_apart():
    def config(**entry):
        return DataStatisticsManager([{"field": "forces", "metric": "Mean", "name": "x", **entry}]).config()

    assert config() == config()
    different = [
        config(),
        config(metric="Max"),
        config(metric=data.Max(abs=True)),
        config(per_type=True),
        config(ignore_nan=True),
        config(field="atomic_energy"),
        config(field=data.PerAtomModifier("total_energy")),
        config(field=data.PerAtomModifier("total_energy", factor=2.0)),
        CommonDataStatisticsManager().config(),
    ]
    assert len({repr(one) for one in different}) == len(different)


def test_registered_managers_are_found_by_name():
    from equipot.plugins import plugins

    for name in ("CommonDataStatisticsManager", "EnergyOnlyDataStatisticsManager", "DataStatisticsManager"):
        assert plugins().load("stats_managers", name) is getattr(data, name)
    with pytest.raises(AttributeError, match="no stats manager named 'CommonStatistics'"):
        _ = data.CommonStatistics
