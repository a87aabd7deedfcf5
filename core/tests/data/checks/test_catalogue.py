"""The descriptions of all checks, from which their page is made."""

import re

import pytest

from equipot.data.checks import CHECKS, Finding, define
from equipot.data.checks._catalogue import SEVERITIES, code_problems

TEXTS = ("law", "threshold", "why", "advice")


@pytest.mark.parametrize("code", CHECKS)
def test_every_check_says_what_users_need(code):
    check = CHECKS[code]
    assert check.code == code
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    assert check.severity in SEVERITIES
    for name in TEXTS:
        assert len(getattr(check, name)) > 10, name


def test_a_code_is_defined_once():
    with pytest.raises(ValueError, match="two checks have the code 'contact'"):
        define(CHECKS["contact"])


def test_a_finding_as_plain_containers():
    check = CHECKS["contact"]
    finding = Finding(check=check, count=1, example="a.xyz, frame 0", message="too close", places=("a.xyz, frame 0",))
    assert finding.to_dict() == {
        "code": "contact",
        "severity": "warning",
        "count": 1,
        "example": "a.xyz, frame 0",
        "message": "too close",
        "remedy": check.remedy,
    }


def test_unknown_codes():
    assert code_problems(["contact"], "data.accept") == []
    (text,) = code_problems(["contact", "contcat"], "data.accept")
    assert text == "data.accept.1: unknown check, got 'contcat'; did you mean 'contact'?"
