"""Versions with a tiny model and a memory, registered in a workspace of their own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from falcon.config import Settings, load_settings
from falcon.policy.policy import Policy
from tasks.support.files import path_md5
from tasks.support.model_version import ModelVersion, VersionParts
from tasks.support.registry import CHAMPION, Registry
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace
from tests.cli.command_memory import experience, remember
from tests.models import stir, tiny_causal

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMS = """\
policy: {{model: {model}, dtype: float32, lora_rank: 4, max_prompt_tokens: 500}}
memory: {{encoder: hash, min_similarity: -1.0, into: {into}}}
benchmark: {{max_new_tokens: 16}}
train: {{meta: {{inner_lr: 5.0}}}}
machine: {{cache: false}}
"""


@dataclass(frozen=True)
class Registered:
    """A version, what it was made of, and the workspace of its registry."""

    space: Workspace
    parts: VersionParts
    version: ModelVersion
    registry: Registry

    @property
    def uri(self) -> str:
        """As MLflow names it."""
        return f"models:/{self.registry.name}/{self.version.number}"


def register(root: Path, into: str = "prompt") -> Registered:
    """Put a tiny model with an adapter and a memory into service in ``root``."""
    root.mkdir()
    model = tiny_causal(root / "model", chat=True)
    (root / "params.yaml").write_text(PARAMS.format(model=model, into=into))
    (root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copyfile(REPOSITORY / "constraints.txt", root / "constraints.txt")
    settings: Settings = load_settings(root / "params.yaml")
    policy = Policy.load(settings.policy)
    stir(policy)
    policy.save(root / "adapter")
    tasks = ("Triple a number.", "Give the sum of a list.", "Say whether a text is empty.")
    remember(root / "memory", *(experience(i, task) for i, task in enumerate(tasks)))
    (root / "lineage.json").write_text('{"start": {}}\n')
    space = Workspace(root)
    parts = VersionParts(root / "adapter", settings, root / "memory", root / "lineage.json")
    registry = Registry(Tracker(settings, space), settings)
    tags = {"policy.md5": path_md5(parts.adapter), "run.train": ""}
    version = registry._create(parts, tags)
    registry.tracker.client.set_registered_model_alias(registry.name, CHAMPION, version.number)
    return Registered(space, parts, version, registry)
