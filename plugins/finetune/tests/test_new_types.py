import itertools

import pytest
import torch

from equipot.artifacts import ModelFromPackage, load_model, random_frames, write_package
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper
from equipot.errors import ConfigError
from equipot.model import (
    AllegroModel,
    InvariantModel,
    NequIPGNNModel,
    PaiNNModel,
    apply_automatic,
    apply_modifier,
    modify,
)
from equipot.pair_potentials import ZBL
from equipot_allegro import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
from equipot_finetune import ModelWithNewTypes
from equipot_testing.conformance import PartConformance
from equipot_testing.frames import batch_of, molecule

COMMON = {"r_max": 3.5, "avg_num_neighbors": 8.0}
NEQUIP = {"num_layers": 2, "l_max": 1, "num_features": 8, "radial_mlp_width": 8, "parity": False}
ALLEGRO = {"l_max": 1, "num_scalar_features": 8, "num_tensor_features": 4}
BUILDERS = {
    "nequip": lambda **options: NequIPGNNModel(**COMMON, **NEQUIP, **options),
    "bessel": lambda **options: AllegroModel(
        **COMMON, **ALLEGRO, radial_chemical_embed=TwoBodyBesselScalarEmbed(), **options
    ),
    "spline": lambda **options: AllegroModel(
        **COMMON, **ALLEGRO, radial_chemical_embed=TwoBodySplineScalarEmbed(), **options
    ),
    "painn": lambda **options: PaiNNModel(**COMMON, num_layers=2, num_features=8, **options),
    "invariant": lambda **options: InvariantModel(**COMMON, num_channels=4, **options),
}
NAMES = ["H", "C", "O"]
SHIFTS = {"H": -13.6, "C": -1029.0, "O": -2042.0}


def extended(tmp_path, model, **options):
    """The recipe of a model with silicon, through a package."""
    write_package(model, tmp_path / "base.equipot.zip")
    return recipe(tmp_path / "base.equipot.zip", **options)


def recipe(path, **options):
    given = {"type_names": [*NAMES, "Si"], "per_type_energy_shifts": {"Si": -7000.0}, **options}
    return ModelWithNewTypes(model=ModelFromPackage(package_path=str(path)), **given)


def changed(old, new):
    """Names of outputs that are not the same, bit for bit, on frames without the new types."""
    frames = [frame for seed in range(2) for frame in random_frames(old.info, seed).values()]
    pairs = [(old(frame), new(frame)) for frame in frames]
    return {key for expected, found in pairs for key in expected if not torch.equal(found[key], expected[key])}


def check_old_numbers(tmp_path, builder, dtype, names, *, kernels):
    """Bit for bit: products are done type by type, so that none of them grows with the types."""
    old = BUILDERS[builder](type_names=names, model_dtype=dtype).build().eval()
    write_package(old, tmp_path / "base.equipot.zip")
    added = ["S", "P", "F"][: len(names)]
    options = {"type_names": [*names, *added], "per_type_energy_shifts": -50.0, "like": {"S": names[-1]}}
    new = recipe(tmp_path / "base.equipot.zip", **options).build().eval()
    pair = [old, new]
    if kernels:
        pair = [apply_automatic(one)[0] for one in pair]
        for one in pair:
            assert one.evaluator is not None
            one.evaluator.begin_training()  # programs from the first call on
    assert {"total_energy", "forces", "stress"} <= set(old.info.outputs)
    assert changed(*pair) == set()


SOME_TYPES = [["Si"], NAMES, [*NAMES, "N", "Cl"], [*NAMES, "N", "Cl", "Na", "K", "Li", "Mg", "Ca"]]


@pytest.mark.slow
@pytest.mark.parametrize("names", SOME_TYPES, ids=len)
@pytest.mark.parametrize(("builder", "dtype"), list(itertools.product(BUILDERS, ("float32", "float64"))))
def test_old_numbers_stay_bit_for_bit(tmp_path, builder, dtype, names):
    check_old_numbers(tmp_path, builder, dtype, names, kernels=False)


@pytest.mark.slow
@pytest.mark.parametrize("names", SOME_TYPES, ids=len)
@pytest.mark.parametrize(
    ("builder", "dtype"), list(itertools.product(("nequip", "bessel", "spline"), ("float32", "float64")))
)
def test_old_numbers_stay_bit_for_bit_with_kernels(monkeypatch, tmp_path, builder, dtype, names):
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    check_old_numbers(tmp_path, builder, dtype, names, kernels=True)


def test_new_types_begin_like_the_ones_they_are_made_from(tmp_path, make_model):
    """Silicon like carbon: a frame in which carbon is called silicon has the same energy but for the shifts."""
    old = make_model(model_dtype="float64").eval()
    new = extended(tmp_path, old, like={"Si": "C"}, per_type_energy_shifts=-50.0).build().eval()
    frame = batch_of([molecule(3)], old.info)
    types = frame["atom_types"]
    count = int((types == 1).sum())
    assert count
    expected = old(frame)["total_energy"] + count * (-50.0 + 1029.0)
    changed = {**frame, "atom_types": torch.where(types == 1, 3, types)}
    torch.testing.assert_close(new(changed)["total_energy"], expected, rtol=0, atol=1e-9)


def test_without_like_they_are_the_mean(tmp_path, make_model):
    old = make_model()
    new = extended(tmp_path, old).build()
    before, after = old.energy.type_embedding.weight, new.energy.type_embedding.weight
    torch.testing.assert_close(after[3], before.mean(0))
    assert new.scale_shift.values("shifts") == {**SHIFTS, "Si": -7000.0}


def test_values_of_old_types_are_not_used(tmp_path, make_model):
    options = {"per_type_energy_shifts": {**dict.fromkeys(NAMES, 1.0), "Si": -7.0}, "per_type_energy_scales": 2.0}
    new = extended(tmp_path, make_model(), **options).build()
    assert new.scale_shift.values("shifts") == {**SHIFTS, "Si": -7.0}
    assert new.scale_shift.values("scales") == {"H": 1.0, "C": 1.0, "O": 1.0, "Si": 2.0}


def test_terms_cutoffs_and_modifiers_come_along(tmp_path):
    """ZBL gets the new charge, cutoffs are those of the type in like, and recorded modifiers are applied again."""
    made = NequIPGNNModel(
        **COMMON,
        **{**NEQUIP, "num_layers": 1},
        type_names=NAMES,
        pair_potential=ZBL(units="metal", chemical_species=NAMES),
        per_edge_type_cutoff={"H": 2.0, "C": {"H": 2.5}},
    )
    old = apply_modifier(made.build(), "modify_PerTypeScaleShift", {"shifts": {"C": -3.0}, "shifts_trainable": True})
    given = extended(tmp_path, old, like={"Si": "H"})
    new = given.build().eval()
    assert changed(old.eval(), new) == set()
    assert new.info.cutoffs == given.info().cutoffs
    assert new.info.cutoffs[3] == (2.0, 2.0, 2.0, 2.0)
    assert [row[3] for row in new.info.cutoffs] == [2.0, 2.5, 3.5, 2.0]
    assert dict(new.energy_terms)["pair_potential"].pair_energy.charges.tolist() == [1.0, 6.0, 8.0, 14.0]
    assert new.scale_shift.shifts.requires_grad
    assert new.scale_shift.values("shifts") == {"H": 0.0, "C": -3.0, "O": 0.0, "Si": -7000.0}
    assert [one.name for one in new.modifiers] == ["enable_ForceStressOutput", "modify_PerTypeScaleShift"]


def test_what_is_saved_is_a_model_of_its_builder(tmp_path, make_model):
    new = extended(tmp_path, make_model()).build()
    manifest = write_package(new, tmp_path / "new.equipot.zip")
    assert "equipot-finetune" not in manifest.plugins
    loaded = load_model(tmp_path / "new.equipot.zip")
    batch = batch_of([molecule(4)], loaded.info)
    assert torch.equal(loaded(batch)["total_energy"], new.eval()(batch)["total_energy"])
    assert loaded.info.atomic_numbers == (1, 6, 8, 14)


def test_frozen_parts_stay_frozen(package):
    frozen = modify(
        model=ModelFromPackage(package_path=package),
        modifiers=[{"modifier": "freeze_Parts", "parts": ["energy.layers"]}],
    )
    given = {"type_names": [*NAMES, "Si"], "per_type_energy_shifts": {"Si": 0.0}}
    new = ModelWithNewTypes(model=frozen, **given).build()
    layers = [one.requires_grad for name, one in new.named_parameters() if name.startswith("energy.layers.")]
    assert layers
    assert not any(layers)
    assert new.energy.type_embedding.weight.requires_grad


def test_types_that_are_not_elements(package):
    given = {"type_names": [*NAMES, "Si1"], "per_type_energy_shifts": {"Si1": 0.0}}
    with pytest.raises(ConfigError, match=r"chemical_species: \['Si1'\] are not elements; give chemical symbols"):
        recipe(package, **given)
    made = recipe(package, **given, chemical_species=[*NAMES, "Si"])
    assert made.info().chemical_species == (*NAMES, "Si")
    assert made.build().info.atomic_numbers == (1, 6, 8, 14)


def test_data_are_bound_to_all_types(package):
    """Training asks the recipe for the types before it reads the data."""
    mapper = ChemicalSpeciesToAtomTypeMapper(list(recipe(package).info().type_names))
    frame = mapper({"atomic_numbers": torch.tensor([14, 1])})
    assert frame["atom_types"].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"type_names": ["Si", *NAMES]},
            r"type_names: must be the types of the model, \['H', 'C', 'O'\], and then the",
        ),
        ({"type_names": NAMES}, r"type_names: must be the types of the model"),
        ({"type_names": [*NAMES, "H"]}, r"type_names: must be unique, of letters and digits only; wrong: \['H'\]"),
        ({"like": {"Si": "N"}}, r"like.Si: unknown type of the model, got 'N'"),
        ({"like": {"S": "O"}}, r"like.S: unknown new type; did you mean 'Si'"),
        ({"per_type_energy_shifts": {"C": 1.0}}, r"per_type_energy_shifts: no value for the types \['Si'\]"),
        ({"per_type_energy_shifts": {"Sn": 1.0}}, r"per_type_energy_shifts.Sn: unknown type name"),
    ],
)
def test_wrong_options(package, options, message):
    with pytest.raises(ConfigError, match=message):
        recipe(package, **options)


def test_what_does_not_fit_is_named(monkeypatch, make_model):
    model = make_model()
    model.energy.register_buffer("more", torch.zeros(5))

    made = recipe_of(monkeypatch, model)
    with pytest.raises(ConfigError, match=r"ModelWithNewTypes.model: energy.more: exists only with the old number"):
        made.build()


def recipe_of(monkeypatch, model):
    """The recipe with a model of which there is no file."""
    base = NequIPGNNModel(**COMMON, **NEQUIP, type_names=NAMES)
    monkeypatch.setattr(NequIPGNNModel, "build", lambda _self, units="metal": model)
    return ModelWithNewTypes(model=base, type_names=[*NAMES, "Si"], per_type_energy_shifts={"Si": 0.0})


def test_changed_numbers_are_refused(monkeypatch, make_model):
    """A builder whose energies depend on the number of types in a way that tensors do not show."""
    model = make_model()
    model.energy.normalization.mul_(2.0)  # not stored
    with pytest.raises(ConfigError, match=r"model: atomic_energy of frames without the new types would change, by"):
        recipe_of(monkeypatch, model).build()


class TestModelWithNewTypes(PartConformance):
    name = "equipot_finetune.ModelWithNewTypes"
