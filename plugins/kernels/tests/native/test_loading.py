"""Files of kernels in a process that knows nothing of equipot: they are loaded, or a reason is given."""

import dataclasses
import zipfile

import pytest
import torch

from equipot_kernels._build import prebuilt, registry, toolchain
from equipot_kernels._native.code import TABLE, kernel_code
from equipot_test_support.kernel_files import CONTRACTION, packed
from equipot_test_support.mounts import mounted_tmpfs

EDGES = torch.tensor([[0, 0, 1], [1, 2, 0]])


def contraction():
    """An op with a handle, and what it gives."""
    numbers = torch.arange(1.0, 4.0, dtype=torch.float64).reshape(3, 1, 1)
    arguments = (numbers.unsqueeze(1), numbers, torch.tensor([0, 2, 3, 3]), registry.handle_of(CONTRACTION))
    return [("al_mv", arguments)], [torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).reshape(3, 1, 1)]


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
