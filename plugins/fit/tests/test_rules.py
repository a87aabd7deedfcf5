"""Each rule at its limits, and the page that states the rules."""

import math

import pytest

from equipot.train.options import LossOptions
from equipot_fit import _rules as rules
from equipot_fit._facts import Sizes
from equipot_fit._geometry import RADII, Surroundings
from equipot_fit._rules_text import rules_text
from equipot_test_support.scripts import load_script

fit_rules = load_script("tools/fit_rules.py")


@pytest.mark.parametrize(
    ("frames", "own_test", "expected"),
    [
        (2, False, (1, 1, 0)),
        (20, False, (16, 4, 0)),
        (50, False, (45, 5, 0)),
        (199, False, (179, 20, 0)),
        (200, False, (160, 20, 20)),
        (200, True, (180, 20, 0)),
        (100_000, False, (98_500, 500, 1000)),
    ],
)
def test_sizes_of_the_split(facts, frames, own_test, expected):
    choice = rules.split_sizes(facts(n_frames=frames, test_files=("t.xyz",) if own_test else ()), own_test=own_test)
    assert choice.value == expected
    assert sum(choice.value) == frames
    assert f"of {frames} frames {expected[0]} train" in choice.reason


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "random"),
        ({"memory": 8}, "block:16"),
        ({"memory": 64}, "block:50"),
        ({"memory": 8, "n_frames": 30}, "random"),
        ({"kinds": 10}, "composition"),
        ({"kinds": 201}, "random"),
        ({"kinds": 10, "memory": 8}, "block:16"),
    ],
)
def test_how_frames_are_dealt_out(facts, given, expected):
    assert rules.split_rule(facts(**given)).value == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"total_energy": 1000, "forces": 1000, "stress": 600}, ["total_energy", "forces", "stress"]),
        ({"total_energy": 1000, "forces": 1000, "stress": 40}, ["total_energy", "forces"]),
        ({"total_energy": 1000, "stress": 1000}, ["total_energy"]),
        ({"total_energy": 1000, "forces": 49}, ["total_energy"]),
        ({"forces": 1000}, ["forces"]),
        ({"total_energy": 3, "forces": 3}, ["total_energy", "forces"]),
    ],
)
def test_labels_in_the_loss(facts, labels, expected):
    choice = rules.learnt_labels(facts(labels=labels))
    assert choice.value == expected
    left = sorted(set(labels) - set(expected))
    assert ("are left out" in choice.reason) == bool(left)


def test_energies_weigh_more_at_the_end_for_cells(facts):
    labels = ["total_energy", "forces", "stress"]
    start = {"total_energy": 1.0, "forces": 1.0, "stress": 10.0}
    for atoms, final in ((9, 1.0), (20, 1.0), (64, 10.0)):
        found = facts(n_atoms=Sizes(atoms, atoms, atoms))
        assert rules.loss_weights(found, labels).value == start
        assert rules.loss_weights(found, labels, final=True).value == {**start, "total_energy": final}
    assert rules.loss_weights(found, ["forces"]).value == {"forces": 1.0}


def test_large_errors_are_those_of_the_data(facts):
    labels = ["total_energy", "forces", "stress"]
    found = rules.huber(facts(forces_rms=1.25), labels)
    assert found.value == 0.05
    core = LossOptions(huber=found.value).huber_of(labels)
    others = pytest.approx(found.value * rules.HUBER_OTHERS)
    assert core == {"total_energy": others, "forces": found.value, "stress": others}
    assert "1.25" in found.reason
    assert rules.huber(facts(forces_rms=12.5), labels).value == 0.5
    assert rules.huber(facts(forces_rms=None), ["total_energy"]).value is None


ELEMENTS = dict.fromkeys(["H", "He", "Li", "Be", "B", "C", "N", "O", "F"], 9)


def test_energies_of_many_elements_are_not_lost_beside_the_forces(facts):
    labels = ["total_energy", "forces", "stress"]
    many = facts(elements=ELEMENTS, forces_rms=1.25, energy_spread=1.0, n_atoms=Sizes(64, 64, 64))
    found = rules.huber(many, labels)
    assert found.value == {"total_energy": 0.03, "forces": 0.05, "stress": 0.005}
    assert "beyond 0.03" in found.reason
    assert rules.huber(many, ["forces"]).value == 0.05
    clear = facts(elements=ELEMENTS, forces_rms=1.25, energy_spread=0.01)
    assert rules.huber(clear, labels).value["total_energy"] == 0.005, "never less than with few elements"
    assert rules.loss_weights(many, labels, final=True).value == rules.loss_weights(many, labels).value


def test_few_large_forces_do_not_set_the_scale(facts):
    assert facts(forces_rms=1.3, forces_mean=0.23).forces_size == pytest.approx(0.288, abs=0.001)
    assert facts(forces_rms=1.0, forces_mean=0.6).forces_size == 1.0
    assert facts(forces_rms=1.0).forces_size == 1.0
    assert facts(forces_rms=None).forces_size is None


def test_nothing_is_weighed_against_forces_that_are_not_there(facts):
    assert rules.loss_weights(facts(), ["total_energy"]).value == {"total_energy": 1.0}


@pytest.mark.parametrize(("value", "expected"), [(1.0, 1.0), (1.5, 2.0), (75.0, 100.0), (0.0024, 0.002), (6.9, 5.0)])
def test_rounded(value, expected):
    assert rules.rounded(value) == expected


SHELLS = Surroundings({4.0: 14.0, 4.5: 19.0, 5.0: 21.0, 5.5: 40.0, 6.0: 60.0}, 2.5)
CRYSTAL = {"periodic": "all", "n_atoms": Sizes(54, 54.0, 54)}


@pytest.mark.parametrize(
    ("given", "family", "expected"),
    [
        ({}, "nequip", 4.0),
        ({"n_atoms": Sizes(40, 40.0, 40)}, "nequip", 6.0),
        ({"n_atoms": Sizes(25, 25.0, 25)}, "nequip", 4.5),
        ({"n_atoms": Sizes(2, 2.0, 2), "surroundings": Surroundings(dict.fromkeys(RADII, 0.9), 4.7)}, "nequip", 5.0),
        (CRYSTAL | {"surroundings": SHELLS},
         "nequip", 5.0),
        (CRYSTAL | {"surroundings": SHELLS},
         "allegro", 5.5),
        (CRYSTAL | {"surroundings": Surroundings(dict.fromkeys((4.0, 4.5, 5.0, 5.5, 6.0), 50.0), 3.6)}, "nequip", 5.5),
        (CRYSTAL | {"surroundings": Surroundings(dict.fromkeys((4.0, 4.5, 5.0, 5.5, 6.0), 2.0), 5.0)}, "nequip", 6.0),
    ],
)  # fmt: skip
def test_radius(facts, given, family, expected):
    assert rules.radius(facts(**given), family).value == expected


def test_family(facts):
    assert rules.family(facts(), None).value == "nequip"
    assert rules.family(facts(n_atoms=Sizes(9, 1000.0, 2000)), None).value == "allegro"
    assert rules.family(facts(n_atoms=Sizes(9, 1000.0, 2000)), "nequip") == rules.Choice("nequip", "asked for")


@pytest.mark.parametrize("family", ["nequip", "allegro"])
def test_sizes_grow(facts, family):
    sizes = rules.sizes(facts(), family)
    for edges in (100, 5000):
        costs = [one.seconds(edges) for one in sizes]
        assert costs == sorted(costs)
    many = facts(elements=dict.fromkeys("abcdefghi", 1))
    assert all(one.width >= rules.WIDE for one in rules.sizes(many, family))


@pytest.mark.parametrize(
    ("given", "train", "forces", "expected"),
    [
        ({}, 900, True, 4),
        ({}, 8, True, 2),
        ({}, 3, True, 1),
        ({"n_atoms": Sizes(3, 3.0, 3)}, 900, True, 5),
        ({"n_atoms": Sizes(3, 3.0, 3), "n_frames": 10_001}, 9000, True, 16),
        ({"n_atoms": Sizes(3, 3.0, 3)}, 900, False, 27),
        ({"n_atoms": Sizes(500, 500.0, 500)}, 900, True, 1),
        ({"n_atoms": Sizes(60, 60.0, 60)}, 900, True, 1),
        ({"n_atoms": Sizes(60, 60.0, 60), "elements": dict.fromkeys("abcdefghi", 9)}, 900, True, 5),
        ({"n_atoms": Sizes(500, 500.0, 500), "elements": dict.fromkeys("abcdefghi", 9)}, 900, True, 1),
    ],
)
def test_batches(facts, given, train, forces, expected):
    assert rules.batch_size(facts(**given), 4.0, train, forces=forces).value == expected


def test_edges_between_the_radii(facts):
    assert facts().edges_per_frame(5.0) == 14.0 * 20
    assert facts().edges_per_frame(7.0) == pytest.approx(17.0 * 20 * (7 / 6) ** 3)


def test_learning_rate_and_average(facts):
    rates = [rules.learning_rate(facts(), width, forces=True).value for width in (16, 32, 64, 0)]
    assert rates == [0.03, 0.02, 0.02, rules.PRESET_LEARNING_RATE]
    assert rules.learning_rate(facts(), 16, forces=False).value == rules.ENERGY_LEARNING_RATE
    many = facts(elements=dict.fromkeys("abcdefghi", 1))
    assert rules.learning_rate(many, 32, forces=True).value == rules.VARIED_LEARNING_RATE
    assert (rules.ema_decay(4999).value, rules.ema_decay(5000).value) == (0.99, 0.999)
    assert [rules.warmup_steps(steps) for steps in (10, 4000, 10**6)] == [1, 80, 200]


def test_more_time_is_for_more_steps_first_and_then_for_larger_models(facts):
    few, many = facts(), facts(elements=dict.fromkeys("abcdefghi", 1))
    assert [rules.steps_wanted(few, minutes, 225) for minutes in (0.1, 3, 15, 600)] == [4000, 4000, 18_000, 50_000]
    assert [rules.steps_wanted(few, minutes, 9) for minutes in (3, 15, 600)] == [4000, 7200, 7200]
    assert rules.steps_wanted(few, 15, 1) == 4000
    assert [rules.steps_wanted(many, minutes, 225) for minutes in (3, 15, 600)] == [4000, 6000, 50_000]


def test_validation_takes_its_share(facts):
    split = rules.Split(900, 100, 0)
    found = rules.validation_interval(100_000, split, 5).value
    assert found == {"check_val_every_n_epoch": 11}, "2000 steps of 180 in an epoch"
    long = rules.validation_interval(1000, rules.Split(90_000, 500, 0), 5).value
    assert long == {"check_val_every_n_epoch": None, "val_check_interval": 350}, "500 frames cost 35 steps"
    short = rules.validation_interval(100, rules.Split(16, 4, 0), 4).value
    assert short == {"check_val_every_n_epoch": 1}


@pytest.mark.parametrize(("frames", "expected"), [(20, 10), (500, 15), (2000, 30), (10**6, 120)])
def test_minutes_without_any(facts, frames, expected):
    assert rules.default_minutes(facts(n_frames=frames)).value == expected


def test_repulsion_says_how_close_atoms_are(facts):
    assert "0.80 sums of covalent radii" in rules.repulsion(facts()).reason
    assert "near each other" in rules.repulsion(facts(surroundings=Surroundings(contact=math.inf))).reason
    for contact, end in ((0.2, 0.6), (0.74, 0.7), (0.8, 0.8), (1.3, 1.0), (math.inf, 1.0)):
        assert rules.repulsion(facts(surroundings=Surroundings(contact=contact))).value == pytest.approx(end), contact


def test_the_page_has_the_rules_of_the_code():
    assert fit_rules.page() == fit_rules.PAGE.read_text(encoding="utf-8"), "run: python tools/fit_rules.py"


def test_every_number_of_the_rules_is_on_the_page(monkeypatch):
    """A number that changes changes the page, so that none can be forgotten there."""
    unsaid = {"EVALUATION_COST", "COMPILE", "COMPILE_PART"}  # of other modules
    before = rules_text()
    for name, value in vars(rules).items():
        if name.isupper() and isinstance(value, (int, float)) and name not in unsaid:
            with monkeypatch.context() as patch:
                patch.setattr(rules, name, value * 3 + 1)
                assert rules_text() != before, name
