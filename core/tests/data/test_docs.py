"""The examples of the page on data and labels work as shown."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate

from equipot.data import ASEDataModule, CommonDataStatisticsManager, EnergyOnlyDataStatisticsManager
from equipot.data._frames import label_contract

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "data-and-labels.md"


def blocks(language):
    if not PAGE.is_file():
        pytest.skip("needs the docs of the repository")
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


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
    sections = [yaml.safe_load(text)["data"] for text in blocks("yaml")]
    assert len(sections) == 6
    short = dict(sections[0])
    for key in ("_target_", "stats_manager"):
        del short[key]
    ASEDataModule(**short)
    for section in sections:
        if "labels" in section:
            label_contract(section["labels"])
    manager = instantiate(sections[5]["stats_manager"], _convert_="all")
    assert manager.names() == {"my_custom_stat": "per_type", "shortest_bond": "scalar", "energy_spread": "scalar"}
    (mapper,) = instantiate(sections[4]["transforms"], _convert_="all")
    assert mapper.supported == ["Mg", "Ca", "O"]


def test_statistics_in_the_table():
    names = {*CommonDataStatisticsManager().names(), *EnergyOnlyDataStatisticsManager().names()}
    text = PAGE.read_text() if PAGE.is_file() else pytest.skip("needs the docs of the repository")
    assert set(re.findall(r"^\| `(\w+)` \| .* (?:both|`\w+Manager`) \|$", text, flags=re.MULTILINE)) == names
