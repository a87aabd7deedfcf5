"""The checks of outputs are in the catalogue under the codes that the readers note."""

from equipot.data._collection import DROPPED, FORCE_CONSISTENT, UNCONVERGED
from equipot.data.checks import _output_checks
from equipot.data.checks._catalogue import CHECKS


def test_codes_and_severities():
    severities = {code: CHECKS[code].severity for code in (UNCONVERGED, DROPPED, FORCE_CONSISTENT)}
    assert severities == {UNCONVERGED: "warning", DROPPED: "note", FORCE_CONSISTENT: "note"}
    assert CHECKS[UNCONVERGED] is _output_checks.UNCONVERGED_SCF


def test_thresholds_name_every_program():
    text = CHECKS[UNCONVERGED].threshold
    assert all(name in text for name in ("VASP", "Quantum ESPRESSO", "Gaussian", "ORCA", "CP2K", "FHI-aims"))
