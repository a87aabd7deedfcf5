"""Files that are no configs, or would be too large ones: one clear error, soon."""

import itertools
import os

import pytest

from equipot.config import _resolve, _yaml
from equipot.config._load import compose
from equipot.config._resolve import resolve_phase1
from equipot.errors import ConfigError


def letters(line, last=""):
    """Nine lines in which each names the one before nine times."""
    names = "abcdefghi"
    body = "".join(
        line.format(name=name, refs=",".join([f"*{before}"] * 9)) for before, name in itertools.pairwise(names)
    )
    return f"a: &a [x]\n{body}{last}"


NESTED = "is nested too deeply; at most 50 levels"
MANY = "the config has too many entries; at most 12000; data belong into files of their own"
FILES = {
    "billion laughs": (letters("{name}: &{name} [{refs}]\n"), f"c.yaml:5: {MANY}"),
    "laughing keys": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 40)),
        f"c.yaml:11: {MANY}",
    ),
    "merged keys": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
        f"c.yaml:11: {MANY}",
    ),
    "list": (f"a: [{'1,' * 400_000}1]\n", f"c.yaml:1: {MANY}"),
    "brackets": (f"a: {'[' * 100_000}", f"c.yaml:1: {NESTED}"),
    "pairs of brackets": (f"a: {'[' * 3000}{']' * 3000}", f"c.yaml:1: {NESTED}"),
    "indented": ("".join(f"{' ' * i}k:\n" for i in range(900)), f"c.yaml:51: {NESTED}"),
    "nested by aliases": (
        "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000)),
        f"c.yaml:50: {NESTED}",
    ),
    "alias of itself": ("a: &a [*a]\n", "c.yaml:1: refers to itself, got '*a'"),
    "digits": (f"a: {'1' * 5000}\n", "c.yaml:1: a number has 5000 digits; at most 100, or quote it if it is a text"),
    "hexadecimal": (f"a: 0x{'f' * 5000}\n", "c.yaml:1: a number has 5002 digits"),
    "base 60": (f"a: 1{':59' * 3000}\n", "c.yaml:1: a number has 9001 digits"),
    "long text": (f"a: '{'x' * 20_000}'\n", "c.yaml:1: a text has 20000 characters; at most 10000"),
    "long interpolation": (f"a: '{'${b}' * 600}'\nb: 1\n", "c.yaml:1: a text has 2400 characters; at most 2000"),
    "large": (f"a: '{'x' * 2_000_000}'\n", "c.yaml: is too large for a config; a config has at most 1 MB"),
    "zero bytes": ("a: \0", "c.yaml"),
    "tag": ("a: !!python/object/apply:os.system [x]\n", "c.yaml:1: not valid YAML: could not determine a constructor"),
    "tag of a number": ("a: !!int x\n", "c.yaml: invalid literal for int()"),
    "duplicate": ("a: 1\na: 2\n", "c.yaml:2: not valid YAML: found duplicate key a"),
    "syntax": ("a: [\n", "c.yaml:2: not valid YAML: "),
    "list at the top": ("[1, 2]\n", "c.yaml: must be a mapping; sections: run, data, trainer, training_module"),
    "empty": ("", "c.yaml: must be a mapping"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    text, message = FILES[name]
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        compose(tmp_path / "c.yaml")
    (found,) = error.value.problems
    assert found.startswith(message)
    assert len(found) < 500


@pytest.mark.timeout(20)
def test_groups_are_measured_as_well(tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "a.yaml").write_text(FILES["billion laughs"][0])
    (tmp_path / "c.yaml").write_text("x: 1\n")
    with pytest.raises(ConfigError, match=f"a.yaml:5: {MANY}"):
        compose(tmp_path / "c.yaml", ["+g=a"])


@pytest.mark.timeout(20)
def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "c.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("c.yaml", "zero.yaml"):
        with pytest.raises(
            ConfigError, match=f"{name}: is not a regular file; a folder, pipe or device cannot be read"
        ):
            compose(tmp_path / name)


@pytest.mark.slow
def test_what_is_not_too_large(tmp_path):
    kinds = [f"X{number}" for number in range(70)]
    table = "\n".join(f"  {one}: {{{', '.join(f'{other}: 3.0' for other in kinds)}}}" for one in kinds)
    (tmp_path / "c.yaml").write_text(f"table:\n{table}\ntext: '{'x' * _yaml.MAX_TEXT}'\n")
    config, _ = compose(tmp_path / "c.yaml")
    resolved, problems = resolve_phase1(config)
    assert problems == []
    assert len(resolved["table"]["X69"]) == 70


TOO_LONG = "config: an interpolation makes too long a value"
GROWING = {
    "text": "".join(f"a{i}: '${{a{i - 1}}}${{a{i - 1}}}'\n" for i in range(40, 0, -1)) + "a0: xxxxxxxxxx\n",
    "joined lists": "".join(f"a{i}: ${{concat_lists:${{a{i - 1}}},${{a{i - 1}}}}}\n" for i in range(40, 0, -1))
    + "a0: [1, 2]\n",
    "lists": "".join(f"a{i}: ['${{a{i - 1}}}','${{a{i - 1}}}','${{a{i - 1}}}']\n" for i in range(40, 0, -1))
    + "a0: [1]\n",
    "parsed": f"s: '[{'1,' * 4000}1]'\n" + "".join(f"a{i}: ${{oc.decode:${{s}}}}\n" for i in range(500)),
    "mutual": "a: ['${c}']\nc: ['${a}']\n",
}


@pytest.mark.slow
@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", GROWING)
def test_interpolations_that_grow(tmp_path, name):
    (tmp_path / "c.yaml").write_text(GROWING[name])
    config, _ = compose(tmp_path / "c.yaml")
    with pytest.raises(ConfigError) as error:
        resolve_phase1(config)
    (found,) = error.value.problems
    assert found.startswith("config: ")
    assert found.endswith("; write the values themselves")


@pytest.mark.slow
def test_problems_of_very_many_interpolations_are_not_all_listed(tmp_path):
    (tmp_path / "c.yaml").write_text("".join(f"a{i}: ${{b{i}}}\n" for i in range(1000)))
    with pytest.raises(ConfigError) as error:
        resolve_phase1(compose(tmp_path / "c.yaml")[0])
    assert len(error.value.problems) == _resolve.MAX_PROBLEMS


@pytest.mark.parametrize(
    "value", ["9223372036854775808", "-9223372036854775808", "0x8000000000000000", "${int_mul:4294967296,2147483648}"]
)
def test_integers_are_those_of_64_bits(tmp_path, value):
    (tmp_path / "c.yaml").write_text(f"a: {value}\nb: 9223372036854775807\n")
    resolved, (problem,) = resolve_phase1(compose(tmp_path / "c.yaml")[0])
    assert problem.startswith("a: ")
    assert "too large" in problem
    assert resolved["b"] == 2**63 - 1


def test_overrides_are_measured(tmp_path):
    (tmp_path / "c.yaml").write_text("x: 1\n")
    for typed in ("x=" + "1" * 5000, "+y=" + "[" * 2000):
        with pytest.raises(ConfigError) as error:
            compose(tmp_path / "c.yaml", [typed])
        assert len(str(error.value)) < 500


def test_an_override_with_an_equals_sign_says_how_to_quote(tmp_path):
    (tmp_path / "c.yaml").write_text("file: x\n")
    with pytest.raises(ConfigError) as error:
        compose(tmp_path / "c.yaml", ["file=runs/step=3.ckpt"])
    assert error.value.problems == [
        "override 'file=runs/step=3.ckpt': cannot be read; quote a value with = in it: \"file='runs/step=3.ckpt'\""
    ]
    assert compose(tmp_path / "c.yaml", ["file='runs/step=3.ckpt'"])[0].file == "runs/step=3.ckpt"
