"""Training where folders for temporary files, caches or the user's own cannot be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from equipot_test_support.mounts import mounted_tmpfs


@pytest.fixture
def folders(tmp_path):
    """Folders that do not allow something, by what that is."""
    with (
        mounted_tmpfs(tmp_path / "noexec", "50m", "noexec") as noexec,
        mounted_tmpfs(tmp_path / "read-only", "1m", "ro") as read_only,
    ):
        yield {"noexec": noexec, "read-only": read_only, "missing": tmp_path / "none"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"TMPDIR": "noexec"},
        {"TMPDIR": "missing"},
        {"HOME": "read-only", "TMPDIR": "read-only"},
        {"EQUIPOT_CACHE_DIR": "read-only", "XDG_CACHE_HOME": "missing"},
    ],
)
def test_training_needs_none_of_them(folder, folders, given):
    outside = {"EQUIPOT_CACHE_DIR", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    environment |= {name: str(folders[kind]) for name, kind in given.items()}
    command = [Path(sys.executable).with_name("equipot"), "train", "config.yaml", "--output", "run"]
    done = subprocess.run(
        [*command, "trainer.max_epochs=1"],
        env=environment,
        cwd=folder.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert {"best.ckpt", "last.ckpt", "results.json"} <= {path.name for path in (folder.path / "run").iterdir()}
