"""Which critic the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from falcon.config import CriticSettings
from falcon.critics.critic import Critic
from falcon.critics.endpoint import EndpointCritic
from falcon.critics.local import LocalCritic
from falcon.critics.recorded import RecordedCritic
from falcon.errors import UserError

Kind = Literal["model", "api", "recorded"]


def make_critic(kind: Kind, settings: CriticSettings, folder: Path) -> Critic:
    """A critic that keeps its answers in ``folder``. Raises UserError for settings that lack
    what it needs."""
    if kind == "recorded":
        if not settings.recorded:
            raise UserError(
                "the recorded critic has no answers.",
                hint="Set feedback.critic.recorded (`falcon codal`: --judgements) to a file of answers.",
            )
        return RecordedCritic(Path(settings.recorded))
    if not settings.model:
        raise UserError(
            f"the critic `{kind}` has no model.",
            hint="Set feedback.critic.model (`falcon codal`: --judge-model) to its name.",
        )
    if kind == "model":
        return LocalCritic(settings, folder)
    if not settings.url:
        raise UserError(
            "the critic `api` has no address.",
            hint="Set feedback.critic.url (`falcon codal`: --judge-url) to one like http://127.0.0.1:8000/v1.",
        )
    return EndpointCritic(settings, folder)
