"""Processes that know nothing of equipot, and files of two small kernels."""

import json
import subprocess
import sys

import pytest
import torch

from equipot_kernels._native.code import kernel_code
from equipot_kernels._native.library import native_library
from equipot_test_support.kernel_files import CONTRACTION

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


@pytest.fixture(scope="session")
def code(kernel_folder):
    """Files of two small kernels, to be damaged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        return kernel_code([{"family": "edge_lists"}, CONTRACTION])
