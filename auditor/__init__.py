"""Audits what medical image classifiers look at.

This module is the public face: everything a plugin needs is importable from here, and nothing is imported before it is
asked for, so that `auditor --help` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis import OVERALL as OVERALL
    from .analysis import Analysis as Analysis
    from .attribution import Attribution as Attribution
    from .batch import View as View
    from .boxes import Edges as Edges
    from .conclusion import Conclusion as Conclusion
    from .conclusion import Detector as Detector
    from .conclusion import Number as Number
    from .dataset import Box as Box
    from .dataset import Dataset as Dataset
    from .dataset import Sample as Sample
    from .errors import AuditError as AuditError
    from .errors import ConfigError as ConfigError
    from .errors import DatasetError as DatasetError
    from .errors import ExitCode as ExitCode
    from .errors import MissingLibrary as MissingLibrary
    from .errors import ModelRefused as ModelRefused
    from .errors import OutputError as OutputError
    from .errors import PluginError as PluginError
    from .errors import Unreadable as Unreadable
    from .errors import among as among
    from .errors import listed as listed
    from .errors import nearest as nearest
    from .evidence import Control as Control
    from .evidence import Evidence as Evidence
    from .evidence import Finding as Finding
    from .evidence import Gap as Gap
    from .evidence import Picture as Picture
    from .hookspecs import hookimpl as hookimpl
    from .metric import Metric as Metric
    from .model import Layers as Layers
    from .model import ModelLoader as ModelLoader
    from .model import Preprocessing as Preprocessing
    from .model import ScoreTable as ScoreTable
    from .network import Cases as Cases
    from .network import Network as Network
    from .notebook import LoadedAudit as LoadedAudit
    from .notebook import load as load
    from .section import Section as Section
    from .strategy import ClassCounts as ClassCounts
    from .strategy import Criterion as Criterion
    from .strategy import Strategy as Strategy
    from .strategy import TrainingBatch as TrainingBatch
    from .tally import Tally as Tally

__version__ = "0.1.0"

_HOMES = {
    "analysis": ("OVERALL", "Analysis"),
    "attribution": ("Attribution",),
    "batch": ("View",),
    "boxes": ("Edges",),
    "conclusion": ("Conclusion", "Detector", "Number"),
    "dataset": ("Box", "Dataset", "Sample"),
    "errors": (
        "AuditError", "ConfigError", "DatasetError", "ExitCode", "MissingLibrary", "ModelRefused", "OutputError",
        "PluginError", "Unreadable", "among", "listed", "nearest",
    ),
    "evidence": ("Control", "Evidence", "Finding", "Gap", "Picture"),
    "hookspecs": ("hookimpl",),
    "metric": ("Metric",),
    "model": ("Layers", "ModelLoader", "Preprocessing", "ScoreTable"),
    "network": ("Cases", "Network"),
    "notebook": ("LoadedAudit", "load"),
    "section": ("Section",),
    "strategy": ("ClassCounts", "Criterion", "Strategy", "TrainingBatch"),
    "tally": ("Tally",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'auditor' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
