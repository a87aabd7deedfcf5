import dataclasses
import subprocess
import sys

import pytest

from equipot.compile import AseTarget, ExportTarget
from equipot.fields import OPTIONAL_INPUTS


def test_the_base_serves_everything_that_is_asked_of_no_one_else(make_model):
    model, target = make_model(), ExportTarget()
    assert target.localities == ("strict", "hops", "global")
    assert (target.inputs, target.outputs, target.optional_inputs, target.native) == ((), (), (), False)
    assert target.refusals(model.info) == []
    assert target.adapted(model) is model
    assert target.metadata(model.info) == {}


def test_python_can_give_every_input():
    assert AseTarget().optional_inputs == OPTIONAL_INPUTS
    assert AseTarget() == AseTarget() != ExportTarget()


def test_targets_hold_no_state():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AseTarget().native = True


def test_importing_one_imports_no_torch():
    code = "import sys; from equipot.compile import ExportTarget; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
