"""Plans from facts: whole configs, reasons for what was chosen, sizes by measured and by expected time."""

import re
from types import SimpleNamespace

import pytest
import yaml

from equipot.errors import ConfigError
from equipot_fit import _plan, _planned
from equipot_fit import _rules as rules
from equipot_fit._facts import Sizes
from equipot_fit._plan import make_plan
from equipot_fit._sizes import SIZES
from equipot_fit._speed import NoTimeError


@pytest.fixture(autouse=True)
def _as_written(monkeypatch):
    """Texts are whole here, whatever core's defaults are."""
    monkeypatch.setattr(_planned, "without_defaults", lambda config: config)


def model(plan):
    return plan.config["training_module"]["model"]


def test_every_choice_has_a_sentence(facts):
    plan = make_plan(facts(), 15)
    chosen = {
        "data.split_dataset", "data.split_dataset.by", "data.train_dataloader", "trainer.callbacks",
        "trainer.check_val_every_n_epoch", "training_module.ema_decay", "training_module.loss",
        "training_module.optimizer", "training_module.lr_scheduler", "training_module.model._target_",
        "training_module.model.r_max", "training_module.model.num_layers",
        "training_module.model.per_type_energy_shifts", "training_module.model.pair_potential",
    }  # fmt: skip
    assert chosen <= set(plan.reasons)
    for place, text in plan.reasons.items():
        assert "\n" not in text, place
        assert len(text) > 5, place
        node = plan.config
        for key in place.split("."):
            node = node[key]
    numbered = [place for place, text in plan.reasons.items() if re.search(r"\d", text)]
    assert len(numbered) >= 10, "reasons rest on numbers"


def test_text_reads_back_and_has_the_reasons(facts, tmp_path):
    plan = make_plan(facts(), 15)
    assert yaml.safe_load(plan.text(full=True)) == plan.config
    plan.write(tmp_path / "plan.yaml")
    text = (tmp_path / "plan.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == plan.config
    said = " ".join(text.replace("#", "").split())
    assert all(" ".join(one.split()) in said for one in plan.reasons.values())


def test_the_same_facts_give_the_same_text(facts):
    assert make_plan(facts(), 15).text() == make_plan(facts(), 15).text()


def test_data_section(facts):
    given = facts(files=("a.xyz", "b.xyz"), options={"units": "real", "species": {"D": "H"}})
    data = make_plan(given, 15, seed=7).config["data"]
    assert data["split_dataset"] == {
        "file_path": ["a.xyz", "b.xyz"],
        "train": 800,
        "val": 100,
        "test": 100,
        "by": "random",
    }
    assert (data["seed"], data["units"], data["species"]) == (7, "real", {"D": "H"})
    assert "test_file_path" not in data


def test_test_files_test(facts):
    config = make_plan(facts(n_test_frames=5), 15, test=["t.xyz"]).config
    assert config["run"] == ["train", "val", "test"]
    assert config["data"]["test_file_path"] == ["t.xyz"]
    assert "test" not in config["data"]["split_dataset"]
    assert make_plan(facts(n_frames=50), 15).config["run"] == ["train", "val"]


def test_energies_and_forces(facts):
    config = make_plan(facts(), 15).config
    module = config["training_module"]
    assert module["loss"] == {
        "_target_": "equipot.train.EnergyForceLoss",
        "coeffs": {"total_energy": 1.0, "forces": 1.0},
        "huber": 0.05,
    }
    assert module["val_metrics"]["coeffs"] == {"per_atom_energy_mae": 1.0, "forces_mae": 1.0}
    (budget,) = config["trainer"]["callbacks"]
    assert "final_coeffs" not in budget, "small molecules"
    assert module["model"]["per_type_energy_scales"] == "${training_data_stats:forces_rms}"
    assert module["model"]["pair_potential"]["units"] == "metal"
    assert module["model"]["pair_potential"]["covalent_range"] == 0.8, "as close as the atoms of the data come"


def test_cells_learn_energies_at_the_end(facts):
    config = make_plan(facts(n_atoms=Sizes(64, 64, 64)), 15).config
    assert config["training_module"]["val_metrics"]["coeffs"] == {"per_atom_energy_mae": 3.0, "forces_mae": 1.0}
    (budget,) = config["trainer"]["callbacks"]
    assert budget["final_coeffs"] == {"per_atom_energy_huber": 10.0, "forces_huber": 1.0}


def test_the_scale_of_forces_with_a_long_tail_is_a_number(facts):
    plan = make_plan(facts(forces_rms=1.3, forces_mean=0.23), 15)
    assert model(plan)["per_type_energy_scales"] == 0.288
    assert "few are large" in plan.reasons["training_module.model.per_type_energy_scales"]
    assert model(make_plan(facts(forces_rms=1.0, forces_mean=0.7), 15))["per_type_energy_scales"].startswith("$")


def test_cells_in_which_no_force_acts(facts):
    """Atoms on the places of a lattice: the forces are known, and tell neither a scale nor a size of errors."""
    config = make_plan(facts(n_atoms=Sizes(64, 64, 64), forces_rms=0.0, energy_spread=0.1), 15).config
    assert config["training_module"]["model"]["per_type_energy_scales"] == pytest.approx(0.1 * 64**0.5)
    assert "huber" not in config["training_module"]["loss"]
    (budget,) = config["trainer"]["callbacks"]
    assert budget["final_coeffs"] == {"per_atom_energy_mse": 10.0, "forces_mse": 1.0}


def test_a_part_of_the_frames(facts):
    whole = make_plan(facts(), 15)
    plan = make_plan(facts(), 15, part=_plan.Part(12, 3, whole.size))
    assert plan.config["data"]["train_subset"] == {"frames": 12, "seed": 3}
    assert plan.config["data"]["split_dataset"] == whole.config["data"]["split_dataset"]
    assert (plan.config["data"]["seed"], model(plan)["seed"]) == (1, 3)
    assert plan.config["data"]["train_dataloader"] == {"batch_size": 3}, "a quarter of the frames"
    assert {key: model(plan)[key] for key in whole.size} == dict(whole.size)
    assert "the same for all numbers of frames" in plan.reasons["training_module.model.num_layers"]


def test_reasons_are_given_once_whatever_was_timed(facts):
    timed = make_plan(facts(n_atoms=Sizes(64, 64, 64)), 15, step_seconds=lambda _: SimpleNamespace(step=0.1))
    assert timed.reasons["trainer.callbacks"].count("energies weigh more") == 1


def test_stress(facts):
    labels = {"total_energy": 1000, "forces": 1000, "stress": 300}
    module = make_plan(facts(labels=labels, stress_rms=0.01), 15).config["training_module"]
    assert module["loss"]["_target_"] == "equipot.train.EnergyForceStressLoss"
    assert module["val_metrics"]["_target_"] == "equipot.train.EnergyForceStressMetrics"
    assert "stress_mae" not in module["val_metrics"]["coeffs"], "too few frames have it to choose by"


def test_energies_alone(facts):
    config = make_plan(facts(labels={"total_energy": 1000}, forces_rms=None), 15).config
    assert config["training_module"]["loss"] == {"_target_": "equipot.train.EnergyOnlyLoss"}
    assert config["data"]["stats_manager"]["_target_"] == "equipot.data.EnergyOnlyDataStatisticsManager"
    one = config["training_module"]["model"]
    assert one["do_derivatives"] is False
    assert one["per_type_energy_scales"] == pytest.approx(0.02 * 20**0.5, rel=0.01)
    assert "final_coeffs" not in config["trainer"]["callbacks"][0]


def test_forces_alone(facts):
    config = make_plan(facts(labels={"forces": 1000}, energy_spread=None, energies_rule=""), 15).config
    assert config["training_module"]["loss"]["coeffs"] == {"forces": 1.0}
    assert config["training_module"]["val_metrics"]["coeffs"] == {"forces_mae": 1.0}
    assert "per_type_energy_shifts" not in config["training_module"]["model"]


@pytest.mark.parametrize(
    ("rule", "compositions", "statistic", "said"),
    [
        ("isolated atoms", 3, "auto", "isolated atoms of all 2 elements are in the data"),
        ("least squares", 3, "ridge", "least squares with a ridge: 3 compositions determine those of 2 elements"),
        ("mean", 3, "ridge", "least squares with a ridge: 3 compositions cannot tell all of 2 elements"),
        ("mean", 1, "auto", "the mean: 1 composition cannot tell the 2 elements apart"),
    ],
)
def test_where_energies_of_atoms_come_from(facts, rule, compositions, statistic, said):
    plan = make_plan(facts(energies_rule=rule, compositions=compositions, isolated=("C", "H")), 15)
    assert plan.reasons["training_module.model.per_type_energy_shifts"].startswith(said)
    chosen = plan.config["training_module"]["model"]["per_type_energy_shifts"]
    assert chosen == f"${{training_data_stats:per_type_energy_shifts_{statistic}}}"


@pytest.mark.parametrize("family", ["nequip", "allegro"])
def test_of_many_elements_similar_ones_begin_alike(facts, family):
    many = facts(elements=dict.fromkeys(("H", "Li", "C", "N", "O", "Na", "Al", "Si", "Fe"), 9))
    for given, expected in ((many, family == "nequip"), (facts(), False)):
        plan = make_plan(given, 15, family=family)
        assert plan.config["training_module"]["model"].get("type_embed_periodic_table", False) is expected
        assert ("training_module.model.type_embed_periodic_table" in plan.reasons) is expected


# ------------------------------------------------------------------------------ sizes


def test_more_time_gives_larger_models(facts):
    plans = [make_plan(facts(), minutes) for minutes in (0.1, 3, 15, 3000)]
    widths = [SIZES["nequip"].index(size_of(one)) for one in plans]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (0, len(SIZES["nequip"]) - 1)
    assert all(
        one.steps >= rules.steps_wanted(facts(), minutes, 225)
        for one, minutes in zip(plans[1:], (3, 15, 3000), strict=True)
    )
    assert plans[0].steps < rules.STEPS_WANTED
    assert plans[2].reasons["training_module.model.num_layers"].endswith("; 18000 are wanted")
    assert "no size is smaller" in plans[0].reasons["training_module.model.num_layers"]


def size_of(plan):
    return next(one for one in SIZES["nequip"] if one.options.items() <= model(plan).items())


class Clock:
    """A machine that takes some times as long as expected."""

    def __init__(self, factor):
        self.factor, self.asked = factor, []

    def __call__(self, config):
        sizes = SIZES["nequip"]
        given = config["training_module"]["model"]
        index = next(number for number, one in enumerate(sizes) if one.options.items() <= given.items())
        self.asked.append(index)
        factor = self.factor(index) if callable(self.factor) else self.factor
        return SimpleNamespace(step=factor * sizes[index].seconds(4 * 200.0))


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0, lambda index: 1 + index, lambda index: 8 - index])
def test_measured_sizes_fit(facts, factor):
    clock = Clock(factor)
    plan = make_plan(facts(), 15, step_seconds=clock)
    chosen = SIZES["nequip"].index(size_of(plan))
    assert chosen in clock.asked, "what is chosen was measured"
    assert len(clock.asked) == len(set(clock.asked)) <= _plan.MOST_MEASUREMENTS
    assert plan.steps >= rules.steps_wanted(facts(), 15, 225) or chosen == min(clock.asked)
    assert "(measured)" in plan.reasons["training_module.model.num_layers"]


def test_a_machine_as_fast_as_expected_is_measured_once(facts):
    clock = Clock(1.0)
    assert model(make_plan(facts(), 15, step_seconds=clock)) == model(make_plan(facts(), 15))
    assert len(clock.asked) == 1


def test_presets_and_families(facts):
    one = model(make_plan(facts(), 15, preset="m"))
    assert (one["_target_"], one["preset"]) == ("equipot.model.PresetNequIPGNNModel", "M")
    assert "num_layers" not in one
    other = model(make_plan(facts(), 15, family="allegro"))
    assert other["_target_"] == "equipot.model.AllegroModel"
    assert other["radial_chemical_embed"] == {"_target_": "equipot_allegro.TwoBodyBesselScalarEmbed"}
    both = model(make_plan(facts(), 15, family="allegro", preset="S"))
    assert both["_target_"] == "equipot.model.PresetAllegroModel"
    measured = make_plan(facts(), 15, preset="S", step_seconds=lambda _config: SimpleNamespace(step=0.5))
    assert measured.steps == rules.steps_in(15, 0.5)


def test_large_frames_take_the_local_family(facts):
    plan = make_plan(facts(n_atoms=Sizes(2000, 2000.0, 2000)), 15)
    assert model(plan)["_target_"] == "equipot.model.AllegroModel"
    assert plan.config["data"]["train_dataloader"] == {"batch_size": 1}


def test_time_without_any_follows_the_data(facts):
    assert make_plan(facts()).minutes == 20
    assert make_plan(facts()).config["trainer"]["callbacks"][0]["minutes"] == 20
    assert "no time was given" in make_plan(facts()).reasons["trainer.callbacks"]


def test_notes(facts):
    labels = {"total_energy": "E", "stress": {"key": "v", "convention": "virial"}}
    found = facts(guessed_labels=True, options={"labels": labels})
    first, second = make_plan(found, 0.5).notes(found)
    assert first == "labels are read by what their keys are called: total_energy from E, stress from v (a virial)"
    assert re.match(r"about \d+ steps fit into 0.5 min; .* more --minutes help", second)
    assert make_plan(facts(), 15).notes(facts()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"minutes": 0}, "--minutes: must be greater than 0, got 0"),
        ({"minutes": float("nan")}, "--minutes: must be greater than 0"),
        ({"preset": "XXL"}, r"--preset: unknown preset, got 'XXL'"),
        ({"family": "nequipp"}, r"--model: unknown model, got 'nequipp'; did you mean 'nequip'"),
        ({"family": "mace"}, r"--model: unknown model, got 'mace'; models: nequip, allegro"),
    ],
)
def test_wrong_options(facts, given, said):
    with pytest.raises(ConfigError, match=said):
        make_plan(facts(), **given)


def test_a_family_that_is_not_installed(facts, monkeypatch):
    from equipot.plugins import plugins

    names = plugins().names
    monkeypatch.setattr(type(plugins()), "names", lambda _self, kind: [n for n in names(kind) if "Allegro" not in n])
    with pytest.raises(
        ConfigError, match="--model: AllegroModel is not installed, got 'allegro'; pip install equipot-all"
    ):
        make_plan(facts(), family="allegro")


def test_without_time_to_measure_another_size_what_is_known_must_do(facts):
    """The one that was timed, if it gets its steps; else a smaller one, slower than expected by as much."""
    for slower, found in ((0.5, "measured"), (5.0, "expected from that of a larger size")):
        asked = []

        def measure(config, asked=asked, slower=slower):
            if asked:
                raise NoTimeError
            asked.append(Clock(slower)(config).step)
            return SimpleNamespace(step=asked[0])

        plan = make_plan(facts(), 15, step_seconds=measure)
        first, chosen = (SIZES["nequip"].index(size_of(one)) for one in (make_plan(facts(), 15), plan))
        assert f"({found})" in plan.reasons["training_module.model.num_layers"]
        assert chosen == first if slower < 1.0 else chosen < first
        assert plan.expected.step == pytest.approx(slower * SIZES["nequip"][chosen].seconds(4 * 200.0))
        assert plan.steps >= rules.steps_wanted(facts(), 15, 225)
        assert plan.expected.frames == {"train": 800, "val": 100, "test": 100}


@pytest.mark.parametrize(("minutes", "first"), [(2, 0), (15, None)])
def test_with_little_time_the_smallest_size_is_timed_first(facts, minutes, first):
    clock = Clock(1.0)
    plan = make_plan(facts(), minutes, step_seconds=clock)
    chosen = SIZES["nequip"].index(size_of(plan))
    assert clock.asked == ([first, chosen] if first is not None else [chosen])
    assert chosen == SIZES["nequip"].index(size_of(make_plan(facts(), minutes)))
    assert chosen > 0
