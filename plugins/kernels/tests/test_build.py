import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from equipot import caches
from equipot_kernels._build import cache, registry, toolchain
from equipot_kernels._build.errors import KernelError
from equipot_test_support.mounts import mounted_tmpfs

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


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_ours_is_not_loaded(tmp_path, kind):
    answer(12)
    (path,) = built(tmp_path)
    good = path.rename(tmp_path / "elsewhere.so")
    {"link": lambda: path.symlink_to(good), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    another_process()
    if kind == "folder":
        with pytest.raises(KernelError, match="cannot hold kernels"):
            answer(12)
        return
    assert answer(12) == 12
    assert [file.is_file() and not file.is_symlink() for file in built(tmp_path)] == [True]


def test_file_of_another_user_is_not_loaded(tmp_path, monkeypatch, caplog):
    answer(13)
    (path,) = built(tmp_path)
    caches._say.cache_clear()
    if os.getuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
        cache._folder_of_process.cache_clear()
    another_process()
    assert answer(13) == 13
    assert "it belongs to another user" in caplog.text


# ------------------------------------------------------------------ folders that do not allow execution


@pytest.fixture
def noexec(tmp_path):
    with mounted_tmpfs(tmp_path / "noexec", "50m", "noexec") as path:
        yield path


@pytest.fixture
def _probed_again():
    toolchain._find.cache_clear()
    cache._folder_of_process.cache_clear()
    yield
    toolchain._find.cache_clear()


@pytest.mark.usefixtures("_probed_again")
def test_temporary_files_may_not_run(tmp_path, noexec, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(noexec))
    assert answer(14) == 14
    assert [path.suffix for path in built(tmp_path)] == [".so"], "nothing else stays in the cache"


@pytest.mark.usefixtures("_probed_again")
def test_no_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert answer(15) == 15


@pytest.mark.usefixtures("_probed_again")
def test_the_cache_may_not_run(noexec, monkeypatch, caplog):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(noexec))
    assert answer(16) == 16
    assert "kernels: does not allow execution (it is mounted with noexec); EQUIPOT_CACHE_DIR names" in caplog.text


@pytest.mark.usefixtures("_probed_again")
def test_nothing_may_run(noexec, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(noexec))
    monkeypatch.setenv("TMPDIR", str(noexec))
    with pytest.raises(
        KernelError, match=r"TMPDIR: .* does not allow execution .*set TMPDIR to a folder that allows it"
    ):
        answer(17)


@pytest.mark.usefixtures("_probed_again")
def test_no_home_folder(monkeypatch, caplog):
    monkeypatch.delenv("EQUIPOT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/proc/none"))
    assert answer(18) == 18
    assert "kernels are not cached: /proc/none/.cache/equipot/kernels: it cannot be made" in caplog.text


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
        ({"family": ["convolution"]}, "unknown family"),
        ({"family": None}, "unknown family"),
        ({"dtype": ["float32"]}, "is not a spec of a convolution"),
        ({"dtype": float("nan")}, "must hold JSON values only"),
        ({"paths": {"0": 1}}, "paths"),
        ({"paths": [[0, 0, 0]]}, "path"),
        ({"paths": [0]}, "path"),
        ({"paths": [[0, 0, 0, True]]}, "path"),
        ({"paths": [["0", 0, 0, 1]]}, "path"),
        ({"layout_in": "9999999x9e"}, "layout|irrep|must"),
        ({"layout_in": ["1x0e"]}, "is not a spec of a convolution"),
    ],
)
def test_wrong_specs_are_refused(change, message):
    spec = {"family": "convolution", "dtype": "float32", "layout_in": "2x0e", "layout_edge": "1x0e"}
    with pytest.raises(KernelError, match=message):
        registry.prepare([{**spec, "paths": [[0, 0, 0, 1]], **change}])


@pytest.mark.parametrize("family", ["edge_lists", "edge_pairs", "type_lists"])
def test_families_of_one_kernel_have_no_options(family):
    registry.handle_of({"family": family})
    with pytest.raises(KernelError, match=f"is not a spec of {family}, which has no options"):
        registry.handle_of({"family": family, "more": 1})


@pytest.mark.parametrize("spec", [None, 1, "convolution", [], ["family"], {}, {"family": "coupling"}, {1: {2}}])
def test_what_is_no_spec_is_refused(spec):
    with pytest.raises(KernelError):
        registry.prepare([spec])


@pytest.mark.parametrize("family", registry.FAMILIES)
@pytest.mark.parametrize("value", [None, True, -1, 0, 10**30, 1.5, "1", "", [], [[]], {}, {"a": 1}, ["1x0e"] * 3])
def test_entries_of_any_type_are_refused(family, value):
    """Each entry that any family knows, one after the other and all at once."""
    names = ["dtype", "channels", "dim_in", "dim_out", "blocks", "layout_in", "layout_edge", "layout_out", "paths"]
    for changed in [*([name] for name in names), names]:
        with pytest.raises(KernelError):
            registry.prepare([{"family": family, **dict.fromkeys(changed, value)}])
