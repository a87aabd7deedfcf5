"""Build what is published: wheels that are the same byte for byte wherever they are built, and a bill of materials.

`python tools/release.py [FOLDER]` takes a clean copy of the last commit, compiles the kernels of equipot-kernels in it,
builds a wheel of every distribution, writes their SHA-256 to SHA256SUMS, and the software bill of materials (CycloneDX
JSON) of the environment it runs in to equipot.cdx.json. Needs `build` and `hatchling`; `cyclonedx-bom`
(`--sbom-python`) in an environment of its own. Equal wheels need equal compilers, see `tools/prebuild_kernels.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def projects(root: Path) -> list[Path]:
    """Folders of the distributions that are published: core and the first-party plugins."""
    return [root / "core", *sorted(path.parent for path in root.glob("plugins/[!_]*/pyproject.toml"))]


def prebuild_kernels(root: Path) -> None:
    """Compile the kernels that the wheel of equipot-kernels brings.

    Args:
        root: A checkout, whose own tool and sources are used.
    """
    subprocess.run([sys.executable, str(root / "tools" / "prebuild_kernels.py")], check=True)


def build_wheels(root: Path, out: Path) -> list[Path]:
    """Build a wheel of every distribution.

    Args:
        root: A checkout.
        out: Folder for the wheels.

    Returns:
        The wheels, sorted by name. Time stamps inside them are those of the last commit, so that equal sources give
        equal files.
    """
    stamp = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": stamp, "PYTHONHASHSEED": "0"}
    for folder in projects(root):
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"{folder.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return sorted(out.glob("*.whl"))


def checkout(into: Path) -> Path:
    """The last commit without anything that lies around in the working tree."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(into)], input=archive, check=True)
    return into


def sums(wheels: list[Path]) -> str:
    """Lines as ``sha256sum`` writes and checks them."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in wheels)


def main() -> int:
    """Build, and say what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", default="dist", help="where to write (default: dist)")
    parser.add_argument("--sbom-python", help="interpreter of an environment that has cyclonedx-bom")
    args = parser.parse_args()
    out = Path(args.folder).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = checkout(Path(temporary))
        prebuild_kernels(root)
        wheels = build_wheels(root, out)
    (out / "SHA256SUMS").write_text(sums(wheels), encoding="utf-8")
    print(f"{len(wheels)} wheels and SHA256SUMS in {out}")
    if args.sbom_python:
        bill = out / "equipot.cdx.json"
        command = [args.sbom_python, "-m", "cyclonedx_py", "environment", "--output-reproducible", "-o", str(bill)]
        subprocess.run([*command, sys.executable], check=True)
        print(f"bill of materials: {bill}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
