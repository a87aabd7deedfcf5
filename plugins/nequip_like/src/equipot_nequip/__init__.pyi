from ._builder import NequIPGNNModel as NequIPGNNModel
from ._presets import PresetNequIPGNNModel as PresetNequIPGNNModel
