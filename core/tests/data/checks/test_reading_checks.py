"""Every note that a reader leaves has a check that reports it."""

import pytest

from equipot.data._extxyz import NO_LINE_END
from equipot.data._remarks import UNKNOWN_UNIT, UNUSED_WEIGHTS
from equipot.data._species import SPECIES_CASE
from equipot.data.checks import _reading_checks
from equipot.data.checks._catalogue import CHECKS

NOTED = {
    NO_LINE_END: _reading_checks.NO_LINE_END,
    UNKNOWN_UNIT: _reading_checks.UNIT_TAG,
    UNUSED_WEIGHTS: _reading_checks.UNUSED_WEIGHTS,
    SPECIES_CASE: _reading_checks.SPECIES_CASE,
}


@pytest.mark.parametrize("code", NOTED)
def test_codes_of_notes_are_checks(code):
    assert CHECKS[code] is NOTED[code]
    assert CHECKS[code].severity in ("warning", "note"), "what cannot be right is an error when the file is read"
