"""What files hold: a table, and the kernels that models build for forces."""

import json

import pytest
import torch

from equipot_kernels._build import prebuilt, registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._modifier import enable_FusedKernels
from equipot_kernels._native.code import TABLE, kernel_code
from equipot_test_support.kernel_files import CONTRACTION, small_specs


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
