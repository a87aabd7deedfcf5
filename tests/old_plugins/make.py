"""Make the wheels in this folder: plugins written for earlier, present and later versions of equipot.

They stay as they are: a plugin that worked once must load, or be refused with the right words, in every later version.
`python tests/old_plugins/make.py` writes them, byte for byte the same each time.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

DECLARES = '''"""What a plugin written for API 1 declares."""

from equipot import hookimpl
from equipot.declarations import PairPotentialEntry


@hookimpl
def equipot_pair_potentials():
    yield PairPotentialEntry(name="{name}", target="{package}.potential.{name}", summary="Morse potential of API 1")
'''
MORSE = '''"""The Morse potential, written for equipot 0.1."""

import dataclasses

import torch
from equipot.model import PairEnergy, PairPotential


class Energy(PairEnergy):
    def __init__(self, depth):
        super().__init__()
        self.depth = depth

    def forward(self, r, type_i, type_j):
        return self.depth * ((1 - torch.exp(1.6 - r)) ** 2 - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class {name}(PairPotential):
    """Morse potential."""

    depth: float = 0.5
    """Depth of the well in eV."""

    def build_pair_energy(self, context):
        return Energy(self.depth)
'''
NEVER = 'raise RuntimeError("a plugin that does not fit must not be imported")\n'

PLUGINS: dict[str, tuple[str, str, tuple[str, ...], bool]] = {
    "before": ("0.9.0", "equipot", ("0",), False),
    "at": ("1.0.0", "equipot>=0.1", ("1",), True),
    "after": ("2.0.0", "equipot", ("2",), False),
    "both": ("1.5.0", "equipot>=0.1", ("1", "2"), True),
    "capped": ("0.5.0", "equipot>=0.0.1,<0.1", ("1",), False),
    "eager": ("3.0.0", "equipot>=900", ("1",), False),
}
"""Version, requirement, versions of the hook API, and whether ``equipot-fixture-NAME`` may be imported."""


def wheel(name: str) -> tuple[str, dict[str, str]]:
    """File name and contents of a wheel."""
    version, requires, apis, works = PLUGINS[name]
    package = f"equipot_fixture_{name}"
    info = f"{package}-{version}.dist-info"
    words = {"package": package, "name": f"Morse{name.title()}"}
    modules = {api: "plugin" if api == "1" else f"plugin_v{api}" for api in apis}
    files = {f"{package}/__init__.py": ""}
    for api, module in modules.items():
        files[f"{package}/{module}.py"] = DECLARES.format(**words) if works and api == "1" else NEVER
    if works:
        files[f"{package}/potential.py"] = MORSE.format(**words)
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: equipot-fixture-{name}\nVersion: {version}\nRequires-Dist: {requires}\n"
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: make.py\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = "\n".join(
        f"[equipot.plugins.v{api}]\nfixture_{name} = {package}.{module}\n" for api, module in modules.items()
    )
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    return f"{package}-{version}-py3-none-any.whl", files


def write(folder: Path) -> list[Path]:
    """Write all wheels into a folder; nothing in them depends on time or machine."""
    written = []
    for name in PLUGINS:
        file, contents = wheel(name)
        with zipfile.ZipFile(folder / file, "w") as archive:
            for path, text in contents.items():
                archive.writestr(zipfile.ZipInfo(path, date_time=(2026, 1, 1, 0, 0, 0)), text)
        written.append(folder / file)
    return written


if __name__ == "__main__":
    sys.stdout.write("".join(f"{path.name}\n" for path in write(FOLDER)))
