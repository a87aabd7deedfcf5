"""Running a kit without pytest, and what its report says."""

import dataclasses
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from equipot_testing import KIT_VERSION, conformance
from equipot_testing._base import Conformance
from equipot_testing._checklist import DECLARATION, PREFIX, NotApplicable, after, slow
from equipot_testing._report import Section, as_data, badge, exit_code, in_words
from equipot_testing.calculators.conformance import CalculatorConformance
from equipot_testing.run import run_checks

KITS = [*(getattr(conformance, name) for name in conformance.__all__), CalculatorConformance]


class Small(Conformance):
    kind = "pair_potentials"
    target = str
    basics = ("first",)
    expected_failures: ClassVar = {"known": "by design", "mended": "was broken once"}
    test_options_documented = None
    test_no_open_options = None
    test_declaration_imports_no_torch = None
    test_import_has_no_side_effects = None
    test_imports_core_only = None

    def test_first(self):
        """One is one.

        Tolerance: none.
        Why: numbers.
        Goes wrong: rarely,
        but it does.
        """
        self.note = "measured 1"

    def test_broken(self):
        """Two is three."""
        raise AssertionError("two is two")

    @after("broken")
    def test_builds_on_it(self):
        """Four is nine."""

    @after("builds_on_it")
    def test_builds_on_that(self):
        """Sixteen is eighty-one."""

    def test_known(self):
        """Fails, as everybody knows."""
        raise AssertionError("as expected")

    def test_mended(self):
        """Passes by now."""

    def test_elsewhere(self):
        """Says nothing here."""
        raise NotApplicable("there is nothing to say")

    def test_crashes(self):
        """Divides."""
        return 1 / 0

    @slow
    def test_long(self):
        """Takes its time."""

    def test_wants_a_fixture(self, tmp_path):
        """Is the author's own test."""


def section(kit=Small, **options):
    return Section("pair_potentials", "Small", "small 1.0", "a remark", tuple(run_checks(kit, **options)))


def test_states():
    states = {one.check.name: one.state for one in section().outcomes}
    assert states == {
        "first": "passed",
        "broken": "failed",
        "builds_on_it": "not judged",
        "builds_on_that": "not judged",
        "known": "expected failure",
        "mended": "unexpected pass",
        "elsewhere": "not applicable",
        "crashes": "failed",
        "long": "slow",
    }
    assert {one.check.name: one.state for one in section(slow=True).outcomes}["long"] == "passed"


def test_nothing_is_judged_where_a_basic_law_is_broken():
    class Worse(Small):
        def test_first(self):
            """One is two."""
            raise AssertionError("one is one")

    assert [one.state for one in section(Worse).outcomes] == ["failed"] + ["not judged"] * 8


def test_any_error_of_a_component_is_a_finding():
    class Leaving(Small):
        def test_first(self):
            """One is one."""
            raise SystemExit("line 1\nline 2")

    outcome = section(Leaving).outcomes[0]
    assert outcome.state == "failed"
    assert outcome.message.startswith("SystemExit: line 1 (test_report.py:")


def test_docstrings_say_law_tolerance_reason_and_mistakes():
    check = Small.checks()[0]
    assert (check.law, check.tolerance, check.why) == ("One is one.", "none.", "numbers.")
    assert check.goes_wrong == "rarely, but it does."


def test_report_in_words():
    text = in_words(section(), verbose=True)
    start = """\
pair potential Small (small 1.0)
  a remark
  BROKEN broken
    law:   Two is three.
    found: two is two
    read:  reference/conformance.html#check-pair-potentials-broken
  BROKEN mended
    law:   Passes by now.
    found: passes, but is listed as expected failure
    read:  reference/conformance.html#check-pair-potentials-mended
  BROKEN crashes
    law:   Divides.
    found: ZeroDivisionError: division by zero (test_report.py:"""
    assert text.startswith(start)
    assert "  ok             first           measured 1\n" in text
    assert "  not judged     builds_on_that  broken fails\n" in text
    assert "  expected failure known: by design\n" in text
    assert text.endswith(
        "\n  2 of 5 laws hold; 2 not judged, since a law they build on is broken; 1 do not apply; "
        "1 slow ones left out (--slow runs them)"
    )


def test_report_for_programs_and_badge():
    data = as_data("small", [section()])
    assert data == json.loads(json.dumps(data))
    assert (data["kit_version"], data["passed"]) == (KIT_VERSION, False)
    assert data["components"][0]["broken"] == ["broken", "mended", "crashes"]
    assert data["badge"] == {
        "schemaVersion": 1,
        "label": f"equipot conformance {KIT_VERSION}",
        "message": "2 of 5 laws hold",
        "color": "red",
    }


def test_exit_codes():
    class Fine(Small):
        expected_failures: ClassVar = {}
        test_broken = test_known = test_mended = test_crashes = None

    fine, unchecked = section(Fine), Section("modifiers", "x", "y 1", "needs more", None)
    assert (exit_code([fine]), exit_code([section()]), exit_code([unchecked])) == (0, 1, 2)
    assert exit_code([fine, unchecked]) == 0
    assert badge([fine])["color"] == "brightgreen"
    assert badge([fine, unchecked])["color"] == "yellow"
    assert badge([unchecked])["message"] == "not checked"
    assert in_words(unchecked) == "modifier x (y 1)\n  needs more\n  NOT CHECKED"


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
def test_every_check_says_what_how_closely_why_and_where_it_goes_wrong(kit):
    assert kit.checks()
    for check in kit.checks():
        for said in (check.law, check.tolerance, check.why, check.goes_wrong):
            assert said.endswith("."), check
        for name in getattr(getattr(kit, PREFIX + check.name), "equipot_after", ()):
            assert hasattr(kit, PREFIX + name), check


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
def test_checks_come_after_what_they_build_on(kit):
    """Else a report could not leave them out."""
    order = [check.name for check in kit.checks()]
    for check in kit.checks():
        assert all(order.index(name) < order.index(check.name) for name in check.after), check


def test_each_check_is_described_on_the_reference_page():
    page = (Path(__file__).parents[3] / "docs/reference/conformance.md").read_text(encoding="utf-8")
    shown = {pkgutil.resolve_name(path) for path in re.findall(r"{equipot-checks} (\S+)", page)}
    homes = {getattr(kit, "kind", DECLARATION): kit for kit in shown}
    assert len(homes) == len(shown) == len(KITS) + 1
    for kit in KITS:
        for check in kit.checks():
            there = [one for one in homes[check.home].checks() if one.anchor == check.anchor]
            assert [one.law for one in there] == [check.law], check


def test_override_without_a_docstring_keeps_law_and_order():
    class Mine(conformance.ModelBuilderConformance):
        @pytest.mark.slow
        def test_trace(self):
            super().test_trace()

    (mine,) = (check for check in Mine.checks() if check.name == "trace")
    (base,) = (check for check in conformance.ModelBuilderConformance.checks() if check.name == "trace")
    assert mine == dataclasses.replace(base, slow=True)
    assert mine.anchor == "check-model-builders-trace"


@pytest.mark.slow
def test_kit_needs_no_pytest():
    code = (
        "import sys\nsys.modules['pytest'] = None\n"
        "import equipot_testing._subjects, equipot_testing._report, equipot_testing.calculators._worker"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
