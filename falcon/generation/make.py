"""Which generator the settings name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.generation.generator import Generator

if TYPE_CHECKING:
    from falcon.config import PolicySettings
    from falcon.generation.server import ServerGenerator
    from falcon.policy.policy import Policy


def make_generator(settings: PolicySettings, policy: Policy) -> Generator:
    """What writes with a policy: this process, or the server of the settings with its adapters.

    Raises UserError where no server answers.
    """
    if not settings.server:
        from falcon.generation.local import LocalGenerator

        return LocalGenerator(policy)
    from falcon.generation.connection import Connection
    from falcon.generation.server import ServerGenerator

    server = Connection(settings.server, settings.key_env)
    return ServerGenerator(server, settings.model, policy.prompts, policy)


def connect(settings: PolicySettings) -> ServerGenerator:
    """The server of the settings with its own weights: no model is loaded here.

    Raises UserError where no server answers.
    """
    from falcon.generation.connection import Connection
    from falcon.generation.server import ServerGenerator
    from falcon.policy.backbone import load_prompts

    server = Connection(settings.server, settings.key_env)
    return ServerGenerator(server, settings.model, load_prompts(settings))


def open_generator(
    settings: PolicySettings, seed: int = 0
) -> tuple[Generator, Callable[[Path], None]]:
    """What writes scores: the server of the settings, or the model, loaded here; and how it takes the
    adapter of a folder, which then is its meta weights.

    Raises UserError where the model is not there, or no server answers.
    """
    if settings.server:
        server = connect(settings)
        return server, server.adopt
    from falcon.generation.local import LocalGenerator
    from falcon.policy.adapter import load_adapter
    from falcon.policy.policy import Policy

    policy = Policy.load(settings, seed=seed)
    return LocalGenerator(policy), partial(load_adapter, policy.bank, policy.backbone)
