"""The pair style is built once and kept between runs of the tests; two models are compiled once in each."""

import functools
from pathlib import Path

import pytest

from equipot.artifacts import write_package
from equipot.artifacts._trust import remember
from equipot.ase import EquipotCalculator
from equipot.compile import compile_model
from equipot.energy_terms import D3Dispersion
from equipot.files import file_digest
from equipot.model import AllegroModel, InvariantModel, NequIPGNNModel, apply_modifier
from equipot.pair_potentials import ZBL
from equipot_allegro import TwoBodyBesselScalarEmbed

ELEMENTS = {"type_names": ["H", "O"], "seed": 2, "avg_num_neighbors": 9.0}


def strict():
    """A strictly local model with cutoffs by types and a pair potential."""
    cutoffs, terms = {"H": {"H": 2.5, "O": 3.5}}, {"zbl": ZBL(units="metal")}
    model = InvariantModel(
        **ELEMENTS, r_max=4.0, model_dtype="float64", per_edge_type_cutoff=cutoffs, energy_terms=terms
    )
    return model.build().eval()


def hops():
    """Two message layers on compiled kernels, a pair potential, and a term with edges and hops of its own.

    The radii are short: with edges of ghosts, their shell is what costs.
    """
    return apply_modifier(message_passing("float64"), "enable_FusedKernels")


def tensors():
    """A strictly local model of tensor products on compiled kernels."""
    widths = dict.fromkeys([f"{part}_mlp_hidden_layers_width" for part in ("scalar_embed", "allegro", "readout")], 8)
    sizes = {"l_max": 1, "num_layers": 2, "num_scalar_features": 4, "num_tensor_features": 2, **widths}
    sizes["radial_chemical_embed"] = TwoBodyBesselScalarEmbed(num_bessels=4)
    model = AllegroModel(**ELEMENTS, **sizes, r_max=3.0, model_dtype="float64").build().eval()
    return apply_modifier(model, "enable_FusedKernels")


def splines():
    """The same in float32 with radial splines, which approximate."""
    splined = apply_modifier(message_passing("float32"), "enable_RadialSplines")
    return apply_modifier(splined, "enable_FusedKernels")


def message_passing(model_dtype):
    """The model on plain torch."""
    sizes = {"l_max": 1, "num_layers": 2, "num_features": 3, "radial_mlp_width": 4, "num_bessels": 4, "parity": False}
    terms = {"zbl": ZBL(units="metal"), "dispersion": D3Dispersion(functional="pbe", r_max=3.2, switch_width=1.0)}
    model = NequIPGNNModel(**ELEMENTS, **sizes, r_max=2.7, model_dtype=model_dtype, energy_terms=terms)
    return model.build().eval()


def single():
    """A model in float32 and kcal/mol."""
    model = InvariantModel(**ELEMENTS, r_max=4.0, model_dtype="float32", energy_terms={"zbl": ZBL(units="real")})
    return model.build("real").eval()


MODELS = {"strict": strict, "hops": hops, "tensors": tensors, "single": single, "splines": splines}


@pytest.fixture
def kept(kernel_folder, monkeypatch):
    """The cache folder that is kept between runs of the tests."""
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
    return Path(kernel_folder)


@pytest.fixture(scope="session")
def style(kernel_folder):
    """The folder of the pair style."""
    from equipot_lammps._build import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        return build()


@pytest.fixture(scope="session")
def files(kernel_folder, tmp_path_factory):
    """Files for LAMMPS with packages of the same models beside them, made when first asked for: ``files("strict")``."""
    folder, made = tmp_path_factory.mktemp("lammps"), {}

    def path(kind):
        if kind not in made:
            made[kind] = folder / f"{kind}.equipot.pt2"
            model = MODELS[kind]()
            write_package(model, folder / f"{kind}.equipot.zip")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
                compile_model(model, made[kind], target="lammps")
                # for LAMMPS in tests that do not ask for ``kept``
                patch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
                remember(file_digest(made[kind]), built=True)
        return made[kind]

    return path


@pytest.fixture(scope="session")
def reference(files):
    """A calculator on the model before it was compiled: ``reference(kind)``."""

    @functools.cache
    def calculator(kind):
        return EquipotCalculator(str(files(kind)).replace(".pt2", ".zip"), max_force=None)

    return calculator
