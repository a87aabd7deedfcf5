"""Declares a model and imports torch to do so."""

import torch

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry


@hookimpl
def equipot_model_builders():
    yield ModelBuilderEntry(name="Heavy", target="equipot_testing.toy.ToyModel", summary=torch.__version__)
