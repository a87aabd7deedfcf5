import typing

from ._automatic import AutomaticModifiers as AutomaticModifiers
from ._automatic import apply_automatic as apply_automatic
from ._components import AnalyticPairPotential as AnalyticPairPotential
from ._components import Derivatives as Derivatives
from ._components import EdgeSetGradient as EdgeSetGradient
from ._components import EnergyGradients as EnergyGradients
from ._components import EnergyModule as EnergyModule
from ._components import EnergyTerm as EnergyTerm
from ._components import EnergyTermModule as EnergyTermModule
from ._components import PairEnergy as PairEnergy
from ._components import PairPotential as PairPotential
from ._context import BuildContext as BuildContext
from ._context import ModelInfo as ModelInfo
from ._context import pair_index as pair_index
from ._context import resolve_cutoffs as resolve_cutoffs
from ._edge_forces import atomic_virials as atomic_virials
from ._edge_forces import with_edge_forces as with_edge_forces
from ._evaluator import Evaluator as Evaluator
from ._function_builder import builder as builder
from ._graph_model import AppliedModifier as AppliedModifier
from ._graph_model import GraphModel as GraphModel
from ._modification import modify as modify
from ._modifiers import apply_modifier as apply_modifier
from ._modifiers import apply_modifiers as apply_modifiers
from ._modifiers import reapply as reapply
from ._presets import FROM_PRESET as FROM_PRESET
from ._presets import Presets as Presets
from ._presets import apply_preset as apply_preset
from ._presets import presets_of as presets_of
from ._recipe import ModelBuilder as ModelBuilder
from ._recipe import ModelRecipe as ModelRecipe
from ._scale_shift import ScaleShift as ScaleShift
from ._scale_shift import neighbors_per_type as neighbors_per_type
from ._scale_shift import per_type_values as per_type_values

def __getattr__(name: str) -> typing.Any: ...
