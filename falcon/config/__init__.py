"""Settings: one typed tree, read from ``params.yaml`` and overridden by ``--set`` and variables.

``sections`` and ``training`` describe every setting; ``reading`` reads and checks, ``profiles``
knows the files of ``profiles/``.
"""

from falcon.config.profiles import (
    CUSTOM,
    FREE,
    PARAMS,
    leaves,
    profile_names,
    profile_of,
    profile_values,
    read_tree,
)
from falcon.config.reading import (
    Override,
    command_overrides,
    load_frozen,
    load_settings,
    parse_overrides,
    profile_overrides,
    require_file_settings,
    resolve,
    set_overrides,
    settings_at,
)
from falcon.config.sections import (
    CriticSettings,
    DataSettings,
    Event,
    FeedbackSettings,
    MachineSettings,
    MemorySettings,
    NotifySettings,
    PolicySettings,
    Recall,
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
