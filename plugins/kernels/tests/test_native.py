"""The ops and kernels in a process that knows nothing of equipot: the same numbers as in Python, or a reason."""

import dataclasses
import importlib
import json
import subprocess
import sys
import zipfile

import pytest
import torch

from equipot.nn.irreps import FeatureLayout
from equipot.nn.tensor_product import Convolution
from equipot_kernels._build import prebuilt, registry, toolchain, torch_ops
from equipot_kernels._build.errors import KernelError
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._convolution.plan import spec_of_convolution
from equipot_kernels._modifier import enable_FusedKernels
from equipot_kernels._native.code import TABLE, kernel_code
from equipot_kernels._native.library import native_library, source
from equipot_test_support.mounts import mounted_tmpfs

DTYPES = ("float32", "float64")
N_ATOMS, N_EDGES, CHANNELS, NUM_KNOTS = 6, 23, 5, 4

LOAD = """
import ctypes, json, sys

job = json.loads(sys.argv[1])
library = ctypes.CDLL(job["library"])
library.equipot_load_kernels.restype = ctypes.c_char_p
said = [library.equipot_load_kernels(path.encode()) for path in job["files"]]
assert "torch" not in sys.modules
print(json.dumps([text and text.decode() for text in said]))
"""
"""What an engine does first; nothing of torch is there but its libraries."""

ENGINE = """
import ctypes, json, sys, torch

job = torch.load(sys.argv[1], weights_only=True)
library = ctypes.CDLL(job["library"])
library.equipot_load_kernels.restype = ctypes.c_char_p
said = [library.equipot_load_kernels(path.encode()) for path in job["files"]]
for number in job["threads"]:
    torch.set_num_threads(number)
    for name, arguments in job["calls"]:
        try:
            made = getattr(torch.ops.equipot_kernels, name)(*arguments)
        except RuntimeError as error:
            made = str(error).splitlines()[0]
        job["results"].append((made,) if isinstance(made, (torch.Tensor, str)) else tuple(made))
assert not [name for name in sys.modules if name.startswith("equipot")]
torch.save(job["results"], sys.argv[1])
print(json.dumps([text and text.decode() for text in said]))
"""
"""What an engine does: load the library, give it the files, run the model, or here its ops."""


@pytest.fixture(scope="session")
def library(kernel_folder):
    return native_library(kernel_folder / "native")


@pytest.fixture
def engine(library, tmp_path):
    """Run a process without equipot: ``engine(files, calls, threads)`` gives its messages and results."""

    def run(files, calls=(), threads=(1,), script=ENGINE):
        job = tmp_path / "job.pt"
        facts = {"library": str(library), "files": [str(path) for path in files], "threads": list(threads)}
        torch.save({**facts, "calls": list(calls), "results": []}, job)
        call = [sys.executable, "-W", "error", "-c", script, str(job)]
        done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), torch.load(job, weights_only=True)

    return run


@pytest.fixture
def messages(library):
    """What the library says of files, in a process without torch's Python part."""

    def ask(files):
        facts = json.dumps({"library": str(library), "files": [str(path) for path in files]})
        call = [sys.executable, "-S", "-c", LOAD, facts]
        done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def packed(path, files):
    """A file with kernels, and without a model."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/version", "1")
        for name, content in files.items():
            archive.writestr(f"model/equipot/kernels/enable_FusedKernels/{name}", content)
    return path


def convolution(dtype):
    layouts = FeatureLayout.parse("3x0e+2x1o"), FeatureLayout.spherical_harmonics(1)
    return Convolution(*layouts, [block.irrep for block in layouts[0].blocks], dtype=dtype)


def small_specs(dtype):
    """A small kernel of each family that ops call."""
    shared = {"dtype": dtype, "channels": CHANNELS}
    irreps = dict.fromkeys(("layout_in", "layout_edge", "layout_out"), "1x0e+1x1o")
    return {
        "edges": {"family": "edge_lists"},
        "types": {"family": "type_lists"},
        "conv": spec_of_convolution(convolution(getattr(torch, dtype)), getattr(torch, dtype)),
        "al": {"family": "contraction", "dim_in": 4, "dim_out": 3, **shared},
        "init": {"family": "initial", "blocks": [1, 3], "dim_out": 3, **shared},
        "env": {"family": "environment", "blocks": [1, 3], **shared},
        "cg": {"family": "coupling", **irreps, **shared},
        "spline": {"family": "spline", **shared},
        "typed": {"family": "typed", "dtype": dtype, "layout_in": "3x0e+2x1o", "layout_out": "2x0e+4x1o"},
    }


class Calls:
    """Arguments for every op, some of them with strides, and the results that Python gives."""

    def __init__(self, dtype, only=()):
        registry.import_ops()
        self.only = only or torch_ops.schemas()
        self.random, self.dtype = torch.Generator().manual_seed(1), getattr(torch, dtype)
        self.specs = small_specs(dtype)
        self.handles = {name: registry.handle_of(spec) for name, spec in self.specs.items()}
        self.made, self.results = [], []
        self.lists()
        self.convolutions()
        self.contractions()
        self.others()

    def add(self, name, *arguments):
        found = getattr(torch.ops.equipot_kernels, name)(*arguments)
        if name in self.only:
            self.made.append((name, arguments))
            self.results.append((found,) if isinstance(found, torch.Tensor) else tuple(found))
        return found

    def draw(self, *shape, dtype=None):
        drawn = torch.randn(*shape[:-1], 2 * shape[-1], generator=self.random, dtype=torch.float64)
        return drawn.to(dtype or self.dtype)[..., ::2]

    def whole(self, high, count):
        return torch.randint(high, (count,), generator=self.random)

    def lists(self):
        centre = self.whole(N_ATOMS - 1, N_EDGES).sort()[0]  # the last atom has no edges
        self.index = torch.stack([centre, self.whole(N_ATOMS, N_EDGES)])
        self.ptr, self.sent_ptr, self.sent = self.add("edge_lists", self.index, N_ATOMS)
        self.types = self.add("type_lists", self.whole(3, N_ATOMS), 4)

    def convolutions(self):
        kernel, layer = self.handles["conv"], convolution(self.dtype)
        lists = (self.index, self.ptr, self.sent_ptr, self.sent)
        shapes = ((N_ATOMS, layer.layout_in.dim), (N_EDGES, layer.layout_edge.dim), (N_EDGES, layer.num_weights))
        x, y, w = (self.draw(*shape) for shape in shapes)
        g = self.draw(N_ATOMS, layer.layout_out.dim)
        self.add("conv_forward", x, y, w, *lists, kernel)
        flags = [(bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(1, 8)]
        for wanted in flags:
            self.add("conv_backward", g, x, y, w, *lists, kernel, *wanted)
        hx, hy, hw = (self.draw(*shape) for shape in shapes)
        self.add("conv_double", hx, hy, hw, g, x, y, w, *lists, kernel)
        table = self.draw(2 * NUM_KNOTS, 4, layer.num_weights)
        place, row = self.draw(N_EDGES, dtype=torch.float64), self.whole(2 * NUM_KNOTS, N_EDGES)
        rest = (row, *lists, NUM_KNOTS, kernel)
        self.add("conv_table_forward", x, y, place, table, *rest)
        for wanted in flags:
            self.add("conv_table_backward", g, x, y, place, table, *rest, *wanted)
        for wanted in (False, True):
            more = (self.draw(N_EDGES, dtype=torch.float64), g, x, y, place, table)
            self.add("conv_table_double", hx, hy, *more, *rest, wanted)

    def contractions(self):
        u, ptr, h = CHANNELS, self.ptr, self.handles
        matrices, x, g = self.draw(N_ATOMS, 4, 3, u), self.draw(N_EDGES, 4, u), self.draw(N_EDGES, 3, u)
        self.add("al_mv", matrices, x, ptr, h["al"])
        self.add("al_mvt", matrices, g, ptr, h["al"])
        self.add("al_outer", x, g, ptr, h["al"])
        y, w, sums = self.draw(N_EDGES, 4), self.draw(N_EDGES, 3 * u)[:, : 2 * u], self.draw(N_ATOMS, 4, u)
        self.add("env_sum", y, w, ptr, h["env"])
        self.add("env_weights", y, sums, ptr, h["env"])
        self.add("env_attributes", w.contiguous(), sums, ptr, h["env"])
        self.add("init_apply", matrices, y, w, ptr, h["init"])
        self.add("init_outer", y, w, g, ptr, h["init"])
        for wanted in ((True, True), (True, False), (False, True)):
            self.add("init_backward", matrices, y, w, g, ptr, h["init"], *wanted)
        sizes = registry.sizes(h["cg"])
        q, entries = self.draw(sizes["paths"], u), self.draw(N_ATOMS, sizes["dim_in"], sizes["dim_out"], u)
        self.add("cg_matrices", q, sums, h["cg"])
        self.add("cg_environment", q, entries, h["cg"])
        self.add("cg_weights", sums, entries, h["cg"])

    def others(self):
        kernel, row = self.handles["spline"], self.whole(NUM_KNOTS, N_EDGES)
        table, g = self.draw(NUM_KNOTS, 4, CHANNELS), self.draw(N_EDGES, CHANNELS)
        place, scale = self.draw(N_EDGES, dtype=torch.float64), self.draw(N_EDGES, dtype=torch.float64)
        for factor, order in ((None, 0), (scale, 1)):
            self.add("spline_evaluate", table, row, place, factor, order, kernel)
            self.add("spline_contract", table, row, place, g, order, kernel)
            self.add("spline_scatter", g, row, place, factor, NUM_KNOTS, order, kernel)
        sizes, (ptr, atoms) = registry.sizes(self.handles["typed"]), self.types
        matrices = self.draw(4, sizes["size"])
        x, h = self.draw(N_ATOMS, sizes["dim_in"]), self.draw(N_ATOMS, sizes["dim_out"])
        self.add("typed_apply", matrices, x, ptr, atoms, self.handles["typed"])
        self.add("typed_transposed", matrices, h, ptr, atoms, self.handles["typed"])
        self.add("typed_outer", x, h, ptr, atoms, self.handles["typed"])


@pytest.fixture
def all_units(monkeypatch):
    """Files hold the kernels of training too."""
    for name in registry.FAMILIES.values():
        family = importlib.import_module(name)
        monkeypatch.setattr(family, "FORCES", tuple(family.UNITS))


@pytest.mark.slow
@pytest.mark.usefixtures("all_units")
def test_every_op_gives_the_same_bits(engine, tmp_path):
    """All ops with two files in one process, for several numbers of threads; float64 takes the same way to kernels."""
    calls = Calls("float32")
    assert {name for name, _ in calls.made} == set(torch_ops.schemas())
    wider = Calls("float64", only=("edge_lists", "conv_forward", "spline_evaluate"))
    files = [
        packed(tmp_path / "all.pt2", kernel_code(list(calls.specs.values()))),
        packed(tmp_path / "some.pt2", kernel_code([wider.specs[name] for name in ("edges", "conv", "spline")])),
    ]
    said, results = engine(files, [*calls.made, *wider.made], threads=(1, 3))
    assert said == [None, None]
    for found, wanted in zip(results, 2 * [*calls.results, *wider.results], strict=True):
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


EDGES = torch.tensor([[0, 0, 1], [1, 2, 0]])
CONTRACTION = {"family": "contraction", "dim_in": 1, "dim_out": 1, "dtype": "float64", "channels": 1}


def contraction():
    """An op with a handle, and what it gives."""
    numbers = torch.arange(1.0, 4.0, dtype=torch.float64).reshape(3, 1, 1)
    arguments = (numbers.unsqueeze(1), numbers, torch.tensor([0, 2, 3, 3]), registry.handle_of(CONTRACTION))
    return [("al_mv", arguments)], [torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).reshape(3, 1, 1)]


@pytest.fixture(scope="session")
def code(kernel_folder):
    """Files of two small kernels, to be damaged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        return kernel_code([{"family": "edge_lists"}, CONTRACTION])


def edited(code, old, new):
    assert old in code[TABLE]
    return {**code, TABLE: code[TABLE].replace(old, new)}


def damages(folder, code):
    """Files that must be refused, and with which words."""
    library = next(name for name in code if name.startswith("edge_lists"))
    good = packed(folder / "good.pt2", code).read_bytes()
    machine = prebuilt.platform.machine().encode()
    yield None, "cannot be read"
    yield b"", "is not a compiled file of equipot"
    yield bytes(2**17), "is not a compiled file of equipot"
    yield good[: len(good) // 2], "is not a compiled file of equipot"
    yield good.replace(b"\x7fELF", b"\x7fELV", 1), "is damaged: the checksum of model/equipot/kernels/"
    yield good.replace(b"PK\x01\x02", b"PK\x01\x03", 1), "is damaged: its directory is not readable"
    yield (
        good.replace(b"PK\x03\x04", b"PK\x03\x05"),
        "kernels.txt is not where it should be",
    )
    yield {}, "holds no kernels of equipot-kernels: compile the model again"
    yield {TABLE: b"others 3\n"}, "holds no kernels of equipot-kernels: compile the model again"
    yield edited(code, b"abi ", b"abi 0"), "holds kernels of another version of equipot-kernels (0"
    yield edited(code, b"\nkernel 0", b"\nsorcery 0"), "kernels.txt has a line that is not known: sorcery 0"
    yield edited(code, b"processor " + machine, b"processor pdp11"), "holds kernels for pdp11, but this is "
    yield edited(code, b"processor " + machine, b"processor " + machine + b" mmx9"), "a processor with mmx9, which this"
    yield {name: raw for name, raw in code.items() if name != library}, "lacks its member model/equipot/kernels/enable"
    yield edited(code, b" edge_lists edge_lists", b" nothing edge_lists"), ".so lacks the function nothing"
    yield {**code, library: b"no library"}, ", which cannot be loaded ("
    yield edited(code, b" edge_lists_", b" ../edge_lists_"), "has a line that is not known: unit 0 edge_lists ../"


@pytest.mark.slow
def test_what_is_wrong_with_a_file_is_said(messages, code, tmp_path):
    """One file after the other in one process; good ones before and after."""
    paths, words = [], []
    for number, (content, message) in enumerate(damages(tmp_path, code)):
        paths.append(tmp_path / f"{number}.pt2")
        words.append(message)
        if isinstance(content, bytes):
            paths[-1].write_bytes(content)
        elif content is not None:
            packed(paths[-1], content)
    with zipfile.ZipFile(tmp_path / "compressed.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/equipot/kernels/enable_FusedKernels/kernels.txt", code[TABLE])
    paths, words = [*paths, tmp_path / "compressed.pt2"], [*words, "kernels.txt compressed, which no engine reads"]
    good = packed(tmp_path / "good.pt2", code)
    said = messages([*paths, good, paths[0], good])
    assert [*said[-3:-2], said[-1]] == [None, None]
    for path, text, message in zip(paths, said, words, strict=False):
        assert text.startswith(f"{path}: ")
        assert message in text


@pytest.mark.slow
def test_wrong_edges_are_refused_and_the_process_goes_on(engine, code, tmp_path):
    calls, expected = contraction()
    wrong = [("edge_lists", (EDGES.flip(1), 3)), ("edge_lists", (EDGES, 2)), ("al_mv", (*calls[0][1][:3], 12345))]
    said, results = engine([packed(tmp_path / "a.pt2", code)], [*wrong, *calls])
    assert said == [None]
    assert "edge_index: must be sorted by centre" in results[0][0]
    assert "edge_index: must hold atoms from 0 to 1" in results[1][0]
    assert "no loaded file holds the kernel 12345 apply" in results[2][0]
    assert torch.equal(results[3][0], expected[0])


@pytest.mark.slow
def test_no_folder_for_kernels(messages, code, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    (said,) = messages([packed(tmp_path / "a.pt2", code)])
    assert "cannot be made; TMPDIR names the folder, which must allow to run code in it" in said


@pytest.mark.slow
def test_folder_from_which_code_may_not_run(messages, code, tmp_path, monkeypatch):
    file = packed(tmp_path / "a.pt2", code)
    with mounted_tmpfs(tmp_path / "noexec", "50m", "noexec") as folder:
        monkeypatch.setenv("TMPDIR", str(folder))
        (said,) = messages([file])
        assert list(folder.iterdir()) == []
    assert "which cannot be loaded (" in said
    assert said.endswith("; TMPDIR names the folder, which must allow to run code in it")


@pytest.mark.slow
def test_kernels_of_wheels_find_what_torch_has_loaded(messages, code, tmp_path):
    """They link to nothing, and call OpenMP."""
    text = 'extern "C" void GOMP_barrier(); extern "C" void edge_lists() { GOMP_barrier(); }'
    compiler = dataclasses.replace(toolchain.find_compiler(), flags=("-fPIC", "-shared", "-nostdlib"))
    library = next(name for name in code if name.startswith("edge_lists"))
    assert messages([packed(tmp_path / "a.pt2", {**code, library: compiler.compile(text)})]) == [None]


TOGETHER = """
import ctypes, json, sys, torch

job = torch.load(sys.argv[1], weights_only=True)
library = ctypes.CDLL(job["library"])
library.equipot_load_kernels.restype = ctypes.c_char_p
said = []

def import_kernels():
    from equipot_kernels._build import registry
    registry.import_ops()

def load(path):
    said.append(library.equipot_load_kernels(path.encode()))

def run(number):
    name, arguments = job["calls"][number]
    job["results"].append((getattr(torch.ops.equipot_kernels, name)(*arguments),))

first, second = job["files"]
if PYTHON_FIRST:
    import_kernels()
load(first)
run(0)
import_kernels()
run(0)
load(second)
run(0)
run(1)
torch.save(job["results"], sys.argv[1])
print(json.dumps([text and text.decode() for text in said]))
"""
"""An engine in a process that imports this package, before or after it loads the first file."""


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_with_python_in_the_same_process(engine, code, tmp_path, first):
    calls, expected = contraction()
    other = {**CONTRACTION, "channels": 3}
    (name, (matrices, x, ptr, _)), *_ = calls
    wider = (name, (matrices.expand(3, 1, 1, 3), x.expand(3, 1, 3), ptr, registry.handle_of(other)))
    files = [packed(tmp_path / "a.pt2", code), packed(tmp_path / "b.pt2", kernel_code([other]))]
    said, results = engine(files, [*calls, wider], script=TOGETHER.replace("PYTHON_FIRST", str(first)))
    assert said == [None, None]
    for (found,) in results[:3]:
        assert torch.equal(found, expected[0])
    assert torch.equal(results[3][0], expected[0].expand(3, 1, 3))


# ------------------------------------------------------------------ what files hold


def test_the_table_says_what_kernels_need(code):
    lines = [line.split() for line in code[TABLE].decode().splitlines()]
    assert lines[0] == ["equipot_kernels", "1"]
    words = {line[0] for line in lines}
    assert words == {"equipot_kernels", "abi", "processor", "kernel", "unit", "specs"}
    units = [line[1:] for line in lines if line[0] == "unit"]
    handle = str(registry.handle_of(CONTRACTION))
    expected = [("0", "edge_lists"), (handle, "apply"), (handle, "transposed"), (handle, "outer")]
    assert [tuple(unit[:2]) for unit in units] == expected
    assert {unit[2] for unit in units} | {TABLE} == set(code)
    assert all(code[file].startswith((b"\x7fELF", b"\xcf\xfa\xed\xfe")) for _, _, file in units)
    assert json.loads(" ".join(lines[-1][1:])) == [{"family": "edge_lists"}, CONTRACTION]


def test_files_for_other_machines(kernel_folder):
    machine = prebuilt.platform.machine()
    level = prebuilt.PORTABLE[machine]
    code = kernel_code([{"family": "edge_lists"}], portable=True)
    assert code[TABLE].decode().splitlines()[2].split() == ["processor", machine, *sorted(prebuilt.LEVELS[level][1])]
    (name,) = code.keys() - {TABLE}
    made = (kernel_folder / "kernels").glob(f"{name.removesuffix('.so')}-{level}-*.so")
    assert code[name] in [path.read_bytes() for path in made]


def test_no_portable_kernels_for_unknown_machines(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(KernelError, match="portable kernels are made on .*got 'pdp11'; compile without --portable"):
        kernel_code([{"family": "edge_lists"}], portable=True)


def test_tables_are_looked_up_only_with_splines(monkeypatch):
    monkeypatch.setattr("equipot_kernels._build.cache.contents", lambda *_, **__: (b"", ""))
    specs = small_specs("float32")
    without, with_splines = (kernel_code(given) for given in ([specs["conv"]], [specs["conv"], specs["spline"]]))
    assert {name.split("-")[0] for name in without} == {
        TABLE,
        *(f"convolution_{unit}" for unit in ("forward", "backward_xyw", "backward_yw", "backward_xw")),
    }
    assert {name.split("-")[0] for name in with_splines} > {"convolution_table_forward", "spline_evaluate"}


def test_files_hold_what_models_build_for_forces(make_model):
    model = enable_FusedKernels(make_model())
    for module in model.modules():
        if isinstance(module, FusedConvolution):
            for tables in (False, True):
                for handle, unit in module.units(torch.float64, tables=tables):
                    assert unit in registry.family_of(registry.spec_of(handle)).FORCES


def test_specs_that_are_not_valid():
    with pytest.raises(KernelError, match="unknown family"):
        kernel_code([{"family": "sorcery"}])


# ------------------------------------------------------------------ the library


def test_the_library_has_the_ops_of_python():
    """Its list of ops is made of the one that Python registers; one without a function would not compile."""
    text = source()
    for name, schema in torch_ops.schemas().items():
        assert f"OP({name}, {json.dumps(schema)})" in text
        registered = getattr(torch.ops.equipot_kernels, name).default._schema
        assert str(registered) == f"equipot_kernels::{schema}"


def test_the_library_is_compiled_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(toolchain.Compiler, "compile", lambda _, text: made.append(text) or b"library")
    monkeypatch.setattr(toolchain, "find_compiler", lambda: toolchain.Compiler(("c++",), (), "c"))
    path = native_library(tmp_path / "own")
    assert native_library(tmp_path / "own") == path
    assert path.read_bytes() == b"library"
    assert made == [source()]
    path.write_bytes(b"other contents")
    assert native_library(tmp_path / "own").read_bytes() == b"library"
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert native_library(tmp_path / "own") != path


def test_a_folder_that_others_can_write(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(KernelError, match="other users can write to it; choose a folder of your own"):
        native_library(tmp_path)
