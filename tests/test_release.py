"""Wheels are the same byte for byte whoever builds them, and workflows give each job the least it needs."""

import importlib.util
import re

import pytest
import yaml

from equipot_test_support import ROOT

SCAFFOLD = ROOT / "plugins/testing/src/equipot_testing/_scaffold/templates/common/dot_github/workflows"


def _release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path):
    release = _release()
    found = []
    for name in ("one", "two"):
        tree, out = tmp_path / name / "tree", tmp_path / name / "dist"
        tree.mkdir(parents=True)
        found.append(release.sums(release.build_wheels(release.checkout(tree), out)))
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == len(release.projects(ROOT))


@pytest.mark.parametrize("name", ["ci.yml.tmpl", "publish.yml.tmpl"])
def test_actions_are_pinned_by_digest_and_permissions_are_least(name):
    workflow = yaml.safe_load((SCAFFOLD / name).read_text(encoding="utf-8").replace("$$", "$"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]


def test_only_the_job_that_publishes_has_a_token_and_it_runs_no_code_of_the_project():
    jobs = yaml.safe_load((SCAFFOLD / "publish.yml.tmpl").read_text(encoding="utf-8"))["jobs"]
    assert "id-token" not in jobs["build"].get("permissions", {})
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not [step for step in publish["steps"] if "run" in step]
