"""Which judge the settings name."""

from pathlib import Path

from falcon.config import FeedbackSettings
from falcon.feedback.judges.base import Judge
from falcon.feedback.judges.critic import CriticJudge
from falcon.feedback.judges.recorded import RecordedJudge
from falcon.feedback.judges.static import StaticJudge


def make_judge(settings: FeedbackSettings) -> Judge:
    """The judge the settings name. Raises UserError for bad recorded scores, a model that is
    absent and a key that is not set."""
    if settings.judge == "static":
        return StaticJudge()
    if settings.judge == "recorded":
        return RecordedJudge(Path(settings.recorded_scores))
    # Critics reach the policy (a local critic is a model that generates). This is the only way
    # from feedback to it, inside of the function, so that feedback alone loads no model code.
    from falcon.critics.make import make_critic
    from falcon.files import cache_folder

    return CriticJudge(make_critic(settings.judge, settings.critic, cache_folder() / "critics"))
