"""Which generator the settings name."""

from __future__ import annotations

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
