"""Critics: language models that answer questions about programs, behind one interface."""

from falcon.critics.answers import Answers, question_key
from falcon.critics.critic import Critic, Usage
from falcon.critics.endpoint import EndpointCritic
from falcon.critics.local import LocalCritic
from falcon.critics.make import make_critic
from falcon.critics.recorded import RecordedCritic

__all__ = [
    "Answers",
    "Critic",
    "EndpointCritic",
    "LocalCritic",
    "RecordedCritic",
    "Usage",
    "make_critic",
    "question_key",
]
