# ruff: noqa: E501 - messages and configs stand here as users see them
import pytest
from omegaconf import OmegaConf

from equipot.config._load import compose
from equipot.config._resolve import BAD, Statistic, resolve_phase1, resolve_phase2
from equipot.config._resolvers import CORE, resolver_names
from equipot.config._sections import used_root_keys
from equipot.errors import ConfigError


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["plain.yaml", "with space.yaml", "a=b, 'c'.yaml"])
def test_any_path(tmp_path, name):
    folder = tmp_path / "some folder"
    folder.mkdir()
    config, _ = compose(write(folder / name, "a: 1\nb: {c: 2}\n"), ["b.c=3", "+d=[1, 2]"])
    assert dict(config) == {"a": 1, "b": {"c": 3}, "d": [1, 2]}


def test_sweeps_are_left_out(tmp_path):
    config, _ = compose(write(tmp_path / "c.yaml", "a: 1\nb: 2\n"), ["a=1,2,3", "b=5"])
    assert dict(config) == {"a": 1, "b": 5}


@pytest.mark.parametrize("name", ["c.txt", "c.yml"])
def test_other_suffix(tmp_path, name):
    with pytest.raises(ConfigError, match=f"a config is a YAML file, got '{name}'; its name must end in .yaml"):
        compose(write(tmp_path / name, "a: 1"))


def test_binary_file(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="c.yaml"):
        compose(tmp_path / "c.yaml")


def test_used_root_keys():
    container = {"a": "${b.c}", "d": ["x${e}", {"f": "${g[0]}"}], "h": "${oc.env:HOME}", "i": "${int_mul:${j},2}"}
    assert used_root_keys(container) == {"b", "e", "g", "j"}


def phase1(tmp_path, text):
    return resolve_phase1(compose(write(tmp_path / "c.yaml", text))[0])


def test_statistics_are_marked_also_through_other_keys(tmp_path):
    resolved, problems = phase1(tmp_path, "a: ${training_data_stats:x}\nb: ${a}\nc: [1, '${training_data_stats:y}']\n")
    assert problems == []
    assert isinstance(resolved["a"], Statistic)
    assert (resolved["a"].name, resolved["b"].name, resolved["c"][1].name) == ("x", "x", "y")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: x${training_data_stats:n}", "a: a statistic cannot be part of a longer text"),
        ("a: ${bb.c}\nbb: {d: 1}", "a: unknown interpolation, got '${bb.c}'"),
        ("alpha: 1\nb: {c: '${alpa}'}", "b.c: unknown interpolation, got '${alpa}'; did you mean 'alpha'?"),
        (
            "a: ${trainin_data_stats:n}",
            "a: unknown resolver, got 'trainin_data_stats'; did you mean 'training_data_stats'?",
        ),
        ("a: ???", "a: needs a value, got '???'"),
        ("a: ${int_div:7,2}", "int_div: 7 is not a multiple of 2"),
        ("a: ${a}", "a: "),
    ],
)
def test_interpolation_problems(tmp_path, text, problem):
    resolved, problems = phase1(tmp_path, text)
    assert len(problems) == 1
    assert problem in problems[0]
    assert BAD in (resolved.get("a"), resolved.get("b", {}).get("c") if isinstance(resolved.get("b"), dict) else None)


def test_phase_two_uses_the_same_unresolved_config(tmp_path):
    config, _ = compose(
        write(tmp_path / "c.yaml", "a: ${training_data_stats:x}\nb: {c: '${a}'}\nd: ${training_data_stats:y}\n")
    )
    resolve_phase1(config)
    values = {"x": 1.5, "y": {"H": 2.0, "O": 3.0}}
    assert resolve_phase2(config, values) == {"a": 1.5, "b": {"c": 1.5}, "d": {"H": 2.0, "O": 3.0}}


def test_resolvers_of_the_peer(tmp_path):
    text = "n: [H, O]\na: ${list_to_identity_dict:${n}}\nb: ${list_to_constant_dict:${n},2}\nc: ${concat_lists:${n},[C]}\nd: ${int_div:8,2}\ne: ${int_mul:3,4}\n"
    resolved, problems = phase1(tmp_path, text)
    assert problems == []
    assert resolved["a"] == {"H": "H", "O": "O"}
    assert resolved["b"] == {"H": 2, "O": 2}
    assert resolved["c"] == ["H", "O", "C"]
    assert (resolved["d"], resolved["e"]) == (4, 12)


def test_an_option_that_is_a_statistic_can_be_removed(folder):
    """Also in a fresh process, where nothing has looked at statistics yet."""
    from omegaconf import OmegaConf

    OmegaConf.clear_resolver("training_data_stats")
    config, _ = compose("config.yaml", ["~training_module.model.avg_num_neighbors"])
    assert "avg_num_neighbors" not in config.training_module.model


def test_a_misspelled_resolver_is_answered_with_itself(tmp_path):
    """The names come from one list, so that none is forgotten and the wrong one suggested."""
    compose(write(tmp_path / "c.yaml", "a: 1"))
    names = resolver_names()
    assert {*CORE, "training_data_stats", "oc.env", "hydra", "now"} <= {*names}
    for name in names:
        misspelled = name[:-1] + name[-1] * 2
        _, problems = resolve_phase1(OmegaConf.create({"a": f"${{{misspelled}:1}}"}))
        assert problems == [f"a: unknown resolver, got {misspelled!r}; did you mean {name!r}?"]
    _, problems = resolve_phase1(OmegaConf.create({"a": "${list_to_constant_dic:1}"}))
    assert problems == ["a: unknown resolver, got 'list_to_constant_dic'; did you mean 'list_to_constant_dict'?"]
