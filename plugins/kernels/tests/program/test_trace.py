"""Programs of whole models against the models themselves, run by the reference; files of programs."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from equipot.model import EnergyModule, InvariantModel, ModelBuilder, with_edge_forces
from equipot_kernels import enable_FusedKernels
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program import ir
from equipot_kernels._program.check import check_program
from equipot_kernels._program.places import buffers_of
from equipot_kernels._program.reference import Reference
from equipot_kernels._program.store import from_bytes, to_bytes, write_traced
from equipot_kernels._program.trace import NotTraceable, trace_inference, trace_training
from equipot_test_support.programs import (
    SIZES,
    assert_inference_agrees,
    assert_training_agrees,
    inputs_of,
    sized_batch,
)

TYPES = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64"}


_traced = {}


@pytest.fixture
def traced(make_model):
    if not _traced:  # made once: this fixture cannot have a longer life than those that it uses
        model = enable_FusedKernels(make_model(do_derivatives=True))
        _traced["it"] = trace_training(model, ("total_energy", "forces"))
    return _traced["it"]


@pytest.mark.parametrize("kernels", [pytest.param(False, marks=pytest.mark.slow), True])
def test_training_and_inference_agree_with_the_model(make_model, kernels):
    model = make_model(do_derivatives=True)
    model = enable_FusedKernels(model) if kernels else model
    assert_training_agrees(model, sizes=SIZES)
    assert_inference_agrees(model, sizes=SIZES)


def test_energies_alone():
    assert_training_agrees(InvariantModel(**TYPES, do_derivatives=False).build(), sizes=("frames", "atom"))


def test_cutoffs_for_each_pair_of_types():
    model = InvariantModel(**TYPES, per_edge_type_cutoff={"H": 3.0, "C": {"H": 3.4}}).build()
    assert_training_agrees(model, sizes=SIZES)
    assert_inference_agrees(model, sizes=SIZES)


def test_forces_alone_give_no_gradients_of_shifts():
    model = InvariantModel(**TYPES, per_type_energy_shifts_trainable=True, per_type_energy_shifts=1.0).build()
    both = trace_training(model, ("total_energy", "forces"))
    forces = trace_training(model, ("forces",))
    assert set(both.gradients) - set(forces.gradients) == {"scale_shift.shifts"}
    assert_training_agrees(model, ("forces",), sizes=("frames",))


@pytest.mark.slow
def test_single_precision_is_as_exact_as_the_model(make_model):
    """Against double precision, errors of the program are at most twice those of the model."""
    single, double = make_model(do_derivatives=True, model_dtype="float32"), make_model(do_derivatives=True)
    double.load_state_dict(single.state_dict())
    assert_training_agrees(single, exact=double, sizes=("frames",))


def test_gradients_of_single_edges_are_those_of_the_model(make_model):
    """Both directions of an edge share a row of the radial networks only where no output tells them apart."""
    model = enable_FusedKernels(make_model(do_derivatives=True))
    assert "pairs:first" in trace_inference(model).inputs
    edges = with_edge_forces(model)
    assert "pairs:first" not in trace_inference(edges).inputs
    assert_inference_agrees(edges, sizes=("frames",))


def test_ghost_atoms_are_an_input_of_their_own():
    model = InvariantModel(**TYPES).build()
    assert "data:owned" in trace_inference(model, ("owned",)).inputs
    assert_inference_agrees(model, extra=("owned",), sizes=("frames",))


def test_a_frozen_parameter_has_no_gradient():
    model = InvariantModel(**TYPES).build()
    name, frozen = next(iter(model.named_parameters()))
    assert name in trace_training(model, ("forces",)).gradients
    frozen.requires_grad_(requires_grad=False)
    traced = trace_training(model, ("forces",))
    assert f"param:{name}" in traced.inputs
    assert name not in traced.gradients
    assert_training_agrees(model, sizes=("frames",))


def test_tracing_changes_no_model(make_model):
    model = enable_FusedKernels(make_model(do_derivatives=True)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trace_training(model, ("forces",))
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    batch = sized_batch(model.info, "frames")
    assert type(model(batch)["forces"]) is torch.Tensor


@pytest.mark.slow
def test_the_same_model_gives_the_same_program(make_model):
    first, second = (to_bytes(trace_training(make_model(do_derivatives=True), ("forces",))) for _ in range(2))
    assert first == second


# ------------------------------------------------------------------ what is refused


class _Energy(EnergyModule):
    """A sum over edges, computed by a function of the lengths."""

    requires = ("edge_lengths", "edge_index", "atom_types")
    locality = "strict"

    def __init__(self, context, function):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=context.model_dtype))
        self.register_buffer("count", torch.zeros(1, dtype=context.model_dtype))
        self.function = function

    def forward(self, data):
        lengths = data["edge_lengths"]
        energies = self.function(self, lengths) * self.weight
        atoms = torch.zeros(data["atom_types"].shape[0], dtype=energies.dtype)
        return {"atomic_energy": atoms.index_add(0, data["edge_index"][0], energies)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Model(ModelBuilder):
    function: object = None

    def build_energy(self, context):
        return _Energy(context, self.function)


def _counted(module, lengths):
    module.count += 1
    return lengths * module.count


def _attribute(module, lengths):
    if not hasattr(module, "seen"):
        module.seen = 0
    module.seen += 1
    return lengths * module.seen


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, x: x * torch.rand_like(x), r"test_trace\.py, line \d+: .* draws random numbers"),
        (lambda m, x: torch.nn.functional.dropout(x, 0.1, training=m.training), "draws random numbers"),
        (lambda m, x: x if x.mean() > 1 else x * 2, r"test_trace\.py, line \d+: .* reads the value of a tensor"),
        (lambda m, x: x * m.weight.item(), "reads the value of a tensor"),
        (lambda m, x: x[x > 2].sum() * x, "makes a tensor whose size depends on values"),
        (_counted, "changes a parameter, a buffer or an input of the model in place"),
        (lambda m, x: x * np.random.default_rng().random(), "a number differs between calls"),
        (lambda m, x: x * torch.from_numpy(np.random.default_rng().random(1)), "a constant differs between calls"),
        (lambda m, x: x.half().double(), "a tensor of torch.float16"),
    ],
)
def test_models_that_no_program_can_repeat_are_refused(function, message):
    model = _Model(**TYPES, function=function).build()
    with pytest.raises(NotTraceable, match=message):
        trace_training(model, ("forces",))


def test_a_plain_model_of_that_kind_is_not_refused():
    assert_training_agrees(_Model(**TYPES, function=lambda m, x: torch.exp(-x) + m.count).build(), sizes=SIZES)


def test_constants_that_are_no_buffers_are_part_of_the_program():
    table = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
    model = _Model(**TYPES, function=lambda m, x: (x.unsqueeze(1) * table).sum(1) * torch.tensor([2.0, 3.0])[1]).build()
    assert_training_agrees(model, sizes=SIZES)
    program = trace_inference(model).program
    assert any(np.array_equal(array, table.numpy()) for array in program.constants.values())


def test_edges_that_are_not_sorted_are_refused_before_a_kernel_reads_them(traced, make_model):
    model = enable_FusedKernels(make_model(do_derivatives=True))
    batch = sized_batch(model.info, "frames")
    inputs = inputs_of(model, traced, batch)
    Reference(traced.program).forward(inputs)
    inputs[traced.inputs.index("data:edge_index")] = batch["edge_index"].flip(1)
    with pytest.raises(KernelError, match="an index is out of range"):
        Reference(traced.program).forward(inputs)


# ----------------------------------------------------------------- memory and files


def test_every_program_is_valid(traced):
    check_program(traced.program)


def test_buffers_in_use_at_the_same_time_have_places_of_their_own(traced):
    program = traced.program
    uses = {}
    for number, instruction in enumerate(program.instructions):
        for buffer in buffers_of(instruction):
            uses.setdefault(buffer, []).append(number)
    for output in program.outputs:
        uses[output.buffer].append(max(n for n, i in enumerate(program.instructions) if i.phase == output.phase))
    spans = {buffer: (min(these), max(these)) for buffer, these in uses.items() if buffer in program.places}
    assert spans.keys() == program.places.keys()
    assert len(set(program.places.values())) < len(spans) / 1.5
    for one, (begin, end) in spans.items():
        for other, (first, last) in spans.items():
            if one < other and program.places[one] == program.places[other]:
                assert end < first or last < begin


def test_a_program_comes_back_from_its_file(traced, tmp_path):
    write_traced(tmp_path / "program", traced)
    again = from_bytes((tmp_path / "program").read_bytes())
    assert again.program.constants.keys() == traced.program.constants.keys()
    for number, array in traced.program.constants.items():
        assert np.array_equal(array, again.program.constants[number])
    assert dataclasses.replace(again.program, constants={}) == dataclasses.replace(traced.program, constants={})
    assert dataclasses.replace(again, program=traced.program) == traced


def test_a_damaged_file_is_refused(traced):
    content = to_bytes(traced)
    middle = len(content) // 2
    for damaged in (b"", content[:-1], content[:middle] + b"?" + content[middle + 1 :]):
        with pytest.raises(KernelError, match="is damaged"):
            from_bytes(damaged)
    with pytest.raises(KernelError, match="cannot be read"):
        from_bytes(hashlib.sha256(b"no zip").digest() + b"no zip")


def _first(program, kind):
    """The first instruction of a kind; of loops, the first that loads something over two axes."""
    these = ((n, part) for n, part in enumerate(program.instructions) if isinstance(part, kind))
    return next((n, part) for n, part in these if kind is not ir.Loop or (part.loads and len(part.shape) == 2))


def _with(program, number, instruction):
    instructions = list(program.instructions)
    instructions[number] = instruction
    return dataclasses.replace(program, instructions=tuple(instructions))


def _loop(program, **changes):
    number, loop = _first(program, ir.Loop)
    return _with(program, number, dataclasses.replace(loop, **changes))


def _load(program, **changes):
    number, loop = _first(program, ir.Loop)
    access = dataclasses.replace(loop.loads[0], **changes)
    return _with(program, number, dataclasses.replace(loop, loads=(access, *loop.loads[1:])))


def _gemm(program, **changes):
    number, gemm = _first(program, ir.Gemm)
    return _with(program, number, dataclasses.replace(gemm, **changes))


def _kernel(program, **changes):
    number, kernel = _first(program, ir.Kernel)
    return _with(program, number, dataclasses.replace(kernel, **changes))


def _call(program, **changes):
    given = ("tensor", (0, ir.Size(), (), ()))
    call = ir.TorchCall("aten.mean.default", (given,), (), (program.outputs[0].buffer,))
    return _with(program, 0, dataclasses.replace(call, **changes))


BIG = ir.Size(10**9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: _load(p, buffer=10**6), "a buffer does not exist"),
        (lambda p: _load(p, buffer=-1), "a buffer does not exist"),
        (lambda p: _load(p, offset=BIG), "an access may leave its buffer"),
        (lambda p: _load(p, offset=ir.Size(-1)), "a size may be negative"),
        (lambda p: _load(p, strides=()), "strides do not fit the index space"),
        (lambda p: _load(p, strides=(ir.Size(0, ((9, 1),)),) * 2), "a symbol that does not exist"),
        (lambda p: _load(p, index=0, index_offset=ir.Size(), index_strides=(ir.Size(),) * 2), "an index is not int64"),
        (lambda p: _loop(p, steps=(ir.Step("system", "float64"),)), "system is not an operation"),
        (lambda p: _loop(p, steps=(ir.Step("neg", "float64", (99,)),)), "a register does not exist"),
        (lambda p: _loop(p, steps=(ir.Step("neg", "bool", (0,)),)), "neg has arguments of other types"),
        (lambda p: _loop(p, stores=(ir.Store(99, _first(p, ir.Loop)[1].stores[0].access),)), "a register does not"),
        (lambda p: _loop(p, stores=(ir.Store(0, ir.Access(0, ir.Size(), (ir.Size(),) * 2)),)), "is written to"),
        (lambda p: _gemm(p, m=BIG), "an access may leave its buffer"),
        (lambda p: _kernel(p, unit="exec"), "there is no unit exec"),
        (lambda p: _kernel(p, arguments=()), "has other arguments"),
        (lambda p: _kernel(p, handle=5), "no kernel has this handle"),
        (lambda p: _call(p, op="os.system.default"), "is not an operation"),
        (lambda p: _call(p, op="aten.nothing.default"), "is not an operation"),
        (lambda p: _call(p, op="aten.add_.Tensor"), "cannot be called"),
        (lambda p: _call(p, arguments=()), "has no tensor"),
        (lambda p: dataclasses.replace(p, symbols=(ir.Symbol(99, 0), *p.symbols[1:])), "an input that does not exist"),
        (lambda p: dataclasses.replace(p, outputs=(ir.Output(0, ()), *p.outputs[1:])), "does not fit its buffer"),
        (lambda p: dataclasses.replace(p, places={0: 0}), "a buffer has a wrong place"),
        (lambda p: dataclasses.replace(p, instructions=p.instructions[::-1]), "phases are out of order"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(traced, change, message):
    program = change(traced.program)
    with pytest.raises(KernelError, match=message):
        check_program(program)
    if "handle" not in message:
        with pytest.raises(KernelError):
            from_bytes(to_bytes(dataclasses.replace(traced, program=program)))
