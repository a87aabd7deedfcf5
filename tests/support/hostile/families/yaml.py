"""YAML itself: bombs, tags, encodings, interpolations, and files that are no files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import TOUCH, Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import damaged, noise
from hostile.families._configs import BOTH, CHECK, at, config_case, text_case
from hostile.seeds import CONFIG, Seeds

_USED = 'data: {used: "${x}"}\n'

TAGS = {
    "apply": f"!!python/object/apply:os.system ['{TOUCH}']", "new": f"!!python/object/new:os.system ['{TOUCH}']",
    "name": "!!python/name:os.system", "module": "!!python/module:antigravity", "object": "!!python/object:os.system {}",
    "tuple": "!!python/tuple [1, 2]", "complex": "!!python/complex 1j", "bytes": "!!python/bytes aGk=", "own": "!own x",
    "set": "!!set {a, b}", "ordered map": "!!omap [a: 1]", "binary": "!!binary aGk=", "timestamp": "2026-11-29T00:00:00Z",
    "null": "!!null x", "int": "!!int many", "float": "!!float many", "value": "=", "merge": "{<<: [1, 2]}",
    "subprocess": "!!python/object/apply:subprocess.Popen [[sh, -c, 'touch ../outside/CANARY']]",
    "tag directive": "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch ../outside/CANARY']",
}  # fmt: skip
INTERPOLATIONS = {
    "itself": "${x}", "its parent": "${.}", "above everything": "${..........x}", "nothing": "${nothing}", "empty": "${}",
    "open": "${", "nested": "${" * 500 + "x" + "}" * 500, "deep": "${oc.select:" * 200 + "x" + "}" * 200, "unknown": "${nowhere:1}",
    "decode": "${oc.decode:'[[[[1]]]]'}", "decode deep": "${oc.decode:'" + "[" * 3000 + "]" * 3000 + "'}",
    "create": "${oc.create:{a: {_target_: os.system}}}", "keys": "${oc.dict.keys:data}", "values": "${oc.dict.values:data}",
    "deprecated": "${oc.deprecated:data}", "environment": "${oc.env:EQUIPOT_HOSTILE_SECRET}", "no environment": "${oc.env:NOWHERE_AT_ALL}",
    "int_div by zero": "${int_div:1,0}", "int_div of texts": "${int_div:a,b}", "int_div of one": "${int_div:1}",
    "int_mul of texts": "${int_mul:a,b}", "int_mul of much": "${int_mul:" + "9" * 4000 + "," + "9" * 4000 + "}",
    "int_mul of lists": "${int_mul:[1],[2]}", "concat of numbers": "${concat_lists:1,2}", "concat of nothing": "${concat_lists:}",
    "identity of a number": "${list_to_identity_dict:5}", "identity of lists": "${list_to_identity_dict:[[1],[2]]}",
    "constant of a number": "${list_to_constant_dict:5,1}", "a statistic of nothing": "${training_data_stats:}",
    "an unknown statistic": "${training_data_stats:nothing}", "a statistic of two": "${training_data_stats:a,b}", "hydra": "${hydra:runtime.cwd}",
    "hydra of nothing": "${hydra:nothing}", "now": "${now:%Y}", "now of much": "${now:" + "%c" * 10_000 + "}", "python version": "${python_version:x}",
    "a file": "${oc.load:/etc/passwd}", "a null": "${oc.env:a\x00b}", "escapes": "${\x1b[31mx}", "many": "${run}" * 20_000,
}  # fmt: skip
MISSING = "???"


def _laughs(levels: int, width: int = 10) -> str:
    lines = ["l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def cases(seeds: Seeds) -> Iterator[Case]:
    """Texts first, then values, then files."""
    made: dict[str, str | bytes] = {
        "empty": "", "a comment": "# nothing\n", "a text": "hello\n", "a number": "5\n", "null": "null\n", "a list": "[1, 2]\n", "spaces": " " * 1_000_000,
        "tabs": "\trun: [train]\n", "a BOM": b"\xef\xbb\xbf" + CONFIG.encode(), "UTF-16": CONFIG.encode("utf-16"), "UTF-32": CONFIG.encode("utf-32"),
        "Latin-1": CONFIG.encode().replace(b"metrics", b"m\xe9trics"), "a null": CONFIG.replace("run", "r\0un"), "a bell": CONFIG.replace("run", "r\x07un"),
        "escapes": CONFIG + '"\x1b[31mred": 1\n', "quoted escapes": CONFIG + '"\\e[31mred\\n": 1\n', "a key of escapes": CONFIG + '"a\\e[2J": {b: 1}\n',
        "two documents": CONFIG + "---\n" + CONFIG, "three dots": CONFIG + "...\n" + CONFIG, "a directive": "%YAML 9.9\n---\n" + CONFIG,
        "a tag directive": "%TAG ! tag:yaml.org,2002:python/\n---\n" + CONFIG, "old line ends": CONFIG.replace("\n", "\r").encode(),
        "laughs 5": _laughs(5) + CONFIG, "laughs 9": _laughs(9) + CONFIG, "laughs 30": _laughs(30) + CONFIG, "laughs 9, used": _laughs(9) + CONFIG + "used: ${l8}\n",
        "laughs of mappings": "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{a: *m{n - 1}, b: *m{n - 1}, c: *m{n - 1}, d: *m{n - 1}}}\n" for n in range(1, 30)) + CONFIG,
        "laughs of merges": "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}, *m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 30)) + CONFIG,
        "laughs of interpolations": "i0: haha\n" + "".join(f"i{n}: '{f'${{i{n - 1}}}' * 10}'\n" for n in range(1, 10)) + CONFIG + "used: ${i9}\n",
        "laughs of interpolated lists": "j0: [1, 2]\n" + "".join(f"j{n}: [{', '.join([f'${{j{n - 1}}}'] * 10)}]\n" for n in range(1, 10)) + CONFIG + "used: ${j9}\n",
        "an anchor in itself": "x: &x [*x]\n" + CONFIG, "a mapping in itself": "x: &x {a: *x}\n" + CONFIG, "an unknown anchor": "x: *y\n" + CONFIG,
        "100 000 anchors": "".join(f"a{n}: &a{n} 1\n" for n in range(100_000)) + CONFIG, "deep lists": "x: " + "[" * 5000 + "]" * 5000 + "\n" + CONFIG,
        "deeper lists": "x: " + "[" * 200_000 + "]" * 200_000 + "\n" + CONFIG, "deep mappings": "".join(" " * n + f"a{n}:\n" for n in range(3000)) + CONFIG,
        "deep flow mappings": "x: " + "{a: " * 5000 + "1" + "}" * 5000 + "\n" + CONFIG, "deep dashes": "x:\n" + "- " * 5000 + "1\n" + CONFIG,
        "open brackets": "x: [[[[\n" + CONFIG, "open quotes": CONFIG + 'x: "open\n', "a million keys": "".join(f"k{n}: 1\n" for n in range(100_000)) + CONFIG,
        "a long line": CONFIG + "x: " + "y" * 20_000_000 + "\n", "a long key": CONFIG + "k" * 2000 + ": 1\n", "a complex key": CONFIG + "? [a, b]\n: 1\n",
        "the same key twice": CONFIG + CONFIG, "a key of null": CONFIG + "null: 1\n", "a key of a number": CONFIG + "5: 1\n", "a key of true": CONFIG + "yes: 1\n",
        "a key with points": CONFIG + "a.b.c: 1\n", "a key of a target": CONFIG + "_target_: os.system\n", "an integer of 5000 digits": CONFIG + f"x: {'9' * 5000}\n",
        "an octal of 5000 digits": CONFIG + f"x: 0{'7' * 5000}\n", "a hexadecimal of 50 000 digits": CONFIG + f"x: 0x{'f' * 50_000}\n", "sixties": CONFIG + "x: 1" + ":59" * 5000 + "\n",
        "a float of many digits": CONFIG + f"x: {'9' * 5000}.{'9' * 5000}e9999999999\n", "nan": CONFIG + "x: .nan\n", "regular expressions": CONFIG + "x: " + "1_" * 50_000 + "\n",
        "folded": CONFIG + "x: >\n" + " y\n" * 200_000, "a question": CONFIG + "run: ???\n", "binary noise": noise(5000), "printable noise": bytes(33 + byte % 90 for byte in noise(20_000)),
    }  # fmt: skip
    unused = "says nothing else"
    may = {"a BOM": unused, "old line ends": unused, "a tag directive": unused, "the same key twice": ""}
    for name, text in made.items():
        yield text_case(name, text, harmless=may.get(name, ""))
    for name, content in damaged(CONFIG.encode()):
        why = (
            "numbers and names that are still legal"
            if "flipped" in name
            or name == "with line ends of another system"
            or "cut off" in name
            or "last byte" in name
            else ""
        )
        yield text_case(f"damaged: {name}", content, harmless=why)
    config = seeds.config()
    for name, tag in list(TAGS.items())[::2]:
        yield text_case(f"tag {name} in the trainer", CONFIG.replace("max_epochs: 1", f"max_epochs: {tag}"))
    for number, (name, text) in list(enumerate(INTERPOLATIONS.items()))[::2]:
        why = (
            "a value"
            if name in ("now", "hydra", "hydra of nothing", "python version", "keys", "values", "decode", "deprecated")
            else ""
        )
        if number % 4:
            yield config_case(
                f"interpolation {name}", config, {"x": text, "trainer": {"default_root_dir": "${x}"}}, harmless=why
            )
        else:
            yield config_case(
                f"interpolation {name} as a number", config, at("data.train_dataloader.batch_size", text), harmless=why
            )
    yield config_case("missing everywhere", config, at("training_module.model", MISSING))
    yield from _files()


def _files() -> Iterator[Case]:
    good = CONFIG.encode()
    kinds: dict[str, Content] = {
        "a pipe": pipe, "a folder": folder, "a device": link_to("/dev/zero"), "a link to nothing": link_to("nothing"), "a link to itself": link_to(valid.YAML),
        "5 GB of nothing": sparse(5 * 1024**3), "5 GB after a config": sparse(5 * 1024**3, good), "passwords": link_to("/etc/shadow"),
    }  # fmt: skip
    for name, content in kinds.items():
        for command in BOTH:
            yield Case(name=f"{name}: {command[0]}", commands=[command], files={valid.YAML: content})
    names = ("a b.yaml", "-x.yaml", "a=b.yaml", "a\nb.yaml", "\x1b[31m.yaml", "é.yaml", "..yaml", ".yaml", "a.b.yaml", "x" * 240 + ".yaml", "a,b.yaml", "a{b}.yaml", "$(touch CANARY).yaml", "a'b.yaml", "hydra.yaml", "a:b.yaml", "config.YAML", "config.yml", "\u202ex.yaml", "a@b.yaml", "${x}.yaml")  # fmt: skip
    for number, name in enumerate(names[::2]):
        yield Case(
            name=f"name {number}",
            commands=[["check", f"./{name}"], ["train", f"./{name}"]],
            files={name: good},
            harmless="only the name is odd",
        )
    overrides: tuple[Any, ...] = (
        "trainer.callbacks=[{_target_: os.system}]", "+x=${oc.env:HOME}", "a", "=", "==", "++", "~data", "+hydra.callbacks.x._target_=os.system", "trainer.max_epochs=" + "9" * 5000,
        "x=[" + "[" * 500, "data.seed='", "data.seed=\x1b[31m", "a.b.c.d=1", "+a" * 1000 + "=1", "hydra.run.dir=chosen", "hydra.job_logging.handlers.file.filename=../outside/x",
        "+hydra.job.env_set.CXX=x", "hydra/launcher=basic", "+defaults=[x]", "hydra.searchpath=[file:///etc]", "run=[train],[val]", "data.seed=choice(1,2)", "data.seed=range(1,1000000000)",
    )  # fmt: skip
    for number, override in enumerate(overrides[::2]):
        why = (
            "the user's own words"
            if "dir=" in override
            or "env_set" in override
            or "launcher" in override
            or "choice" in override
            or "[train],[val]" in override
            else ""
        )
        yield Case(
            name=f"override {number} {override[:30]!r}",
            commands=[[*CHECK, override], ["train", valid.YAML, override]],
            files={valid.YAML: good},
            harmless=why,
        )
