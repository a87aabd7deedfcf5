"""Hostile configs, packages, checkpoints, compiled files and caches: refused with one line, nothing executed.

The corpus is made by ``tests/support/hostile``; hostile data files are in ``test_hostile_data.py``.
"""

import pytest

from hostile import families, report, runner


def tried(folder, capsys, *, every):
    seeds = families.valid_files()
    cases = [case for name in families.NAMES for case in families.cases(name, seeds)[::every]]
    found = runner.run(cases, folder, families.common(seeds), servers=2)
    with capsys.disabled():
        print(f"\n{report.table(found)}")  # noqa: T201 - the figures of the report
    assert not report.failures(found)
    return [sum(one.case.family in kind for one in found) for kind in (families.CONFIGS, families.FILES)]


@pytest.mark.slow
def test_every_other_input_is_refused_or_harmless(tmp_path, capsys):
    configs, files = tried(tmp_path, capsys, every=2)
    assert configs >= 250
    assert files >= 350


@pytest.mark.nightly
def test_all_inputs_are_refused_or_harmless(tmp_path, capsys):
    configs, files = tried(tmp_path, capsys, every=1)
    assert configs >= 500
    assert files >= 700
