"""The table of names: it leads somewhere, it is complete, and it costs nothing to declare."""

import subprocess
import sys

from equipot.config import TargetError, resolve_target
from equipot.config._aliases import aliases
from equipot_test_support.scripts import load_script

NEQUIP = "nequip.model.NequIPGNNModel"


def test_every_alias_leads_to_something_configs_may_name():
    for name, entry in aliases().items():
        if entry.target:
            try:
                assert callable(resolve_target(entry.target, name))
            except TargetError as error:
                assert "pip install 'equipot-toolbox[" in str(error), error  # noqa: PT017 - an optional package


def test_declaring_the_table_imports_nothing_heavy():
    code = (
        "import sys; from equipot.plugins import plugins; names = plugins().names('target_aliases');"
        "assert len(names) > 100; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_entry_says_what_it_does():
    assert all(entry.summary for form in ("target", "resolver", "section") for entry in aliases(form).values())


def test_a_name_in_the_module_that_defines_it_is_the_same():
    known = aliases()
    assert known["nequip.train.ema.EMALightningModule"].target == known["nequip.train.EMALightningModule"].target
    assert known["nequip.data.stats.Mean"].target == "equipot.data.Mean"


def test_every_name_of_nequip_is_in_the_table_and_most_have_a_counterpart():
    coverage = load_script("plugins/from_nequip/tests/coverage.py")
    known = {**aliases(), **dict.fromkeys(coverage.IN_DATA_MODULE)}
    assert [name for name in coverage.PEER["names"] if name not in known] == []
    found = coverage.uncovered()
    assert (found.all_names - len(found.names), found.all_names) == (66, 87)
    assert found.all_options - len(found.options) >= 278
    assert coverage.uncovered_resolvers() == ["big_dataset_stats"]
    of_models = [text for text in found.options if text.startswith((NEQUIP, "allegro.model.AllegroModel"))]
    assert {text.rpartition(".")[2] for text in of_models} <= set(coverage.ONE_VALUE)
