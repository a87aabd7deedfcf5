import typing

from . import transforms as transforms
from ._base import DataModule as DataModule
from ._base import name_sets as name_sets
from ._census import Census as Census
from ._collection import FrameCollection as FrameCollection
from ._collection import collect_frames as collect_frames
from ._dataset import FrameDataset as FrameDataset
from ._frames import frame_from_atoms as frame_from_atoms
from ._lazy import LazyFrames as LazyFrames
from ._loader import TrainLoader as TrainLoader
from ._loader import evaluation_loader as evaluation_loader
from ._module import ASEDataModule as ASEDataModule
from ._quantities import EdgeLengths as EdgeLengths
from ._quantities import NumNeighbors as NumNeighbors
from ._quantities import PerAtomModifier as PerAtomModifier
from ._quantities import as_quantity as as_quantity
from ._readers import read_atoms as read_atoms
from ._splits import check_split as check_split
from ._statistic_entries import EntryCollector as EntryCollector
from ._statistic_entries import StatisticEntry as StatisticEntry
from ._statistic_entries import StatisticKind as StatisticKind
from ._statistic_entries import StatisticValue as StatisticValue
from ._statistics import Count as Count
from ._statistics import Max as Max
from ._statistics import Mean as Mean
from ._statistics import MeanAbsolute as MeanAbsolute
from ._statistics import Metric as Metric
from ._statistics import Min as Min
from ._statistics import RootMeanSquare as RootMeanSquare
from ._statistics import StandardDeviation as StandardDeviation
from ._stats_managers import CommonDataStatisticsManager as CommonDataStatisticsManager
from ._stats_managers import DataStatisticsManager as DataStatisticsManager
from ._stats_managers import EnergyOnlyDataStatisticsManager as EnergyOnlyDataStatisticsManager
from ._stats_managers import StatsManager as StatsManager

def __getattr__(name: str) -> typing.Any: ...
