import multiprocessing
import os
import stat

import pytest

from equipot_kernels._build import cache, registry, toolchain
from equipot_kernels._build.errors import KernelError

SOURCE = 'extern "C" int answer() { return %d; }'


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_loaded", {})


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def built(tmp_path):
    return sorted((tmp_path / "kernels").iterdir())


def answer(number, name="test"):
    return cache.load(SOURCE % number, name).answer()


def another_process():
    """What a new process sees: nothing loaded."""
    cache._loaded.clear()


def test_built_once(tmp_path, monkeypatch):
    assert answer(1) == 1
    (path,) = built(tmp_path)
    another_process()
    monkeypatch.setattr(toolchain.Compiler, "compile", lambda *_: pytest.fail("compiled again"))
    assert answer(1) == 1
    assert built(tmp_path) == [path]


def test_files_are_for_their_owner_only(tmp_path):
    answer(2)
    (path,) = built(tmp_path)
    for place in (path, path.parent):
        assert not place.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def test_needs_no_compiler_once_built(no_compiler, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.defpath)
        answer(3)
    another_process()
    assert answer(3) == 3


def test_without_compiler(no_compiler):
    with pytest.raises(KernelError, match=r"found no C\+\+ compiler, got .*; install a C\+\+ compiler \(apt install"):
        answer(4)


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:-1] + b"?", lambda _: b""])
def test_damaged_file_is_built_again(tmp_path, damage):
    answer(5)
    (path,) = built(tmp_path)
    good = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(good))
    path.chmod(0o700)
    another_process()
    assert answer(5) == 5
    assert [file.read_bytes() for file in built(tmp_path)] == [good]


def test_file_that_others_can_write_is_not_loaded(tmp_path):
    answer(6)
    (path,) = built(tmp_path)
    path.chmod(0o777)
    another_process()
    assert answer(6) == 6
    assert not built(tmp_path)[0].stat().st_mode & stat.S_IWOTH


def test_folder_that_others_can_write_is_not_used(tmp_path, caplog):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(0o777)
    cache._folder_of_process.cache_clear()
    assert answer(7) == 7
    assert list(folder.iterdir()) == []
    assert "kernels are not cached" in caplog.text
    assert "other users can write to it" in caplog.text


def test_source_that_does_not_compile(tmp_path):
    with pytest.raises(KernelError, match=r"kernels: the compiler .* failed: .*error"):
        cache.load("this is no C++", "test")
    assert built(tmp_path) == []


def test_compiler_with_flags_that_make_nothing_loadable(tmp_path, monkeypatch):
    """One that takes -fopenmp but has no library for it."""
    script = tmp_path / "compiler"
    broken = "echo 'extern int nowhere; int* probe = &nowhere;'"
    script.write_text(f'#!/bin/sh\ncase "$*" in *-fopenmp*) {broken} | c++ "$@";; *) exec c++ "$@";; esac\n')
    script.chmod(0o700)
    monkeypatch.setenv("CXX", str(script))
    assert "-fopenmp" not in toolchain.find_compiler().flags
    assert answer(11) == 11


def test_library_that_cannot_be_loaded():
    with pytest.raises(KernelError, match=r"cannot be loaded \(.*nowhere.*\); set CXX to another compiler"):
        cache.load("extern int nowhere; int* answer = &nowhere;", "test")


def test_several_processes_at_once(tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(answer, [8] * 3) == [8] * 3
    assert len(built(tmp_path)) == 1


def test_other_sources_and_processors_have_other_files(tmp_path, monkeypatch):
    answer(9)
    answer(10)
    monkeypatch.setattr(toolchain, "processor", lambda: "another")
    another_process()
    answer(9)
    assert len(built(tmp_path)) == 3


def test_handle_is_the_hash_of_the_spec():
    spec = {"family": "convolution", "dtype": "float32", "layout_in": "2x0e", "layout_edge": "1x0e"}
    spec["paths"] = [[0, 0, 0, 1]]
    handle = registry.handle_of(spec)
    assert handle == registry.handle_of(dict(reversed(spec.items())))
    assert 0 <= handle < 2**63
    assert handle != registry.handle_of({**spec, "dtype": "float64"})
    assert registry.spec_of(handle) == spec


def test_unknown_handle():
    with pytest.raises(KernelError, match="no kernel has this handle, got 12345; load compiled models with equipot"):
        registry.function(12345, "forward")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "sorcery"}, "unknown family"),
        ({"dtype": "float16"}, "is not a spec of a convolution"),
        ({"layout_in": '2x0e"; system("rm")'}, "is not a spec of a convolution"),
        ({"layout_in": 3}, "is not a spec of a convolution"),
        ({"layout_edge": "2x0e"}, "edge attributes must have multiplicity 1"),
        ({"paths": [[0, 0, 1, -1]]}, "a path has an irrep that its blocks cannot couple to"),
        ({"paths": [[3, 0, 0, 1]]}, "a path refers to a block that does not exist"),
        ({"paths": []}, "it must have 1 to 10000 paths"),
        ({"more": 1}, "is not a spec of a convolution"),
    ],
)
def test_wrong_specs_are_refused(change, message):
    spec = {"family": "convolution", "dtype": "float32", "layout_in": "2x0e", "layout_edge": "1x0e"}
    with pytest.raises(KernelError, match=message):
        registry.prepare([{**spec, "paths": [[0, 0, 0, 1]], **change}])
