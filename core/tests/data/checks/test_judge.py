"""The verdict: what it says, in which order, and on one screen."""

import json

import pytest

from equipot.data._collection import NOTES, FrameNote
from equipot.data._frames import label_contract
from equipot.data.checks import CHECKS, Check, Finding, Verdict, _consistency, judge
from equipot.data.checks._geometry_checks import CONTACT
from equipot.data.checks._judge import ONE_PASS, SAME
from equipot.data.checks._label_energies import ENERGY_FAR_OFF
from equipot.data.checks._label_forces import CONSTRAINED
from equipot.data.checks._label_presence import NAN
from equipot.data.checks._set_checks import RANK
from equipot.errors import ConfigError
from equipot_test_support.faults import alloys, changed, collection, ethanol, warned, water_boxes

LONG = "/a/long/path/" * 10 + "train.xyz, frame 12"


@pytest.fixture(autouse=True)
def fitted(monkeypatch):
    """What the checks by a fit find, in place of the true ones."""
    found = ([], {})
    monkeypatch.setattr(_consistency, "consistency_findings", lambda *_, **__: found)
    return found


def finding(check, count=3, example="train.xyz, frame 1", message="something is odd", **more):
    return Finding(check=check, count=count, example=example, message=message, **more)


def check_by_fit(code):
    texts = dict.fromkeys(("title", "law", "threshold", "why", "remedy"), "…")
    return Check(code=code, severity="warning", **texts)


@pytest.mark.parametrize("frames", [ethanol, water_boxes, alloys])
def test_nothing_is_said_of_sound_frames(frames):
    assert warned(frames()) == set()


def test_findings_are_sorted_by_severity(fitted):
    frames = ethanol(30)
    frames[2] = changed(frames[2], positions=frames[2].positions * 0.1)
    fitted[0].append(finding(NAN))
    verdict = judge({"train": collection(frames)}, label_contract(None))
    assert [one.code for one in verdict.findings] == ["label-nan", "contact", "composition-rank"]
    assert [one.code for one in verdict.failures] == ["label-nan"]
    assert verdict.sampling == "all 30 frames"


def test_json():
    plain = Verdict(findings=(finding(CONTACT),), not_applicable={"stress-sign": "no stress"}, sampling="all").to_dict()
    assert json.loads(json.dumps(plain)) == {
        "findings": [
            {
                "code": "contact",
                "severity": "warning",
                "count": 3,
                "example": "train.xyz, frame 1",
                "message": "something is odd",
                "remedy": CONTACT.remedy,
            }
        ],
        "not_applicable": {"stress-sign": "no stress"},
        "accepted": {},
        "sampling": "all",
    }


def test_one_screen():
    every = [
        finding(one, example=LONG, message="a message that is as long as those of a check are " * 2)
        for one in CHECKS.values()
    ]
    text = str(
        Verdict(findings=tuple(every), not_applicable={"a-code": "no forces", "b-code": "no forces"}, sampling="all")
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "…" in text
    assert "train.xyz, frame 12" in text
    assert "not applicable (no forces): a-code, b-code" in text
    few = str(Verdict(findings=tuple(finding(one) for one in (NAN, CONTACT, RANK)), sampling="all 40 frames"))
    assert few.splitlines() == [
        "Checks of the data: 1 error, 1 warning, 1 note",
        "error label-nan: something is odd",
        "  at  train.xyz, frame 1",
        "  do  Remove the frames, or treat NaN as missing with mask_nan_labels: true.",
        "warning contact: something is odd",
        "  at  train.xyz, frame 1",
        "  do  Look at the pair that is named; remove the frame, or keep it if it was",
        "      computed on purpose.",
        "note composition-rank: something is odd",
        "looked at: all 40 frames",
    ]


def test_notes_of_readers_are_counted_by_text(fitted):
    frames = ethanol(4)
    for index, text in ((0, "one"), (2, "one"), (3, "other")):
        frames[index].info[NOTES] = [("contact", text)]
    frames[1].info[NOTES] = [("of-a-plugin", "a thing")]
    verdict = judge({"train": collection(frames)}, label_contract(None))
    seen = [(one.code, one.severity, one.count, one.example, one.message) for one in verdict.findings[:3]]
    assert seen[:2] == [
        ("contact", "warning", 2, "train.xyz, frame 0", "one (2 frames)"),
        ("contact", "warning", 1, "train.xyz, frame 3", "other (1 frame)"),
    ]
    note = next(one for one in verdict.findings if one.code == "reader-note")
    assert (note.severity, note.example, note.message) == ("note", "train.xyz, frame 1", "a thing (1 frame)")
    assert collection(frames).notes[0] == (FrameNote("contact", "one"),)


def test_what_is_accepted_is_not_said_but_counted(fitted):
    fitted[0].append(finding(CONTACT, count=5))
    verdict = judge({"train": collection(ethanol(5))}, label_contract(None), accept=["contact", "label-nan"])
    assert [one.code for one in verdict.findings] == ["composition-rank"]
    assert verdict.accepted == {"contact": 5}
    assert "accepted: contact (5)" in str(verdict)
    with pytest.raises(ConfigError, match=r"accept.0: unknown check, got 'contcat'; did you mean 'contact'\?"):
        judge({}, label_contract(None), accept=["contcat"])


def test_strict(fitted):
    fitted[0].append(finding(CONTACT))
    sets, contract = {"train": collection(ethanol(5))}, label_contract(None)
    assert judge(sets, contract).failures == ()
    assert [one.code for one in judge(sets, contract, strict=True).failures] == ["contact"]


@pytest.mark.parametrize("code", SAME)
def test_what_a_fit_says_better_is_said_once(code, fitted, monkeypatch):
    places = ("train.xyz, frame 1",)
    monkeypatch.setattr(
        "equipot.data.checks._judge.one_pass", lambda *_: ([finding(CHECKS[code], places=places)], "all")
    )
    contract = label_contract(None)
    assert [one.code for one in judge({}, contract).findings] == [code]
    fitted[0].append(finding(check_by_fit(SAME[code]), places=places))
    assert [one.code for one in judge({}, contract).findings] == [SAME[code]]


def test_other_frames_that_are_far_off_are_said_too(fitted, monkeypatch):
    mine = finding(ENERGY_FAR_OFF, places=("train.xyz, frame 9",))
    monkeypatch.setattr("equipot.data.checks._judge.one_pass", lambda *_: ([mine], "all"))
    fitted[0].append(finding(check_by_fit(SAME[mine.code]), places=("train.xyz, frame 1",)))
    assert {one.code for one in judge({}, label_contract(None)).findings} == {mine.code, SAME[mine.code]}


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_absurd_numbers(factor):
    frames = ethanol(25)
    for index, atoms in enumerate(frames[:15]):
        results = {key: value * factor * (index + 1) for key, value in atoms.calc.results.items()}
        frames[index] = changed(atoms, **results, positions=atoms.positions * (factor if index % 2 else 1))
    verdict = judge({"train": collection(frames)}, label_contract(None))
    (one,) = verdict.failures
    assert (one.code, one.count, one.example) == ("neighbours-impossible", 7, "train.xyz, frame 1")


def test_every_check_of_one_pass_is_sound_on_no_frames():
    verdict = judge({"train": collection([])}, label_contract(None))
    assert (verdict.findings, verdict.sampling) == ((), "all 0 frames")
    assert len(ONE_PASS) == 9
    assert CONSTRAINED.code in CHECKS
