import os

import pytest

from equipot.config._atom_energies import LARGEST, for_types, read_energies, symbol_of
from equipot.errors import ConfigError

WHERE = "model.per_type_energy_shifts"


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""

    def call(content, name="atoms.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_energies(str(path), WHERE)

    return call


@pytest.mark.parametrize(
    "content",
    [
        '{"H": -13.5, "O": -432}',
        '{"1": -13.5, "8": -432.0}',
        '\ufeff {"H": -13.5, "8": -432.0}',
        "# element energy\nH -13.5\n8\t-432.0  # oxygen\n\n",
        "1,-13.5\nO;-4.32e2\n",
        "H -13.5\r\nO -432.0\r\n",
    ],
)
def test_forms(read, content):
    assert read(content) == {"H": -13.5, "O": -432.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no energies of atoms"),
        ("{}", "holds no energies of atoms"),
        ("[]", "holds no energies of atoms"),
        ("[1, 2]", "holds no energies of atoms"),
        ("H -13.5 eV", "holds no energies of atoms"),
        ("H minus", "holds no energies of atoms"),
        ("H", "holds no energies of atoms"),
        ('{"H": -13.5', "holds no energies of atoms"),
        ("{" * 100_000, "holds no energies of atoms"),
        (b"\xff\xfe\x00H", "holds no energies of atoms"),
        ('{"H": -13.5, "1": -13.5}', "has two energies of H"),
        ('{"H": -13.5, "H": -13.6}', "has two energies of H"),
        ("H 1\nH 2", "has two energies of H"),
        ('{"H": NaN}', "the energy of H must be a finite number, got nan"),
        ("H inf", "the energy of H must be a finite number, got inf"),
        ('{"H": "-13.5"}', "the energy of H must be a finite number, got '-13.5'"),
        ('{"H": true}', "the energy of H must be a finite number, got True"),
        ('{"H": {"energy": 1}}', "the energy of H must be a finite number"),
        ('{"0": 1.0}', "there is no element with this number, got '0'"),
        ('{"119": 1.0}', "there is no element with this number, got '119'"),
        ('{"-1": 1.0}', "there is no element with this number, got '-1'"),
        ('{"99999999999999999999": 1.0}', "there is no element with this number"),
    ],
)
def test_what_is_refused(read, content, message):
    with pytest.raises(ConfigError) as caught:
        read(content)
    (text,) = caught.value.problems
    assert text.startswith(WHERE)
    assert message in text


def test_all_problems_at_once(read):
    with pytest.raises(ConfigError) as caught:
        read('{"H": null, "200": 1, "O": 1, "8": 2}')
    assert len(caught.value.problems) == 3


def test_only_small_regular_files_are_read(read, tmp_path):
    with pytest.raises(ConfigError, match=f"is larger than {LARGEST} bytes"):
        read("#" * (LARGEST + 1))
    with pytest.raises(ConfigError, match="there is no such file; relative paths start from"):
        read_energies(str(tmp_path / "missing.json"), WHERE)
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_energies(str(tmp_path), WHERE)
    with pytest.raises(ConfigError, match="is not the name of a file"):
        read_energies("a\x00b", WHERE)
    with pytest.raises(ConfigError, match=r"a\\x1b\[31m: there is no such file"):
        read_energies("a\x1b[31m", WHERE)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        read_energies("a" * 5000, WHERE)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_energies(str(tmp_path / "pipe"), WHERE)


def test_symbols():
    assert [symbol_of(key) for key in ("H", 1, "118", "cation")] == ["H", "H", "Og", "cation"]


def test_energies_of_types():
    energies = {"H": -1.0, "O": -2.0, "Fe": -3.0, "Fe3": -3.5}
    assert for_types(energies, ["O", "H"], None, WHERE) == {"O": -2.0, "H": -1.0}
    assert for_types(energies, ["Fe2", "Fe3"], ["Fe", "Fe"], WHERE) == {"Fe2": -3.0, "Fe3": -3.5}, "a type comes first"
    with pytest.raises(ConfigError) as caught:
        for_types(energies, ["O", "C", "N"], None, WHERE)
    assert caught.value.problems == [
        "model.per_type_energy_shifts: has no energy for ['C', 'N']; it has those of ['Fe', 'Fe3', 'H', 'O']"
    ]
