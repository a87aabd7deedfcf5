"""Each broken toy is caught by the check meant for it, named first, with at most three failing; healthy ones pass."""

import json
import re
from pathlib import Path

import pytest
from broken_toys import LIMIT, TOYS, heads, row_of, unharmed
from broken_toys.modifiers import adapting, freezing, thawed
from broken_toys.pairs import Coulomb, pair_potential_of
from broken_toys.stats import Sound
from broken_toys.targets import Sound as SoundTarget
from broken_toys.terms import (
    ByHand,
    Dispersion,
    FromCharges,
    FromFeatures,
    WithCharges,
    options_of,
)

from equipot_testing._checklist import PREFIX
from equipot_testing.conformance import (
    EnergyTermConformance,
    ExportTargetConformance,
    ModelBuilderConformance,
    ModifierConformance,
    PairPotentialConformance,
    StatsManagerConformance,
)
from equipot_testing.toy import ToyFeatures, ToyModel

MATRIX = json.loads((Path(__file__).parents[3] / "docs/reference/catch_matrix.json").read_text(encoding="utf-8"))
SEPARATE = {"import_has_no_side_effects", "trace"}
"""Checks that take a second or more: run on the toys that the stored matrix says fail them."""

# ------------------------------------------------------------------------------- healthy


class TestHealthyModel(ModelBuilderConformance):
    target = ToyModel


class TestHealthyPairPotential(PairPotentialConformance):
    target = pair_potential_of(Coulomb)


@pytest.mark.slow
class TestHealthyTermOfOwnRadius(EnergyTermConformance):
    target = options_of(Dispersion)
    test_trace = None  # the other term's


class TestHealthyTermFromPositions(EnergyTermConformance):
    target = options_of(ByHand)

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()


class TestHealthyHead(heads.Kit):
    target = staticmethod(heads.modifier_of(heads.Charges))


@pytest.mark.slow
class TestHealthyHeadForIons(heads.Kit):
    target = staticmethod(heads.modifier_of(heads.Ions))


@pytest.mark.slow
class TestHealthyHeadForMolecules(heads.Kit):
    target = staticmethod(heads.modifier_of(heads.Shapes))


@pytest.mark.slow
class TestHealthyModelWithFeatures(ModelBuilderConformance):
    target = ToyFeatures


class TestHealthyTermFromFeatures(EnergyTermConformance):
    target = options_of(FromFeatures)
    test_trace = None  # the other term's


@pytest.mark.slow
class TestHealthyTermFromCharges(WithCharges):
    target = options_of(FromCharges)
    test_trace = None


class TestFreezing(ModifierConformance):
    target = staticmethod(freezing)
    model_options = {"do_derivatives": True}  # noqa: RUF012 - read only
    trains = ("energy.weights",)
    model = thawed


class TestAdapting(ModifierConformance):
    target = staticmethod(adapting)
    model_options = {"do_derivatives": True}  # noqa: RUF012 - read only
    renames = True


class TestSoundStatistics(StatsManagerConformance):
    target = Sound
    reads = ("total_energy",)


class TestSoundTarget(ExportTargetConformance):
    target = SoundTarget


class TestCoresOwnTarget(ExportTargetConformance):
    name = "ase"


# -------------------------------------------------------------------------------- broken


def stored(toy):
    return next(row for row in MATRIX["rows"] if row["toy"] == toy.name)


def starts_python(toy):
    check = next(check for check in toy.kit.checks() if check.name == toy.check)
    return check.starts_python or check.name == "declaration_imports_no_torch"


@pytest.mark.parametrize("toy", [toy for toy in TOYS if not starts_python(toy)], ids=lambda toy: toy.name)
def test_toy_is_caught_by_the_check_meant_for_it(toy):
    """The others are caught in the slow test of the whole matrix."""
    with unharmed(), pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
        getattr(toy.kit(), PREFIX + toy.check)()
    assert re.search(toy.words, f"{type(caught.value).__name__}: {caught.value}")


def test_stored_matrix_is_of_these_toys_and_keeps_the_promise():
    """Written by ``python tools/catch_matrix.py``."""
    assert [(row["toy"], row["fault"], row["meant"]) for row in MATRIX["rows"]] == [
        (toy.name, toy.fault, toy.check) for toy in TOYS
    ]
    for row in MATRIX["rows"]:
        assert row["failing"][0] == row["meant"], row
        assert len(row["failing"]) <= LIMIT, row
    assert len(TOYS) >= 140


GUARDED = {
    "no_open_options": "modifiers break it; a builder would have to be no dataclass",
    "package": "only declared builders can be packaged",
    "undeclared_fields_not_read": "core hands over declared fields only",
    "unknown_option": "the dataclass refuses",
}
"""Checks of model builders that no toy can fail first, and why."""


def test_each_check_of_model_builders_has_a_toy():
    checks = {check.name for check in ModelBuilderConformance.checks() if not check.slow}
    caught = {toy.check for toy in TOYS if toy.kit.kind == "model_builders"}
    assert checks - caught == GUARDED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_matrix_is_what_the_kit_finds(toy):
    expected = stored(toy)
    row, outcomes = row_of(toy, without=SEPARATE - set(expected["failing"]))
    assert row == expected
    first = next(outcome for outcome in outcomes if outcome.broken)
    assert re.search(toy.words, first.message)


# ----------------------------------------------------------------------------- the flags


def test_expected_failure_must_name_a_check():
    with pytest.raises(TypeError, match="no check named 'rotation'"):
        type("Kit", (ModelBuilderConformance,), {"expected_failures": {"rotation": "it is spelled otherwise"}})


def test_expected_failure_stays_with_its_class():
    flagged = type("Kit", (ModelBuilderConformance,), {"expected_failures": {"locality": "global by design"}})
    reasons = {check.name: check.expected_failure for check in flagged.checks()}
    assert reasons["locality"] == "global by design"
    assert not any(check.expected_failure for check in ModelBuilderConformance.checks())
    assert set(reasons) == {check.name for check in ModelBuilderConformance.checks()}
