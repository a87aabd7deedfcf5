"""The examples of the page on data and labels work as shown."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate

from equipot.data import ASEDataModule, CommonDataStatisticsManager, EnergyOnlyDataStatisticsManager
from equipot.data._label_contract import label_contract
from equipot.data._label_units import unit_value
from equipot.data._readers import read_atoms
from equipot.errors import DataError
from equipot_test_support.data_files import outcar

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "data-and-labels.md"
LABELS, OWN = PAGE.with_name("labels.md"), PAGE.with_name("own-data.md")


def blocks(language, page=PAGE):
    if not page.is_file():
        pytest.skip("needs the docs of the repository")
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def sections_of(page):
    return [yaml.safe_load(text)["data"] for text in blocks("yaml", page)]


def test_python(write, water, tmp_path, monkeypatch, capsys):
    write("data.extxyz", water(5))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(compile(code, str(PAGE), "exec"), {})  # noqa: S102 - the page's own example
    printed = capsys.readouterr().out
    assert "train: 4 frames, 12 atoms" in printed
    assert "'num_neighbors_mean': 2.0" in printed
    assert printed.count("torch.Size([6, 3])") == 2
    assert (tmp_path / ".equipot_cache" / "statistics").is_dir()


def test_yaml():
    sections = sections_of(PAGE)
    short = dict(sections[0])
    for key in ("_target_", "stats_manager"):
        del short[key]
    ASEDataModule(**short)
    for section in sections:
        if "labels" in section:
            label_contract(section["labels"])
    managers = [section["stats_manager"] for section in sections if "metrics" in section.get("stats_manager", {})]
    (manager,) = [instantiate(one, _convert_="all") for one in managers]
    assert manager.names() == {"my_custom_stat": "per_type", "shortest_bond": "scalar", "energy_spread": "scalar"}
    (transforms,) = [section["transforms"] for section in sections if "transforms" in section]
    (mapper,) = instantiate(transforms, _convert_="all")
    assert mapper.supported == ["Mg", "Ca", "O"]


def test_options_of_the_page_on_labels():
    found = sections_of(LABELS)
    assert {key for section in found for key in section} == {"labels", "weights", "species"}
    for section in found:
        ASEDataModule(1, train_file_path="data.extxyz", **section)


def test_units_of_the_page_on_labels():
    if not LABELS.is_file():
        pytest.skip("needs the docs of the repository")
    rows = re.findall(r"^\| (energies|forces|stress)[a-z ]* \| (.*`eV.*) \|$", LABELS.read_text(), flags=re.MULTILINE)
    assert [label for label, _ in rows] == ["energies", "forces", "stress"]
    for label, text in rows:
        names = set(re.findall(r"`([^`]+)`", text)) - {"Å", "Bohr", "nm", "pm"}
        assert len(names) >= 6
        assert all(unit_value(name, "energy" if label == "energies" else label) for name in names), names


def test_own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("slab-1", "slab-2", "bulk-1"):
        (tmp_path / name).mkdir()
        outcar(tmp_path / name)
    (code,) = blocks("python", OWN)
    exec(compile(code, str(OWN), "exec"), {})  # noqa: S102 - the page's own example
    assert [one.info["config_type"] for one in read_atoms("data.extxyz")] == ["bulk", "slab", "slab"]
    (section,) = sections_of(OWN)
    section["split_dataset"] |= {"train": 1, "val": 1, "test": 1}
    assert {"total_energy", "forces"} <= ASEDataModule(1, **section).dataset().raw(0).keys()
    atom = next(text for text in blocks("text", OWN) if "IsolatedAtom" in text)
    (tmp_path / "atom.xyz").write_text(atom)
    assert read_atoms("atom.xyz")[0].get_potential_energy() == -432.5


def test_messages_of_the_page_on_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = '1\nProperties=species:S:1:pos:R:3:{} pbc=T Lattice="4 0 0 0 4 0 0 0 4"\nH 0 0 0 0 0 1\n'
    renamed = 'REF_forces:R:3 REF_energy=-1 REF_virial="1 0 0 0 1 0 0 0 1"'
    (tmp_path / "data.extxyz").write_text(frame.format(renamed))
    (tmp_path / "a.xyz").write_text(frame.format("forces:R:3 energy=-1 energy-unit=Hartree"))
    for path, shown in zip(("data.extxyz", "a.xyz"), blocks("text", LABELS), strict=True):
        with pytest.raises(DataError) as caught:
            ASEDataModule(1, train_file_path=path).setup()
        assert " ".join(shown.split()) == str(caught.value)


def test_statistics_in_the_table():
    names = {*CommonDataStatisticsManager().names(), *EnergyOnlyDataStatisticsManager().names()}
    text = PAGE.read_text() if PAGE.is_file() else pytest.skip("needs the docs of the repository")
    assert set(re.findall(r"^\| `(\w+)` \| .* (?:both|`\w+Manager`) \|$", text, flags=re.MULTILINE)) == names
