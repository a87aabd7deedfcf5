"""The allocator's setting, in processes of their own: it cannot be undone."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from equipot.allocator import keep_memory

print(int(keep_memory()))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(40_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def is_set_and_faults(**variables):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    environment.pop("EQUIPOT_MALLOC", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment | variables
    )
    was_set, faults = done.stdout.split()
    return bool(int(was_set)), int(faults)


@pytest.mark.skipif(not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="no glibc")
def test_memory_stays_with_the_process():
    was_set, faults = is_set_and_faults()
    assert was_set
    left_alone, faults_alone = is_set_and_faults(EQUIPOT_MALLOC="default")
    assert not left_alone
    assert faults < 0.3 * faults_alone


@pytest.mark.parametrize("variables", [{"EQUIPOT_MALLOC": "default"}, {"MALLOC_ARENA_MAX": "2"}])
def test_the_choice_of_the_user_is_kept(variables):
    assert not is_set_and_faults(**variables)[0]
