"""Statistics of a set: neighbour lists are made only where a collector reads edges."""

import numpy as np
import pytest

from equipot.data._stats_managers import (
    CommonDataStatisticsManager,
)


@pytest.fixture
def dataset():
    """Packed frames of several sizes with types and edges, and their types."""
    from ase.build import bulk, molecule

    from equipot.data._collection import collect_frames
    from equipot.data._dataset import FrameDataset, complete_labels
    from equipot.data._frames import label_contract
    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, ModelEdges

    structures = []
    for seed in range(30):
        atoms = [bulk("CO", "zincblende", a=4.4), molecule("CH3OH"), molecule("H2O")][seed % 3]
        atoms.rattle(0.1, seed=seed)
        atoms.info |= {"energy": float(seed)}
        atoms.arrays["forces"] = np.random.default_rng(seed).normal(size=(len(atoms), 3))
        structures.append((f"frame {seed}", atoms))
    found = collect_frames(structures, label_contract(None))
    transforms = [ChemicalSpeciesToAtomTypeMapper(["C", "H", "O"]), ModelEdges(4.0, None, ())]
    return FrameDataset(complete_labels(found.frames, ["total_energy", "forces"]), found.places, transforms)


@pytest.mark.parametrize(
    "names",
    [
        ["per_atom_energy_mean", "forces_rms", "per_type_forces_rms", "per_type_energy_shifts_lstsq"],
        ["num_neighbors_mean", "per_type_num_neighbors_mean", "per_atom_energy_mean"],
        ["num_neighbors_mean", "per_type_energy_shifts_auto", "per_type_energy_shifts_min_norm"],
    ],
)
def test_lists_are_made_only_where_edges_are_read(dataset, monkeypatch, names):
    manager, types = CommonDataStatisticsManager(), ["C", "H", "O"]
    fields = manager.fields_read(names, types)
    expected, _ = manager._collect(iter(dataset), names, types, None)
    dataset._cache.clear()
    asked = []
    monkeypatch.setattr("equipot.data.transforms.add_neighbors", lambda frame, *_, **__: asked.append(1) or frame)
    frames, isolated = dataset.for_statistics(fields)
    values, problems = manager._collect(frames, names, types, isolated)
    assert problems == []
    assert values.keys() == expected.keys()
    for name, value in values.items():
        assert value == pytest.approx(expected[name], rel=1e-12), name
    assert asked == []


def test_a_collector_that_does_not_say_what_it_reads_gets_edges(dataset):
    class Silent(CommonDataStatisticsManager):
        def collector(self, name, type_names):
            one = super().collector(name, type_names)
            return type("Quiet", (), {"update": one.update, "result": one.result})()

    assert Silent().fields_read(["forces_rms"], ["C"]) is None
    assert "edge_index" in next(dataset.for_statistics(None)[0])
