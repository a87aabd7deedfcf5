import dataclasses

import pytest
import torch

from equipot.artifacts import _golden as golden
from equipot.compile import _aotinductor as aotinductor
from equipot.compile import export_model
from equipot.compile._export import Exported, dynamic_shapes, trace_batch
from equipot.errors import ArtifactError, PluginNotFoundError
from equipot.graph import collate
from equipot.model import InvariantModel
from equipot_test_support.terms import FarTerm
from equipot_testing.toy import ToyEnergy, ToyModel


def test_traced_sizes_are_large_and_all_different():
    info = InvariantModel(type_names=["C", "H"], r_max=3.0, energy_terms={"far": FarTerm()}).build().info
    batch = trace_batch(info)
    sizes = [
        batch["num_atoms"].shape[0],
        batch["positions"].shape[0],
        batch["edge_index"].shape[1],
        batch["edge_index:far"].shape[1],
    ]
    assert len(set(sizes)) == 4
    assert min(sizes) > 3
    shapes = dynamic_shapes(info.inputs)
    assert len(shapes) == len(info.inputs)
    names = {dim.__name__ for shape in shapes for dim in shape.values()}
    assert names == {"n_atoms", "n_frames", "n_edges", "n_edges_of_far"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exported_programs_work_at_all_sizes(dtype):
    recipe = InvariantModel(
        type_names=["C", "H"],
        r_max=3.0,
        model_dtype=dtype,
        energy_terms={"far": FarTerm()},
        per_edge_type_cutoff={"H": 2.5},
    )
    model = recipe.build()
    training = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    exported = export_model(model)
    assert model.training
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == training
    model.eval()
    run = exported.program.module()

    def call(batch):
        return dict(zip(exported.outputs, run(*(batch[key] for key in exported.inputs)), strict=True))

    frames = golden.random_frames(model.info, 3)
    batches = {
        **frames,
        "atoms": collate([frames["atom"]] * 2),
        "all": collate([*frames.values(), *frames.values(), frames["atom"]]),
    }
    worst = golden.replay(call, golden.record(model, batches))
    assert set(worst) >= {"total_energy", "atomic_energy", "forces", "stress", "virial"}
    assert max(worst.values()) <= {"float64": 1e-12, "float32": 1e-5}[dtype]


class Remembering(ToyEnergy):
    """Keeps what depends on its weights alone."""

    def forward(self, data):
        if not hasattr(self, "kept"):
            self.kept = torch.special.erfcx(next(self.parameters()).detach()).sum()
        found = super().forward(data)
        return {**found, "atomic_energy": found["atomic_energy"] + self.kept}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RememberingModel(ToyModel):
    """Has it."""

    def build_energy(self, context):
        return Remembering(context)


@pytest.mark.slow
def test_what_modules_keep_between_calls_is_a_constant_of_the_graph():
    model = RememberingModel(type_names=["C", "H"], r_max=3.0).build()
    exported = export_model(model, outputs=("total_energy", "forces"))
    assert not hasattr(model.energy, "kept")
    targets = {str(node.target) for node in exported.program.graph.nodes}
    assert not any("erfcx" in target for target in targets)


class Branching(ToyEnergy):
    def forward(self, data):
        produced = super().forward(data)
        if float(produced["atomic_energy"].detach().sum()) > 0.0:
            return produced
        return {"atomic_energy": 2.0 * produced["atomic_energy"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BranchingModel(ToyModel):
    """Cannot be exported."""

    def build_energy(self, context):
        return Branching(context)


@pytest.mark.slow
def test_a_component_that_cannot_be_exported_is_named_with_its_line():
    with pytest.raises(ArtifactError) as caught:
        export_model(BranchingModel(type_names=["H"], r_max=3.0).build())
    message = str(caught.value)
    assert message.startswith("compile: test_export.py, line ")
    assert 'in forward (if float(produced["atomic_energy"].detach().sum()) > 0.0:)' in message


def test_a_missing_compiler_is_reported_first(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr(aotinductor.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ArtifactError, match=r"compile: needs a C\+\+ compiler, got .*; install g\+\+"):
        aotinductor.compile_model(make_model(), tmp_path / "a.equipot.pt2")
    monkeypatch.setenv("CXX", "no-such-compiler -x")
    with pytest.raises(ArtifactError, match="got 'no-such-compiler -x'"):
        aotinductor.compile_model(make_model(), tmp_path / "a.equipot.pt2")


def test_what_can_be_asked_of_the_compiler(make_model, tmp_path):
    with pytest.raises(PluginNotFoundError, match="no export target named 'engine'; installed: "):
        aotinductor.compile_model(make_model(), tmp_path / "a.equipot.pt2", target="engine")
    with pytest.raises(ArtifactError, match=r"must end in .equipot.pt2"):
        aotinductor.compile_model(make_model(), tmp_path / "a.pt2")


def test_a_failing_compiler_leaves_no_file(make_model, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no space left\nsecond line")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    monkeypatch.setattr(aotinductor, "export_model", lambda *args, **options: Exported(None, (), (), ()))
    with pytest.raises(ArtifactError, match=r"compile: AOTInductor failed \(RuntimeError: no space left\)"):
        aotinductor.compile_model(make_model(), tmp_path / "a.equipot.pt2")
    assert not any(tmp_path.iterdir())
