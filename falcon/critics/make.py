"""Which critic the settings name."""

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
    """A critic that stores its answers in ``folder``. Raises UserError if a setting that it needs
    is empty."""
    if kind == "recorded":
        if not settings.recorded:
            hint = (
                "Set feedback.critic.recorded (`falcon codal`: --judgements) to a file of answers."
            )
            raise UserError("the recorded critic has no answers.", hint=hint)
        return RecordedCritic(Path(settings.recorded))
    if not settings.model:
        raise UserError(
            f"the critic `{kind}` has no model.",
            hint="Set feedback.critic.model (`falcon codal`: --judge-model) to its name.",
        )
    if kind == "model":
        return LocalCritic(settings, folder)
    if not settings.url:
        hint = (
            "Set feedback.critic.url (`falcon codal`: --judge-url), e.g. http://127.0.0.1:8000/v1."
        )
        raise UserError("the critic `api` has no address.", hint=hint)
    return EndpointCritic(settings, folder)
