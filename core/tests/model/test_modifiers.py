import dataclasses
from types import SimpleNamespace

import pytest
import torch

from equipot.errors import ConfigError, PluginError
from equipot.model import AppliedModifier
from equipot.model._modifiers import apply_modifier, apply_modifiers, as_records, from_records, reapply
from equipot.plugins import PluginHost, plugins
from equipot_testing.conformance import ModifierConformance
from equipot_testing.frames import bulk
from equipot_testing.toy import ToyModel

NAME = "modify_PerTypeScaleShift"


class TestPerTypeScaleShift(ModifierConformance):
    name = NAME
    options = {"shifts": {"H": 3.0}, "scales": 2.0, "scales_trainable": True}  # noqa: RUF012 - read only
    changes = ("scale_shift.",)
    keeps_energies = False


def toy(**options):
    base = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64", "do_derivatives": False}
    return ToyModel(**{**base, **options}).build()


def test_types_that_are_not_named_keep_their_values():
    model = toy(per_type_energy_shifts={"H": -1.0, "C": -2.0}, per_type_energy_scales={"H": 3.0, "C": 4.0})
    changed = apply_modifier(model, NAME, {"shifts": {"C": -9.0}})
    assert changed.scale_shift.values("shifts") == {"H": -1.0, "C": -9.0}
    assert changed.scale_shift.values("scales") == {"H": 3.0, "C": 4.0}
    assert model.scale_shift.values("shifts") == {"H": -1.0, "C": -2.0}


def test_one_value_serves_all_types():
    changed = apply_modifier(toy(), NAME, {"scales": 2.5})
    assert changed.scale_shift.values("scales") == {"H": 2.5, "C": 2.5}


def test_trainable_values_become_parameters():
    changed = apply_modifier(toy(), NAME, {"scales_trainable": True, "shifts_trainable": True})
    assert {"scale_shift.scales", "scale_shift.shifts"} <= dict(changed.named_parameters()).keys()


def test_what_was_trained_is_trained_on_unless_asked_otherwise():
    model = toy(per_type_energy_scales=2.0, per_type_energy_scales_trainable=True)

    def trained(**options):
        changed = apply_modifier(model, NAME, options)
        return [name for name, _ in changed.named_parameters() if name.startswith("scale_shift.")]

    assert trained(shifts={"H": 1.0}) == ["scale_shift.scales"]
    assert trained(scales=3.0) == ["scale_shift.scales"]
    assert trained(shifts=1.0, shifts_trainable=True) == ["scale_shift.scales", "scale_shift.shifts"]
    assert trained(scales_trainable=False) == []


def test_energies_follow_the_new_values():
    model = toy().eval()
    changed = apply_modifier(model, NAME, {"scales": 3.0, "shifts": {"H": 1.0, "C": -2.0}}).eval()
    graph = bulk(2).graph(model.info)
    shifts = torch.tensor([1.0, -2.0], dtype=torch.float64)[graph["atom_types"]]
    torch.testing.assert_close(changed(graph)["atomic_energy"], 3.0 * model(graph)["atomic_energy"] + shifts)


def test_unknown_type_is_refused():
    with pytest.raises(ConfigError, match="per_type_energy_shifts.Hh: unknown type name; did you mean 'H'"):
        apply_modifier(toy(), NAME, {"shifts": {"Hh": 1.0}})


def test_unknown_modifier_names_the_nearest():
    with pytest.raises(PluginError, match=f"no modifier named 'modify_PerTypeScaleShit'.*Did you mean '{NAME}'"):
        apply_modifier(toy(), "modify_PerTypeScaleShit")


def test_wrong_option_value():
    with pytest.raises(ConfigError, match=f"modifier {NAME}.scales: must be a number or must be a mapping, got 'x'"):
        apply_modifier(toy(), NAME, {"scales": "x"})


def test_several_in_order():
    model = apply_modifiers(toy(), [(NAME, {"scales": 2.0}), (NAME, {"scales": 5.0})])
    assert model.scale_shift.values("scales") == {"H": 5.0, "C": 5.0}
    assert [applied.options["scales"] for applied in model.modifiers] == [2.0, 5.0]


def test_records_survive_plain_containers():
    model = apply_modifier(toy(), NAME, {"shifts": {"H": 2.0}})
    records = as_records(model.modifiers)
    assert records == [
        {
            "name": NAME,
            "options": {"shifts": {"H": 2.0}},
            "distribution": "equipot",
            "version": model.modifiers[0].version,
            "exact_without": False,
        }
    ]
    assert from_records(records) == model.modifiers
    again = reapply(toy(), from_records(records))
    assert again.scale_shift.values("shifts") == {"H": 2.0, "C": 0.0}


def test_a_missing_modifier_of_a_stored_model_says_what_to_install():
    applied = AppliedModifier("sharpen", {}, "equipot-sharp", "1.4")
    with pytest.raises(PluginError) as caught:
        reapply(toy(), [applied])
    text = str(caught.value)
    assert text.startswith("the model was made with the modifier 'sharpen': no modifier named 'sharpen'")
    assert text.endswith("; pip install 'equipot-sharp>=1.4'")


def test_a_modifier_that_is_never_stored_is_not_applied_from_a_file(monkeypatch):
    """It may compile code, as kernels do."""
    entry = dataclasses.replace(plugins().lookup("modifiers", NAME).entry, persistent=False)
    monkeypatch.setattr(PluginHost, "lookup", lambda *_: SimpleNamespace(entry=entry))
    with pytest.raises(PluginError, match=f"modifier {NAME}: is not one that stored models have"):
        reapply(toy(), [AppliedModifier(NAME, {}, "equipot", "1.0")])
