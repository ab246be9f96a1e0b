"""Settings: one typed tree, read from ``params.yaml`` and overridden by ``--set`` and variables.

``sections``, ``memory`` and ``training`` describe every setting; ``reading`` reads and checks.
"""

from falcon.config.memory import MemorySettings, Recall
from falcon.config.overrides import Override, parse_overrides
from falcon.config.reading import (
    PARAMS,
    command_overrides,
    load_settings,
    require_file_settings,
    resolve,
    set_overrides,
    settings_at,
)
from falcon.config.sections import (
    CriticSettings,
    DataSettings,
    FeedbackSettings,
    MachineSettings,
    PolicySettings,
    SamplingSettings,
    SandboxSettings,
    TrackingSettings,
)
from falcon.config.settings import Settings
from falcon.config.training import (
    BenchmarkSettings,
    GateSettings,
    LossWeights,
    MetaSettings,
    RolloutSettings,
    TrainSettings,
)

__all__ = [
    "PARAMS",
    "BenchmarkSettings",
    "CriticSettings",
    "DataSettings",
    "FeedbackSettings",
    "GateSettings",
    "LossWeights",
    "MachineSettings",
    "MemorySettings",
    "MetaSettings",
    "Override",
    "PolicySettings",
    "Recall",
    "RolloutSettings",
    "SamplingSettings",
    "SandboxSettings",
    "Settings",
    "TrackingSettings",
    "TrainSettings",
    "command_overrides",
    "load_settings",
    "parse_overrides",
    "require_file_settings",
    "resolve",
    "set_overrides",
    "settings_at",
]
