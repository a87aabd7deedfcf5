"""Hostile configs, packages, checkpoints, compiled files and caches: refused with one line, nothing executed.

The corpus is made by ``tests/support/hostile``; ``python -m hostile`` there tries parts of it. Hostile data files are
in ``test_hostile_data.py``.
"""

import pytest

from hostile import families, report, runner

SAMPLE = 24
"""Of so many cases of a family, the sample takes one."""


def tried(cases, folder):
    return runner.run(cases, folder, families.common(families.valid_files()), servers=2)


def cases_of(name):
    return families.cases(name, families.valid_files())


def test_a_sample_is_refused(tmp_path):
    cases = [case for name in families.NAMES for case in cases_of(name)[::SAMPLE]]
    found = tried(cases, tmp_path)
    assert not report.failures(found)
    assert sum(one.outcome == "refused" for one in found) > len(found) // 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What became of every case."""
    return tried([case for name in families.NAMES for case in cases_of(name)], tmp_path_factory.mktemp("hostile"))


@pytest.mark.slow
@pytest.mark.parametrize("family", families.NAMES)
def test_hostile_inputs_are_refused_or_harmless(whole, family):
    mine = [one for one in whole if one.case.family == family]
    assert len(mine) >= 30
    assert not report.failures(mine)


@pytest.mark.slow
def test_the_corpus_is_large(whole, capsys):
    with capsys.disabled():
        print(f"\n{report.table(whole)}")  # noqa: T201 - the figures of the report
    assert sum(one.case.family in families.CONFIGS for one in whole) >= 250
    assert sum(one.case.family in families.FILES for one in whole) >= 400
