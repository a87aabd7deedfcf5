"""The library that gives other programs the ops: made once, with the ops of Python."""

import json

import pytest
import torch

from equipot_kernels._build import toolchain, torch_ops
from equipot_kernels._build.errors import KernelError
from equipot_kernels._native.library import native_library, source


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
