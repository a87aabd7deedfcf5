"""Statistics of the train set of a data module: when they are computed, and what marked atoms change."""

import logging

import pytest

from equipot.data import CommonDataStatisticsManager, EnergyOnlyDataStatisticsManager
from equipot.errors import ConfigError, DataError
from equipot_test_support.water import isolated_atom


class TestStatistics:
    @pytest.fixture
    def make(self, module, write, water, tmp_path):
        path = write("a.extxyz", water(6))

        def new(**options):
            given = {
                "train_file_path": path,
                "stats_manager": CommonDataStatisticsManager(),
                "cache_dir": str(tmp_path / "cache"),
            }
            return module(**{**given, **options})

        return new

    def files(self, tmp_path):
        return len(list((tmp_path / "cache" / "statistics").glob("*.json")))

    def test_second_run_makes_no_neighbour_list(self, make, tmp_path, monkeypatch):
        names = ["num_neighbors_mean", "forces_rms"]
        first = make().statistics(names)

        def refuse(*args, **kwargs):
            raise AssertionError("not cached")

        monkeypatch.setattr("equipot.data.transforms.add_neighbors", refuse)
        monkeypatch.setattr("equipot.data._counting.count_neighbors", refuse)
        assert make().statistics(names) == first
        assert self.files(tmp_path) == 1
        with pytest.raises(AssertionError, match="not cached"):
            make().statistics(["num_neighbors_mean"])

    def test_everything_that_matters_is_in_the_key(self, make, tmp_path, write, water, make_info):
        names = ["num_neighbors_mean"]
        runs = [
            make(),
            make(info=make_info("O", "H", r_max=2.0)),
            make(info=make_info("H", "O")),
            make(info=make_info("O", "H", cutoffs=((3.0, 2.0), (1.0, 3.0)))),
            make(stats_manager=EnergyOnlyDataStatisticsManager()),
            make(train_file_path=write("b.extxyz", water(6, seed=1))),
            make(labels={"total_energy": "energy"}),
        ]
        for one in runs:
            one.statistics(names)
        assert self.files(tmp_path) == len(runs)

    def test_missing_manager_unknown_name_missing_label(self, make):
        with pytest.raises(ConfigError, match="data.stats_manager: statistics are requested but no manager is given"):
            make(stats_manager=None).statistics(["forces_rms"])
        with pytest.raises(ConfigError, match="did you mean 'forces_rms'"):
            make().statistics(["force_rms"])
        with pytest.raises(DataError, match="statistic forces_rms: the train set has no"):
            make(labels={"total_energy": "energy"}).statistics(["forces_rms"])

    def test_without_names_the_possible_ones(self, make, caplog):
        with caplog.at_level(logging.WARNING):
            found = make(labels={"total_energy": "energy"}).statistics()
        assert set(found) == {"num_neighbors_mean", "per_type_num_neighbors_mean", "per_atom_energy_mean"}
        assert "statistic per_type_forces_rms" in caplog.text

    def test_type_absent_from_the_train_set(self, make, make_info):
        with pytest.raises(DataError, match=r"statistic per_type_forces_rms: .* for the types \['Zr'\]"):
            make(info=make_info("H", "O", "Zr")).statistics(["per_type_forces_rms"])


def test_means_leave_marked_atoms_out_whatever_their_cell(module, write, water):
    """An atom in a small cell has images for neighbours; its mark says that it is isolated nevertheless."""
    frames = [isolated_atom("H", -13.6), isolated_atom("O", -2041.0), *water(5)]
    frames[1].set_cell([2.5] * 3)
    frames[1].pbc = True
    one = module(train_file_path=write("a.extxyz", frames), stats_manager=CommonDataStatisticsManager())
    plain = module(train_file_path=write("b.extxyz", frames[2:]), stats_manager=CommonDataStatisticsManager())
    names = ["num_neighbors_mean", "per_atom_energy_mean", "forces_rms"]
    assert one.statistics(names) == plain.statistics(names)
    assert one.statistics(["isolated_atom_energies"]) == {"isolated_atom_energies": {"O": -2041.0, "H": -13.6}}


def test_a_mean_that_isolated_atoms_contradict(module, write, water, caplog):
    path = write("a.extxyz", [isolated_atom("H", -13.6), isolated_atom("O", -2041.0), *water(5)])
    for _ in range(2):
        caplog.clear()
        one = module(train_file_path=path, stats_manager=CommonDataStatisticsManager())
        one.statistics(["per_atom_energy_mean"])
        assert "statistic per_atom_energy_mean: shifts differ from the isolated atoms in train: O -" in caplog.text
        assert "instead of -13.6" in caplog.text
        assert "[shifts-contradict-isolated-atoms]" in caplog.text
    caplog.clear()
    module(train_file_path=path, stats_manager=CommonDataStatisticsManager()).statistics(["forces_rms"])
    module(train_file_path=write("b.extxyz", water(5)), stats_manager=CommonDataStatisticsManager()).statistics()
    assert "isolated" not in caplog.text
