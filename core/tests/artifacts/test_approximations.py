import dataclasses
import logging

import pytest

from equipot.artifacts import _golden as golden
from equipot.artifacts._golden import approximations_of
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._origins import plugins_used
from equipot.declarations import ModifierEntry
from equipot.errors import ArtifactError
from equipot.model._graph_model import AppliedModifier
from equipot.model._modifiers import as_records, reapply
from equipot.nn.slots import KernelSlot
from equipot_testing.toy import ToyEnergy, ToyModel


class Envelope(KernelSlot):
    def forward(self, x):
        return (1.0 - x).clamp_min(0.0) ** 3


class Coarse(Envelope):
    def __init__(self, source):
        super().__init__()
        self.source = (source,)

    def exact(self):
        return self.source[0]

    def extra_repr(self):
        return "step=0.001"

    def forward(self, x):
        return super().forward(x) + 0.001


class Energy(ToyEnergy):
    def __init__(self, context):
        super().__init__(context)
        self.slot = Envelope()

    def envelope(self, data):
        return self.slot(data["normalized_edge_lengths"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlottedModel(ToyModel):
    """The toy with a slot."""

    def build_energy(self, context):
        return Energy(context)


def model():
    return SlottedModel(type_names=["H", "C"], r_max=3.0, model_dtype="float64", do_derivatives=False).build()


def coarse():
    made = model()
    made.energy.slot = Coarse(made.energy.slot)
    return made


def test_an_exact_model_has_no_approximations():
    exact = model()
    assert exact.exact() is exact
    assert approximations_of(exact) == {}


def test_approximations_are_named_and_measured():
    approximate = coarse()
    exact = approximate.exact()
    assert exact is not approximate
    assert type(exact.energy.slot) is Envelope
    assert type(approximate.energy.slot) is Coarse
    found = approximations_of(approximate)
    assert found["modules"] == ["1 Coarse(step=0.001)"]
    frames = golden.random_frames(approximate.info).values()
    for key in ("atomic_energy", "total_energy"):
        largest = max(float((approximate(frame)[key] - exact(frame)[key]).detach().abs().max()) for frame in frames)
        assert found["deviations"][key] == largest > 1e-5


def test_replay_without_an_approximation_may_deviate_by_what_is_stored():
    approximate, exact = coarse().eval(), model().eval()
    exact.load_state_dict(approximate.state_dict())
    frames = golden.record(approximate)
    allowed = dict.fromkeys(("atomic_energy", "total_energy"), 1.0)
    assert set(golden.check(exact, frames, "float64", "here", allowed).values()) == {0.0}
    with pytest.raises(ArtifactError, match="does not reproduce its golden frames"):
        golden.check(exact, frames, "float64", "here")


def test_a_missing_approximating_modifier_is_left_out_with_a_warning(caplog):
    applied = AppliedModifier("sharpen", {}, "equipot-sharp", "1.4", exact_without=True)
    stored = model()
    with caplog.at_level(logging.WARNING):
        assert reapply(stored, [applied]) is stored
    assert "made with sharpen" in caplog.text
    assert "pip install 'equipot-sharp>=1.4'" in caplog.text


def test_a_plugin_that_only_approximates_is_not_needed():
    applied = AppliedModifier("sharpen", {}, "equipot-sharp", "1.4", exact_without=True)
    needed = dataclasses.replace(applied, distribution="equipot-blunt", exact_without=False)
    assert plugins_used({}, as_records([applied])) == {}
    assert plugins_used({}, as_records([applied, needed])) == {"equipot-blunt": "1.4"}


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ({"modules": "x"}, "modules: must be a list"),
        ({"modules": [1]}, "modules.0: must be a string"),
        ({"deviations": []}, "deviations: must be a mapping"),
        ({"deviations": {"forces": "0"}}, "deviations.forces: must be a number"),
        ({"more": 1}, "more: is an unknown entry"),
    ],
)
def test_damaged_approximations_of_a_file_are_refused(damage, place):
    good = {"modules": ["1 Coarse()"], "deviations": {"forces": 1e-7, "total_energy": 0}}
    info = model().info.to_dict()
    stored = Manifest(kind="package", model=info, approximations=good)
    assert Manifest.from_json(stored.to_json(), "f") == stored
    raw = dataclasses.replace(stored, approximations=good | damage).to_json()
    with pytest.raises(ArtifactError, match=rf"f: manifest\.approximations\.{place}"):
        Manifest.from_json(raw, "f")


def test_only_what_is_stored_can_be_left_out():
    with pytest.raises(ValueError, match="exact_without: only a persistent modifier is stored"):
        ModifierEntry(name="hint", target="toy.hint", summary="A hint", persistent=False, exact_without=True)
