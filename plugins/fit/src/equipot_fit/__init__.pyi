from ._package import PackageBest as PackageBest
from ._schedule import WarmupDecay as WarmupDecay
from ._speed import StepTimer as StepTimer
from .callbacks import StepBudget as StepBudget
from .callbacks import TimeBudget as TimeBudget
