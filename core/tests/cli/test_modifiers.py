import pytest

from equipot._cli.modifiers import parse_modifier
from equipot.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enable_ForceStressOutput", ("enable_ForceStressOutput", {})),
        ("f:a=1", ("f", {"a": 1})),
        ("f:a=1e-6,b=true,c=text,d=null", ("f", {"a": 1e-6, "b": True, "c": "text", "d": None})),
        ('f:a={"C": 1, "H": 2},b=[1,2]', ("f", {"a": {"C": 1, "H": 2}, "b": [1, 2]})),
        ('f:a="x,y"', ("f", {"a": "x,y"})),
        ("f:", ("f", {})),
    ],
)
def test_modifiers_on_the_command_line(text, expected):
    assert parse_modifier(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "f:x", "f:=1", "f:a=1,a=2", ":a=1", "f:2=3"])
def test_malformed_modifiers(text):
    with pytest.raises(ConfigError, match="--modifiers"):
        parse_modifier(text)
