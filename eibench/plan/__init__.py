"""From a suite in YAML to a list of runs as values: the schema, all defaults, every message."""

from eibench.plan.expand import load_plan, load_probe
from eibench.plan.find import find_suite
from eibench.plan.layers import Override
from eibench.plan.options import DATASETS, METHODS, MODELS
from eibench.plan.selection import select
from eibench.plan.spec import RunSpec
from eibench.plan.suite import Plan, PlannedRun, read_suite

__all__ = [
    "DATASETS",
    "METHODS",
    "MODELS",
    "Override",
    "Plan",
    "PlannedRun",
    "RunSpec",
    "find_suite",
    "load_plan",
    "load_probe",
    "read_suite",
    "select",
]
