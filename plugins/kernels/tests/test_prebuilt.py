import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from equipot_kernels import _command
from equipot_kernels._build import cache, prebuilt, registry, toolchain
from equipot_kernels._build.errors import KernelError

SOURCE = 'extern "C" int answer() { return %d; }'


@pytest.fixture(autouse=True)
def _empty(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(cache, "_origins", {})
    monkeypatch.setattr(registry, "_functions", {})
    monkeypatch.setattr(prebuilt, "FOLDER", tmp_path / "prebuilt")
    monkeypatch.setattr(prebuilt, "supported", lambda: ("fast", "slow"))
    monkeypatch.setattr(prebuilt, "LEVELS", {"fast": (), "slow": ()})


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def put(level, number, *, made_of=None):
    """A library that gives a number, under the name of a source."""
    source = SOURCE % (number if made_of is None else made_of)
    path = prebuilt.FOLDER / level / f"test-{cache.key_of(source)}.so"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(toolchain.find_compiler().compile(SOURCE % number))
    return path


def test_a_prebuilt_kernel_needs_neither_compiler_nor_cache(tmp_path, monkeypatch):
    put("slow", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", "/proc/none")
    assert cache.load(SOURCE % 1, "test").answer() == 1
    assert cache.origins() == {"slow": 1}


def test_the_fastest_level_is_taken_and_before_the_cache():
    assert cache.load(SOURCE % 3, "test").answer() == 3
    cache._loaded.clear()
    put("fast", 103, made_of=3)
    put("slow", 203, made_of=3)
    assert cache.load(SOURCE % 3, "test").answer() == 103


def test_levels_that_the_processor_lacks_are_not_taken(monkeypatch):
    monkeypatch.setattr(prebuilt, "supported", lambda: ("slow",))
    put("fast", 104, made_of=4)
    assert cache.load(SOURCE % 4, "test").answer() == 4
    assert cache.origins() == {cache.BUILT: 1}


def test_another_source_is_another_kernel(no_compiler, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.defpath)
        put("fast", 5)
    with pytest.raises(KernelError, match="found no C"):
        cache.load(SOURCE % 6, "test")


def test_a_file_that_cannot_be_loaded_is_built_instead():
    put("fast", 6).write_bytes(b"no library")
    assert cache.load(SOURCE % 6, "test").answer() == 6
    assert cache.origins() == {cache.BUILT: 1}


def test_origins_tell_new_from_cached():
    cache.load(SOURCE % 7, "test")
    cache._loaded.clear()
    cache._origins.clear()
    cache.load(SOURCE % 7, "test")
    assert cache.origins() == {cache.CACHED: 1}


AVX2 = "fpu sse2 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
AVX512 = f"{AVX2} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("system", "machine", "flags", "levels"),
    [
        ("Linux", "x86_64", f"flags : {AVX512}", ("x86-64-v4", "x86-64-v3")),
        ("Linux", "x86_64", f"flags : {AVX2}", ("x86-64-v3",)),
        ("Linux", "x86_64", f"flags : {AVX2.replace(' fma', '')}", ()),
        ("Linux", "x86_64", f"flags : {AVX512.replace(' avx512vl', '')}", ("x86-64-v3",)),
        ("Linux", "aarch64", "Features : fp asimd evtstrm", ("armv8-a",)),
        ("Linux", "riscv64", "isa : rv64", ()),
        ("Darwin", "x86_64", f"flags : {AVX512}", ()),
    ],
)
def test_levels_of_processors(system, machine, flags, levels, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"processor : 0\n{flags}\n")
    assert prebuilt.supported.__wrapped__() == levels


def test_the_command_says_what_is_there(tmp_path, no_compiler, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")
        put("slow", 8)
    text = CliRunner().invoke(_command.command, catch_exceptions=False).output
    assert "processor: fast, slow\n" in text
    assert "prebuilt: 1 for slow; used here: slow\n" in text
    assert f"built here: 0 in {tmp_path}/cache/kernels\n" in text
    assert "compiler: none (" in text


def test_the_command_without_any(monkeypatch):
    monkeypatch.setattr(prebuilt, "supported", tuple)
    text = CliRunner().invoke(_command.command, catch_exceptions=False).output
    assert "processor: of no level with prebuilt kernels\nprebuilt: none in this installation\n" in text


def test_the_command_counts_the_kernels_of_a_model(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr("equipot.artifacts.load_model", lambda _: make_model(do_derivatives=True))
    text = CliRunner().invoke(_command.command, ["model.ckpt"], catch_exceptions=False).output
    (line,) = [line for line in text.splitlines() if line.startswith("model.ckpt: ")]
    assert line == f"model.ckpt: {len(list(cache.folder().glob('*.so')))} {cache.BUILT}"
    assert sum(cache.origins().values()) >= 6
