import dataclasses
import functools
import re

import pytest

from equipot.artifacts import _golden as golden
from equipot.compile import ExportTarget, export_model, for_target, metadata_of
from equipot.compile._for_target import find_target
from equipot.errors import ConfigError, PluginError, PluginNotFoundError
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot.pair_potentials import ZBL
from equipot_test_support.terms import ReadingTerm, Reads
from equipot_testing.conformance import ExportTargetConformance
from equipot_testing.toy import ToyFeatures, ToyMessages, ToyMessagesEnergy, ToyModel

ENERGIES = ("atomic_energy", "total_energy")


class Engine(ExportTarget):
    """One with ghost atoms, as plugins have them."""

    inputs = ("owned",)
    outputs = ("virial", *ENERGIES, "edge_forces", "forces")
    localities = ("strict",)
    units = ("metal",)
    native = True

    def metadata(self, info):
        return {"engine_layers": str(len(info.edge_sets))}


class TellingEnergy(ToyMessagesEnergy):
    """Gives terms something to read."""

    provides = ("told",)

    def forward(self, data):
        found = super().forward(data)
        return {**found, "told": found["atomic_energy"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Telling(ToyModel):
    def build_energy(self, context):
        return TellingEnergy(context)


def toy(recipe=ToyModel, **options):
    return recipe(**{"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64", **options}).build().eval()


# ------------------------------------------------------------------------------ finding one


def test_engines_are_found_by_name():
    assert type(find_target("ase")).__name__ == "AseTarget"
    with pytest.raises(PluginNotFoundError, match=r"no export target named 'asee'; installed: .*Did you mean 'ase'\?"):
        find_target("asee")


SOURCE = """
from equipot import hookimpl
from equipot.compile import ExportTarget
from equipot.declarations import ExportTargetEntry


class Failing(ExportTarget):
    def refusals(self, info):
        raise KeyError("no such unit")


class Late(ExportTarget):
    def metadata(self, info):
        return {"late": str(1 // 0)}


def not_a_class():
    return None


@hookimpl
def equipot_export_targets():
    for name in ("Failing", "Late", "not_a_class"):
        yield ExportTargetEntry(name=name, target=f"{__name__}.{name}", summary="A test")
"""


@pytest.mark.usefixtures("fresh_plugins")
def test_the_fault_of_an_engine_is_one_line_with_plugin_file_and_line(install):
    module = install("bad-dist", "bad", SOURCE)
    place = rf"plugin 'bad' \(bad-dist 1\.2\.3\): .*{module}\.py, line "
    with pytest.raises(
        PluginError, match=rf"^compile\.target Failing: {place}9, in refusals \(raise KeyError.*KeyError"
    ):
        for_target(toy(), "Failing", find_target("Failing"))
    ready = for_target(toy(), "Late", find_target("Late"))
    with pytest.raises(PluginError, match=rf"^compile\.target Late: {place}14, in metadata .*ZeroDivisionError"):
        metadata_of(ready, "0", {})
    with pytest.raises(
        PluginError, match=r"plugin 'bad' \(bad-dist 1\.2\.3\): '.*not_a_class', .*, must be a class, got"
    ):
        find_target("not_a_class")


# --------------------------------------------------------------------------------- refusals


REFUSED = {
    "message passing": (
        lambda: toy(ToyMessages),
        r"component 'energy' \(ToyMessagesEnergy\), whose locality is 'hops\(2\)'; it serves models of locality strict",
    ),
    "a term that reads positions": (
        lambda: toy(energy_terms={"trap": Reads(fields=("positions",))}),
        r"component 'trap' \(ReadingTerm\), whose locality is 'global'",
    ),
    "no forces": (lambda: toy(do_derivatives=False), "enable_ForceStressOutput"),
    "a charge": (
        lambda: toy(energy_terms={"ions": Reads(fields=("total_charge",))}),
        "cannot give the input 'total_charge', which the component 'ions' needs",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_engine_cannot_serve_is_refused_by_name(case):
    make, words = REFUSED[case]
    with pytest.raises(ConfigError, match=words) as caught:
        for_target(make(), "engine", Engine())
    assert all(text.startswith("compile.target engine: ") for text in caught.value.problems)


def test_other_units_are_refused():
    model = toy()
    model.info = dataclasses.replace(model.info, units="real")
    with pytest.raises(
        ConfigError, match="cannot serve the model's unit system, got 'real'; it serves models in metal"
    ):
        for_target(model, "engine", Engine())


def test_all_reasons_are_given_at_once():
    class Choosy(Engine):
        def refusals(self, info):
            return ["choosy: too small"]

    terms = {"ions": Reads(fields=("total_charge",)), "trap": Reads(fields=("positions",))}
    with pytest.raises(ConfigError) as caught:
        for_target(toy(ToyMessages, do_derivatives=False, energy_terms=terms), "engine", Choosy())
    found = "\n".join(caught.value.problems)
    assert all(word in found for word in ("'energy'", "'trap'", "total_charge", "enable_Force", "choosy: too small"))


class NoEnergies(Engine):
    outputs = ("forces",)


class Velocities(Engine):
    inputs = ("velocities",)


class Other(Engine):
    def adapted(self, model):
        return toy()


class NoModel(Engine):
    def adapted(self, model):
        return None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (NoEnergies, r"compile.target x.outputs: must name \['atomic_energy', 'total_energy'\], got \['forces'\]"),
        (Velocities, r"compile.target x.inputs: must be of \['owned'\], got \['velocities'\]"),
        (Other, "its method adapted must return a GraphModel with the same info"),
        (NoModel, "its method adapted must return a GraphModel with the same info"),
    ],
)
def test_an_unusable_engine_is_at_fault_itself(target, words):
    with pytest.raises(PluginError, match=words):
        for_target(toy(type_names=["H", "O"]), "x", target())


# ------------------------------------------------------------------------- inputs and outputs


def test_inputs_and_outputs_are_those_of_the_engine_in_its_order():
    model = toy(energy_terms={"far": Reads(radius=5.5)})
    ready = for_target(model, "engine", Engine())
    assert ready.outputs == ("virial", *ENERGIES, "edge_forces", "edge_forces:far", "forces")
    assert ready.info.outputs == ready.outputs
    assert ready.info.inputs == (*model.info.inputs, "owned")
    assert "edge_forces" not in model.info.outputs


def test_a_stress_brings_its_mask():
    class Cells(ExportTarget):
        outputs = (*ENERGIES, "stress", "forces")

    ready = for_target(toy(), "cells", Cells())
    assert ready.outputs == (*ENERGIES, "stress", "stress_mask", "forces")
    assert ready.info.outputs == (*ENERGIES, "stress", "forces")


def test_an_engine_that_asks_for_nothing_gets_all_there_is():
    model = toy()
    assert for_target(model, "ase", find_target("ase")).info.outputs == (*model.info.outputs, "edge_forces")
    trapped = toy(energy_terms={"trap": Reads(fields=("positions",))})
    assert for_target(trapped, "ase", find_target("ase")).info.outputs == trapped.info.outputs
    energies = for_target(toy(do_derivatives=False), "ase", find_target("ase"))
    assert energies.info.outputs == ENERGIES


# ------------------------------------------------------------------------- heads, boundary conditions


class Dipoles(Engine):
    outputs = (*Engine.outputs, "dipole")


class Whole(Engine):
    outputs = (*Engine.outputs, "energy_std")


def with_heads(*names):
    return functools.reduce(apply_modifier, names, toy(ToyFeatures))


@pytest.mark.usefixtures("heads_plugin")
def test_heads_that_an_engine_does_not_read_are_left_out():
    model = with_heads("add_Charges", "add_Uncertainty")
    assert for_target(model, "engine", Engine()).model.heads() == []
    ready = for_target(model, "engine", Dipoles())
    assert [name for name, _ in ready.model.heads()] == ["charges"]
    assert ready.outputs[-1] == "dipole"
    everything = for_target(model, "ase", find_target("ase"))
    assert sorted(everything.info.outputs) == sorted((*model.info.outputs, "edge_forces"))


@pytest.mark.usefixtures("heads_plugin")
def test_a_head_of_whole_frames_is_refused_where_they_come_in_parts():
    expected = r"cannot serve the head 'uncertainty' \(Uncertainty\), which predicts \['energy_std'\] of whole frames"
    with pytest.raises(ConfigError, match=expected):
        for_target(with_heads("add_Uncertainty"), "engine", Whole())


@pytest.mark.usefixtures("heads_plugin")
def test_a_head_must_be_local_enough_for_the_engine():
    model = with_heads("add_Charges")
    model.outputs["charges"].locality = "hops(1)"
    for_target(model, "engine", Engine())
    with pytest.raises(ConfigError, match=r"component 'charges' \(Charges\), whose locality is 'hops\(2\)'"):
        for_target(model, "engine", Dipoles())


@pytest.mark.usefixtures("heads_plugin")
@pytest.mark.parametrize(
    ("reads", "own", "locality", "hops"),
    [
        ((), "strict", "strict", "1:0 1:1"),
        (("edge_index",), "strict", "hops(2)", "2:0 1:1"),  # features of neighbours
        ((), "hops(2)", "hops(3)", "3:0 1:1"),
        (("atomic_energy", "edge_index"), "strict", "hops(2)", "2:0:1"),  # energies of terms, too
    ],
)
def test_the_hops_of_heads_count_where_an_engine_reads_them(reads, own, locality, hops):
    """Ghost atoms must reach as far as what is read, and no further if it is not."""

    class Far(Dipoles):
        localities = ("strict", "hops")

    model = toy(ToyFeatures, energy_terms={"far": Reads(radius=5.5)})
    model = apply_modifier(model, "add_Charges")
    head = model.outputs["charges"]
    head.requires, head.locality = (*type(head).requires, *reads), own
    found = metadata_of(for_target(model, "engine", Far()), "abc", {})
    assert (found["equipot_locality"], found["equipot_hops"]) == (locality, hops)
    found = metadata_of(for_target(model, "engine", Engine()), "abc", {})
    assert (found["equipot_locality"], found["equipot_hops"]) == ("strict", "1:0 1:1")
    whole = metadata_of(for_target(model, "ase", find_target("ase")), "abc", {})
    assert whole["equipot_locality"] == "strict"


def test_an_engine_that_does_not_check_boundary_conditions_cannot_serve_limits():
    model = toy()
    term = ReadingTerm((), None, "strict")
    term.boundary = ("bulk",)
    model = model.replace(energy_terms={"crystal": term})
    assert for_target(model, "ase", find_target("ase")).info.boundary == (("crystal", ("bulk",)),)
    with pytest.raises(ConfigError, match="cannot serve the component 'crystal', which is for bulk only"):
        for_target(model, "engine", Engine())


# ----------------------------------------------------------------------------------- metadata


def test_what_stands_in_the_file():
    model = toy(per_edge_type_cutoff={"C": {"H": 2.5}}, energy_terms={"far": Reads(radius=5.5)})
    found = metadata_of(for_target(model, "engine", Engine()), "abc", {"enable_FusedKernels": {}, "other": {}})
    inputs = "positions cell pbc atom_types batch num_atoms edge_index edge_cell_shift "
    assert found == {
        "equipot_format": "1",
        "equipot_target": "engine",
        "equipot_type_names": "H C",
        "equipot_atomic_numbers": "1 6",
        "equipot_r_max": "4.0",
        "equipot_cutoffs": "4.0 4.0 2.5 4.0",
        "equipot_edge_sets": "far 5.5",
        "equipot_units": "metal",
        "equipot_locality": "strict",
        "equipot_hops": "1:0 1:1",
        "equipot_exchanges": "",
        "equipot_dtype": "float64",
        "equipot_inputs": inputs + "edge_index:far edge_cell_shift:far owned",
        "equipot_outputs": "virial atomic_energy total_energy edge_forces edge_forces:far forces",
        "equipot_golden": "abc",
        "equipot_kernels": "enable_FusedKernels other",
        "engine_layers": "1",
    }


@pytest.mark.parametrize(
    ("recipe", "terms", "hops"),
    [
        (ToyMessages, {"far": Reads(radius=5.5)}, "2:0 1:1"),
        (ToyModel, {"far": Reads(radius=5.5, locality="hops(3)"), "near": Reads(locality="hops(2)")}, "2:0 3:1"),
        # what the term reads of atoms depends on the model's own edges
        (Telling, {"far": Reads(radius=5.5), "read": Reads(radius=6.0, fields=("told",))}, "2:0:2 1:1"),
        # and of neighbours on theirs
        (Telling, {"far": Reads(radius=5.5), "read": Reads(radius=6.0, fields=("told", "edge_index"))}, "3:0:2 1:1"),
    ],
)
def test_the_hops_of_each_set_of_edges_stand_in_the_file(recipe, terms, hops):
    model = toy(recipe, energy_terms=terms)
    found = metadata_of(for_target(model, "ase", find_target("ase")), "abc", {}, (12, 1))
    assert found["equipot_hops"] == hops
    assert found["equipot_exchanges"] == "12 1"


def test_what_is_not_known_is_said_too():
    ready = for_target(toy(type_names=["A", "Bx2"]), "ase", find_target("ase"))
    found = metadata_of(ready, "abc", {})
    assert found["equipot_atomic_numbers"] == "0 0"
    assert (found["equipot_cutoffs"], found["equipot_edge_sets"], found["equipot_kernels"]) == ("", "", "")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"equipot_r_max": "9"}, "must not begin with .*equipot_"),
        ({"AOTI_DEVICE_KEY": "cuda"}, "must not begin with"),
        ({"layers": 3}, "must be texts by name"),
        (None, "must be texts by name"),
    ],
)
def test_an_engine_cannot_replace_facts(own, words):
    class Own(Engine):
        def metadata(self, info):
            return own

    with pytest.raises(PluginError, match=words):
        metadata_of(for_target(toy(), "engine", Own()), "abc", {})


def test_golden_frames_have_a_digest_and_ghosts():
    ready = for_target(toy(), "engine", Engine())
    frames = golden.record(ready.model, info=ready.info, outputs=ready.outputs)
    assert re.fullmatch("[0-9a-f]{64}", golden.digest(frames))
    assert golden.digest(frames) == golden.digest(golden.record(ready.model, info=ready.info, outputs=ready.outputs))
    assert golden.digest(frames) != golden.digest(frames[1:])
    by_name = {frame.name: frame for frame in frames}
    assert by_name.keys() == {"triclinic", "molecule", "atom", "ghosts", "nothing owned"}
    assert all(tuple(frame.outputs) == ready.outputs for frame in frames)
    assert bool(by_name["molecule"].inputs["owned"].all())
    assert 0 < int(by_name["ghosts"].inputs["owned"].sum()) < len(by_name["ghosts"].inputs["owned"])
    assert not by_name["nothing owned"].outputs["forces"].any()
    kept = golden.from_bytes(golden.to_bytes(frames), "x")
    assert golden.replay(ready.model, [dataclasses.replace(one, outputs=ready.model(one.inputs)) for one in kept])


def test_a_model_that_lacks_what_it_states_is_found():
    ready = for_target(toy(), "engine", Engine())
    with pytest.raises(Exception, match=r"does not give the outputs \['dipole'\] that it states"):
        golden.record(ready.model, info=ready.info, outputs=(*ready.outputs, "dipole"))


# ------------------------------------------------------------------------------------- export


@pytest.mark.slow
def test_the_exported_program_knows_ghosts_and_edge_forces_at_all_sizes():
    model = toy(energy_terms={"zbl": ZBL(units="metal")}, per_edge_type_cutoff={"C": {"H": 2.5}})
    ready = for_target(model, "engine", Engine())
    exported = export_model(ready.adapted, more_inputs=ready.target.inputs, outputs=ready.outputs)
    assert (exported.inputs, exported.outputs) == (ready.info.inputs, ready.outputs)
    run = exported.program.module()

    def call(batch):
        return dict(zip(exported.outputs, run(*(batch[key] for key in exported.inputs)), strict=True))

    frames = golden.random_frames(ready.info, 3)
    batches = {**frames, "all": collate([*frames.values(), *frames.values()])}
    worst = golden.replay(call, golden.record(ready.model, batches, info=ready.info, outputs=ready.outputs))
    assert set(worst) == set(ready.outputs)
    assert max(worst.values()) < 1e-12


DECLARED = """
from equipot import hookimpl
from equipot.compile import ExportTarget
from equipot.declarations import ExportTargetEntry


class Ghosts(ExportTarget):
    inputs = ("owned",)
    outputs = ("atomic_energy", "total_energy", "edge_forces", "virial", "forces")
    localities = ("strict",)
    native = True


@hookimpl
def equipot_export_targets():
    yield ExportTargetEntry(name="ghosts", target=f"{__name__}.Ghosts", summary="A test")
"""


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_plugins")
def test_a_compiled_file_with_ghosts_is_split_among_processes(install):
    """What the kit compiles: whole frames, frames in parts, and processes without atoms."""
    install("ghosts-dist", "ghosts", DECLARED)
    attributes = {"name": "ghosts", "builder": "InvariantModel", "builder_options": {"avg_num_neighbors": 12.0}}
    type("Kit", (ExportTargetConformance,), attributes)().test_compiled()
