"""Golden frames bind the facts of a manifest; every digest that can be computed anew is right in these files."""

import copy

import pytest
import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import load_model, read_package, verify, write_package
from equipot.errors import ArtifactError
from equipot_test_support.forgery import Forgery


def facts(forgery):
    return forgery.manifest["model"]


def swap(names):
    names[0], names[1] = names[1], names[0]


def other_order_of_types(forgery):
    swap(facts(forgery)["type_names"])
    swap(facts(forgery)["chemical_species"])
    swap(forgery.manifest["atomic_numbers"])


def consistent_order_of_types(forgery):
    other_order_of_types(forgery)
    swap(forgery.config["type_names"])
    cutoffs = facts(forgery)["cutoffs"]
    swap(cutoffs)
    for row in cutoffs:
        swap(row)


def consistent_r_max(forgery):
    facts(forgery)["r_max"] = forgery.config["r_max"] = 4.1
    table = facts(forgery)["cutoffs"]
    facts(forgery)["cutoffs"] = [[4.1 if radius == 4.0 else radius for radius in row] for row in table]


def consistent_cutoff(forgery):
    forgery.config["per_edge_type_cutoff"]["H"] = 2.9
    facts(forgery)["cutoffs"][1] = [2.9] * 3


def units(forgery):
    facts(forgery)["units"] = "real"


def without_forces(forgery):
    facts(forgery)["outputs"] = ["atomic_energy", "total_energy"]


def without_modifier(forgery):
    without_forces(forgery)
    forgery.manifest["modifiers"] = []


FACTS = {
    "order of types": (other_order_of_types, r"type_names is \['H', 'C', 'O'\], but .* \['C', 'H', 'O'\]"),
    "order of types in the config too": (
        consistent_order_of_types,
        "type_names is .* were made with",
    ),
    "r_max": (
        lambda forgery: facts(forgery).update(r_max=5.0),
        "r_max is 5.0, but the golden frames were made with 4.0",
    ),
    "r_max in the config too": (consistent_r_max, "r_max is 4.1, but the golden frames were made with 4.0"),
    "cutoffs": (lambda forgery: facts(forgery).update(cutoffs=None), "manifest.model: cutoffs is None"),
    "cutoffs in the config too": (consistent_cutoff, "manifest.model: cutoffs is .*2.9"),
    "units": (units, "manifest.model: units is 'real', but the golden frames were made with 'metal'"),
    "species": (
        lambda forgery: facts(forgery).update(chemical_species=["C", "H", "N"]),
        r"manifest.model: chemical_species is \['C', 'H', 'N'\]",
    ),
    "atomic numbers": (
        lambda forgery: forgery.manifest.update(atomic_numbers=[6, 1, 7]),
        r"manifest.atomic_numbers: must be \(6, 1, 8\), as of chemical_species, got \[6, 1, 7\]",
    ),
    "no atomic numbers": (lambda forgery: forgery.manifest.update(atomic_numbers=None), "atomic_numbers: must be"),
    "dtype": (lambda forgery: facts(forgery).update(model_dtype="float32"), "manifest.model: model_dtype is"),
    "locality": (lambda forgery: facts(forgery).update(locality="hops(2)"), "manifest.model: locality is"),
    "edge sets": (lambda forgery: facts(forgery).update(edge_sets=[["far", 9.0]]), "manifest.model: edge_sets is"),
    "inputs": (lambda forgery: facts(forgery)["inputs"].append("total_charge"), "manifest.model: inputs is"),
    "outputs": (without_forces, "manifest.model: outputs is"),
    "modifiers": (without_modifier, "manifest.model: outputs is"),
    "plugins": (
        lambda forgery: forgery.manifest["plugins"].update(toolbox="99"),
        "needs toolbox 99",
    ),
    "kind": (lambda forgery: forgery.manifest.update(kind="compiled"), "is not a package"),
    "shifts": (
        lambda forgery: forgery.config.update(per_type_energy_shifts={"C": -1.0, "H": -1.0, "O": -1.0}),
        None,
    ),
}


@pytest.mark.parametrize(("edit", "message"), FACTS.values(), ids=FACTS)
def test_an_edited_fact_is_found_when_all_digests_are_repaired(package_file, edit, message):
    before = load_model(package_file)
    forgery = Forgery(package_file)
    edit(forgery)
    forgery.write()
    if message is None:  # an option that only gives initial values of stored weights
        frame = golden.random_frames(before.info, 3)["triclinic"]
        assert torch.equal(load_model(package_file)(frame)["forces"], before(frame)["forces"])
        return
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(package_file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("edit", [consistent_r_max, consistent_cutoff, without_modifier])
def test_what_changes_numbers_is_found_without_stored_facts_too(package_file, edit):
    """Packages from before the facts were stored with the frames."""
    forgery = Forgery(package_file)
    forgery.facts = {}
    forgery.write()
    load_model(package_file)
    edit(forgery)
    forgery.write()
    with pytest.raises(ArtifactError, match="does not reproduce its golden frames|must have the outputs"):
        load_model(package_file)


def without_frames(tensors):
    tensors.clear()


def cut(value):
    return value[1:].clone()


def rename(old, new):
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def replaced(name, change):
    return lambda tensors: tensors.update({name: change(tensors[name])})


FRAMES = {
    "none": (without_frames, "has no golden frames"),
    "unknown part": (rename("molecule/out/forces", "molecule/more/forces"), "unknown tensor"),
    "missing shifts": (lambda tensors: tensors.pop("molecule/ref/shifts"), "frame 'molecule' is incomplete"),
    "missing input": (lambda tensors: tensors.pop("molecule/in/cell"), "must have the inputs"),
    "unknown input": (rename("molecule/in/cell", "molecule/in/cells"), "must have the inputs"),
    "missing output": (lambda tensors: tensors.pop("molecule/out/forces"), "must have the outputs"),
    "nan": (replaced("molecule/out/forces", lambda value: value * float("nan")), r"reproduce .*'forces': 'inf'"),
    "infinite": (replaced("molecule/out/forces", lambda value: value + float("inf")), r"reproduce .*'forces': 'inf'"),
    "huge shifts": (replaced("molecule/ref/shifts", lambda value: value * 1e30), "other energies of isolated atoms"),
    "shape of shifts": (replaced("molecule/ref/shifts", cut), "'molecule' is incomplete"),
    "shape of output": (
        replaced("molecule/out/forces", cut),
        r"forces: must have the shape",
    ),
    "dtype of output": (replaced("molecule/out/stress_mask", lambda value: value.double()), "does not reproduce"),
    "complex input": (replaced("molecule/in/positions", lambda value: value.to(torch.complex64)), "complex inputs"),
    "edges out of range": (
        replaced("molecule/in/edge_index", lambda value: value + 1),
        "must be from 0 to 5",
    ),
    "edges out of order": (replaced("molecule/in/edge_index", lambda value: value.flip(1).clone()), "sorted by centre"),
    "types out of range": (
        replaced("molecule/in/atom_types", lambda value: value + 9),
        "must be from 0 to 2",
    ),
    "shape of input": (
        replaced("molecule/in/positions", cut),
        "positions: must have the shape",
    ),
    "scalar input": (replaced("molecule/in/atom_types", lambda value: value[0].clone()), "at least one atom"),
    "no types": (replaced("molecule/in/atom_types", lambda value: value[:0].clone()), "at least one atom"),
    "other positions": (replaced("molecule/in/positions", lambda value: value * 1.01), "does not reproduce"),
}


@pytest.mark.parametrize(("edit", "message"), FRAMES.values(), ids=FRAMES)
def test_damaged_frames_are_refused(package_file, edit, message):
    forgery = Forgery(package_file)
    edit(forgery.golden)
    forgery.write()
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(package_file)
    assert "\n" not in str(caught.value)


def test_a_frame_with_very_many_edges_is_not_replayed(package_file):
    forgery = Forgery(package_file)
    for name in ("molecule", "triclinic"):
        for key in ("edge_index", "edge_cell_shift"):
            value = forgery.golden[f"{name}/in/{key}"]
            forgery.golden[f"{name}/in/{key}"] = value.repeat(*((1, 2000) if key == "edge_index" else (2000, 1)))
    forgery.write()
    with pytest.raises(ArtifactError, match="must have at most 20000 edges"):
        load_model(package_file)


def test_frames_without_edges_are_replayed_if_there_are_no_others(make_model, tmp_path):
    model, path = make_model(), tmp_path / "a.equipot.zip"
    write_package(model, path)
    forgery = Forgery(path)
    forgery.golden = {key: value for key, value in forgery.golden.items() if key.startswith("atom/")}
    forgery.write()
    assert [frame.name for frame in read_package(path).golden] == ["atom"]
    assert max(verify(path).values()) == 0.0


def test_nan_never_counts_as_equal(make_model):
    model = make_model()
    (frame,) = [frame for frame in golden.record(model) if frame.name == "molecule"]
    outputs = copy.deepcopy(frame.outputs)
    outputs["virial"][0, 0, 0] = float("nan")
    stored = golden.GoldenFrame(frame.name, frame.inputs, outputs, frame.shifts)
    assert golden.replay(model, [frame])["virial"] == 0.0
    assert golden.replay(model, [stored])["virial"] == float("inf")
