"""Objects that a ``_target_`` must not name, in all places where one may stand."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile.case import CANARY, TOUCH, Case
from hostile.families._configs import at, config_case
from hostile.families._values import dealt
from hostile.seeds import Seeds

_SHELL = ["sh", "-c", TOUCH]
_CODE = f"open({CANARY!r}, 'w')"

DANGEROUS: dict[str, dict[str, Any]] = {
    "os.system": {"command": TOUCH},
    "subprocess.Popen": {"args": _SHELL},
    "builtins.eval": {"_args_": [_CODE]},
    "builtins.exec": {"_args_": [_CODE]},
    "builtins.open": {"file": CANARY, "mode": "w"},
    "builtins.__import__": {"name": "antigravity"},
    "importlib.import_module": {"name": "antigravity"},
    "runpy.run_path": {"path_name": "payload.py"},
    "pickle.loads": {"_args_": ["x"]},
    "shutil.rmtree": {"path": "../outside"},
    "os.remove": {"path": "../outside/victim.txt"},
    "ctypes.CDLL": {"name": "libc.so.6"},
    "threading.Thread": {},
    "functools.partial": {"_args_": ["x"]},
    "operator.methodcaller": {"_args_": ["x"]},
    "timeit.timeit": {"stmt": _CODE},
    "webbrowser.open": {"url": "http://127.0.0.1:9/"},
    "urllib.request.urlopen": {"url": "http://127.0.0.1:9/"},
    "antigravity": {},
    "torch.load": {"f": "data.xyz", "weights_only": False},
    "torch.hub.load": {"repo_or_dir": "a/b", "model": "c"},
    "torch.save": {"obj": 1, "f": CANARY},
    "torch.utils.cpp_extension.load": {"name": "x", "sources": ["x.cpp"]},
    "torch.utils.cpp_extension.load_inline": {"name": "x", "cpp_sources": "int x;"},
    "torch.ops.load_library": {"path": "x.so"},
    "torch.jit.load": {"f": "data.xyz"},
    "torch._inductor.aoti_load_package": {"path": "x"},
    "torch.optim.sgd.torch.load": {"f": "data.xyz"},
    "torch.optim.Optimizer.load_state_dict": {},
    "torch.optim.lr_scheduler.LambdaLR.__init__.__globals__": {},
    "lightning.pytorch.cli.LightningCLI": {},
    "lightning.pytorch.trainer.trainer.os.system": {"command": TOUCH},
    "lightning.pytorch.callbacks.LambdaCallback": {"setup": "x"},
    "hydra.utils.instantiate": {"config": {"_target_": "os.system", "command": TOUCH}},
    "hydra.utils.get_method": {"path": "os.system"},
    "omegaconf.OmegaConf.save": {"config": {}, "f": CANARY},
    "ase.io.read": {"filename": "data.xyz"},
    "ase.io.write": {"filename": CANARY, "images": []},
    "ase.calculators.castep.shell_stdouterr": {"raw_command": TOUCH},
    "numpy.load": {"file": "data.xyz", "allow_pickle": True},
    "numpy.f2py.compile": {"source": "x"},
    "yaml.unsafe_load": {"stream": f"!!python/object/apply:os.system ['{TOUCH}']"},
    "pluggy.PluginManager": {},
    "equipot.files.write_text": {"path": CANARY, "text": "x"},
    "equipot.files.remove_unfinished": {"folder": "../outside"},
    "equipot.data._readers.read_atoms": {"path": "data.xyz"},
    "equipot.plugins.use_file": {"path": "payload.py"},
    "equipot.artifacts.load_model": {"path": "data.xyz"},
    "equipot.train.callbacks.os.system": {"command": TOUCH},
    "equipot.data.np.load": {"file": "data.xyz"},
    "equipot._importing.load_object": {"path": "os.system"},
    "equipot._processes.os.system": {"command": TOUCH},
    "equipot_kernels._build.toolchain._version": {"command": _SHELL},
    "equipot_kernels._build.toolchain.subprocess.run": {"args": _SHELL},
    "equipot_kernels._build.cache.load": {
        "source": '#include <stdlib.h>\n__attribute__((constructor)) void f() { system("touch ../outside/CANARY"); }',
        "name": "x",
    },
    "equipot_kernels._build.cache.shutil.rmtree": {"path": "../outside"},
    "equipot_toolbox.write_lmdb": {"path": CANARY, "frames": []},
    "equipot_toolbox.convert.main": {"arguments": ["data.xyz", "../outside/x.lmdb"]},
    "equipot_testing.fixtures": {},
    "payload.run": {},
    "hostile.case.pipe": {"path": CANARY},
    "sitecustomize": {},
    "_sitebuiltins.Quitter": {"name": "x", "eof": "y"},
}
"""Targets that do damage, with fitting options."""

SPELLINGS: tuple[Any, ...] = (
    "", ".", "..", "os", "os..system", ".os.system", "os.system.", "os:system", "os/system", "os system", "os.system()",
    "os\nsystem", "ｏs.system", "os.systеm", "__import__('os').system", "equipot.data", "equipot", "equipot.train.",
    "lightning.Trainer.__init__", "lightning.Trainer.__class__", "torch.optim.Adam.__subclasses__",
    "torch.optim.Adam.__mro__", "equipot.data.ASEDataModule.__init__.__globals__", "equipot.train.__builtins__.eval",
    "equipot.train.__loader__", "x" * 100_000, "a." * 50_000 + "a", "\x1b[31mred\x1b[0m.x", "a\x00b.c", None, 5, True, [],
    ["os.system"], {}, {"_target_": "os.system"}, 1.5, "${oc.env:HOME}", "${hydra:job.name}",
)  # fmt: skip
"""Targets that are no names, or names of something else."""

PLACES = (
    "data", "trainer", "training_module", "training_module.model", "training_module.loss", "training_module.optimizer",
    "training_module.val_metrics", "training_module.lr_scheduler.scheduler", "data.stats_manager",
    "data.train_dataloader", "data.transforms", "data.split_dataset", "data.labels", "trainer.callbacks", "trainer.logger",
    "trainer.strategy", "trainer.plugins", "trainer.profiler", "training_module.model.pair_potential",
    "training_module.model.type_names", "variable", "data.ase_args", "seed", "run", "training_module.loss.coeffs",
)  # fmt: skip

_PACKAGES = (
    "equipot_kernels", "equipot_toolbox", "equipot_nequip", "equipot_allegro", "equipot_zbl", "equipot_force_stress",
    "equipot_from_nequip", "equipot_fit", "equipot_lammps", "equipot_engines", "equipot_simulate",
    "equipot_dipoles", "equipot_electrostatics", "equipot_uncertainty", "equipot_finetune", "equipot_testing",
)  # fmt: skip
_PAYLOAD = f"open({CANARY!r}, 'w').close()\n\ndef run():\n    pass\n"


def cases(seeds: Seeds) -> Iterator[Case]:
    """Dangerous targets, odd spellings, and what plugins do not declare."""
    config = seeds.config()
    files = {"payload.py": _PAYLOAD, "antigravity.py": _PAYLOAD}
    for target, options in DANGEROUS.items():
        for how, more in (("", {}), (" partial", {"_partial_": True})):
            changes = at("trainer.callbacks", [{"_target_": target, **options, **more}])
            if not how or target in ("os.system", "equipot_kernels._build.toolchain._version"):
                yield config_case(f"callback {target}{how}", config, changes, files=files, place="trainer.callbacks.0")
    for place, target in dealt(PLACES[::2], ("os.system", "equipot_kernels._build.toolchain._version"), 1):
        node = {"_target_": target, **DANGEROUS[target]}
        value = [node] if place.endswith(("callbacks", "transforms", "plugins")) else node
        yield config_case(f"{place} {target}", config, at(place, value), files=files)
    for number, spelling in enumerate(SPELLINGS):
        changes = at("trainer.callbacks", [{"_target_": spelling}])
        yield config_case(f"spelling {number} {str(spelling)[:20]!r}", config, changes)
    yield from _written_differently(config, files)
    yield from _undeclared(config)


def _written_differently(config: dict[str, Any], files: dict[str, Any]) -> Iterator[Case]:
    """The same target through interpolation, ``_args_``, ``_recursive_`` and the aliases of other programs."""
    system = {"_target_": "os.system", "command": TOUCH}
    version = {"_target_": "equipot_kernels._build.toolchain._version", "command": _SHELL}
    for turn, (name, node) in enumerate((("os", system), ("plugin", version))):
        parts = {
            "by key": {"evil": node["_target_"], "trainer": {"callbacks": [{**node, "_target_": "${evil}"}]}},
            "by node": {"evil": node, "trainer": {"callbacks": ["${evil}"]}},
            "by list": {"evil": [node], "trainer": {"callbacks": "${evil}"}},
            "in options": {"training_module": {"optimizer": {"params": node}}},
            "below a list": {"trainer": {"callbacks": [[{"deep": [node]}]]}},
            "not recursive": {"trainer": {"callbacks": [{**node, "_recursive_": False}]}},
            "converted": {"trainer": {"callbacks": [{**node, "_convert_": "all"}]}},
            "arguments": {"trainer": {"callbacks": [{"_target_": node["_target_"], "_args_": [TOUCH]}]}},
            "as a loader": {"data": {"train_dataloader": {"batch_size": 4, "collate_fn": node}}},
            "as a worker": {"data": {"train_dataloader": {"batch_size": 4, "worker_init_fn": node}}},
            "as an option": {"trainer": {"max_epochs": node}},
            "as a key": {"training_module": {"loss": {"coeffs": {"total_energy": node}}}},
        }
        for how, changes in list(parts.items())[turn::2]:
            yield config_case(f"{name} {how}", config, changes, files=files)


def _undeclared(config: dict[str, Any]) -> Iterator[Case]:
    """A function of every plugin."""
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        root = Path(spec.origin).parent
        for path in [path for path in sorted(root.rglob("*.py")) if "_scaffold" not in str(path)][::60]:
            module = ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
            for kind, name in _defined(path):
                changes = at("trainer.callbacks", [{"_target_": f"{module}.{name}", "_partial_": True}])
                yield config_case(f"{kind} {module}.{name}", config, changes, place="_target_")


def _defined(path: Path) -> Iterator[tuple[str, str]]:
    """The first function and the first private class of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    classes = [node.name for node in body if isinstance(node, ast.ClassDef) and node.name.startswith("_")]
    yield from (("function", name) for name in functions[:1])
    yield from (("class", name) for name in classes[:1])
