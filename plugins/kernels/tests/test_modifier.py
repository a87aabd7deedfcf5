import copy
import warnings

import pytest
import torch

import equipot
from equipot.compile import export_model
from equipot.errors import ConfigError
from equipot.model import apply_automatic, apply_modifier
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._modifier import enable_FusedKernels
from equipot_testing.conformance import ModifierConformance
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.toy import ToyModel

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}


def energy_and_gradient(model, batch, *, create_graph=False):
    positions = batch["positions"].clone().requires_grad_()
    energies = model({**batch, "positions": positions})["total_energy"]
    (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=create_graph)
    return energies, gradient


@pytest.fixture
def batch():
    def make(model):
        return batch_of(standard_structures(3).values(), model.info)

    return make


@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_same_energies_and_gradients(make_model, batch, dtype):
    model = make_model(model_dtype=dtype)
    data = batch(model)
    expected = energy_and_gradient(model, data)
    for one, other in zip(energy_and_gradient(enable_FusedKernels(model), data), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@pytest.mark.parametrize("inputs_only", [True, False])
def test_same_gradients_of_weights(make_model, batch, inputs_only):
    model = make_model()
    data, weights = batch(model), list(model.parameters())
    found = []
    for candidate in (model, enable_FusedKernels(model)):
        _, gradient = energy_and_gradient(candidate, data, create_graph=True)
        gradient.square().sum().backward(inputs=weights if inputs_only else None)
        found.append([weight.grad.clone() for weight in weights if weight.grad is not None])
        model.zero_grad()
    assert len(found[0]) == len(found[1])
    assert found[0]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_second_derivatives_along_positions(make_model):
    model = make_model()
    data = batch_of([standard_structures(3)["molecule"]], model.info)

    def hessian(candidate):
        def energy(positions):
            return candidate({**data, "positions": positions})["total_energy"].sum()

        return torch.autograd.functional.hessian(energy, data["positions"])

    expected = hessian(model)
    assert expected.abs().max() > 0
    torch.testing.assert_close(hessian(enable_FusedKernels(model)), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_exported(make_model, batch):
    model = enable_FusedKernels(make_model()).eval()
    exported = export_model(model)
    names = {str(node.target) for node in exported.program.graph.nodes}
    assert "equipot_kernels.conv_forward.default" in names
    run = exported.program.module()
    data = batch(model)
    found = run(*(data[key] for key in exported.inputs))
    expected = model(data)
    for key, value in zip(exported.outputs, found, strict=True):
        torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)


def test_kernels_are_listed_for_manifests(make_model):
    from equipot.artifacts._kernels import kernels_of, load_kernels

    listed = kernels_of(enable_FusedKernels(make_model()))
    entry = listed["enable_FusedKernels"]
    assert entry["distribution"] == "equipot-kernels"
    assert [spec["family"] for spec in entry["specs"]] == ["edge_lists", "convolution", "convolution"]
    assert kernels_of(make_model()) == {}
    load_kernels(listed, "model.pt2")


def test_model_survives_copies(make_model, batch):
    model = enable_FusedKernels(make_model())
    data = batch(model)
    again = copy.deepcopy(model)
    assert torch.equal(again(data)["total_energy"], model(data)["total_energy"])
    assert again.state_dict().keys() == make_model().state_dict().keys()


def test_a_copy_knows_its_kernels_where_nothing_else_does(make_model, batch, monkeypatch):
    """As a model that is unpickled in another process."""
    model = enable_FusedKernels(make_model(), programs=False)
    data = batch(model)
    expected = model(data)["total_energy"]
    monkeypatch.setattr(registry, "_specs", {})
    monkeypatch.setattr(registry, "_functions", {})
    with pytest.raises(KernelError, match="no kernel has this handle"):
        model(data)
    assert torch.equal(copy.deepcopy(model)(data)["total_energy"], expected)


def test_without_compiler_one_warning_or_one_line_and_the_core_path(make_model, monkeypatch):
    def no_compiler(units):
        raise KernelError("kernels: found no C++ compiler; install a C++ compiler (apt install g++)")

    monkeypatch.setattr(registry, "build", no_compiler)
    model = make_model()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = apply_modifier(model, "enable_FusedKernels")
    assert result is model
    (warning,) = caught
    assert "modifier enable_FusedKernels: the model stays without it: kernels: found no C++" in str(warning.message)
    assert "apt install g++" in str(warning.message)
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    result, chosen = apply_automatic(model)
    assert result is model
    assert chosen.line.startswith("automatic modifiers: not enable_FusedKernels: kernels: found no C++ compiler;")


def test_model_without_convolutions_is_refused():
    model = ToyModel(type_names=["H"], r_max=4.0, do_derivatives=False).build()
    with pytest.raises(ConfigError, match="enable_FusedKernels: no part of this model has kernels; the model must use"):
        apply_modifier(model, "enable_FusedKernels")


def test_automatic(make_model, monkeypatch):
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    result, chosen = apply_automatic(make_model())
    assert any(isinstance(module, FusedConvolution) for module in result.modules())
    assert chosen.line == f"automatic modifiers: enable_FusedKernels (equipot-kernels {equipot.__version__})"
    assert apply_automatic(result)[0] is result
    toy = ToyModel(type_names=["H"], r_max=4.0, do_derivatives=False).build()
    result, chosen = apply_automatic(toy)
    assert result is toy
    assert chosen.line == ""


def test_splines_share_the_pass(make_model, batch, monkeypatch):
    """Interpolated weights are taken from the table inside the kernel, with the result of the composed path."""
    model = apply_modifier(make_model(), "train_with_RadialSplines", {"num_knots": 65})
    fused = enable_FusedKernels(model)
    data = batch(model)
    expected = energy_and_gradient(model, data)
    monkeypatch.setattr("equipot_kernels._convolution.fused.conv_forward", lambda *_: pytest.fail("weights were made"))
    for one, other in zip(energy_and_gradient(fused, data), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert any(isinstance(module, FusedConvolution) for module in fused.modules())


def test_splines_of_few_edges_are_exact_in_training(make_model, batch, monkeypatch):
    monkeypatch.setattr("equipot_kernels._spline.radial.EDGES_PER_KNOT", 8)
    exact = enable_FusedKernels(make_model())
    splines = apply_modifier(exact, "train_with_RadialSplines", {"num_knots": 65})
    data = batch(exact)
    assert data["edge_index"].shape[1] < 8 * 65
    for one, other in zip(energy_and_gradient(splines, data), energy_and_gradient(exact, data), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


class TestConformance(ModifierConformance):
    name = "enable_FusedKernels"

    @pytest.fixture(autouse=True)
    def _model(self, make_model):
        self._make = make_model

    def model(self):
        model = self._make()
        next(model.parameters()).requires_grad_(False)
        return model


class TestPrograms(TestConformance):
    """The same with a program for every call."""

    test_import_has_no_side_effects = test_imports_core_only = None  # the same module

    def modified(self, model, **options):
        result = super().modified(model, **options)
        if result is not model:
            result.evaluator.begin_training()
        return result
