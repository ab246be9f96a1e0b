"""Reward and Feedback: the paper's F, each term with the text it belongs to."""

from pydantic import BaseModel, ConfigDict

TERMS = ("coarse", "error", "complexity", "style", "negative")
"""The reward terms of Algorithm 1 in its order (``sl`` is a loss without a reward)."""


class Span(BaseModel):
    """Half-open range [start, end) of characters in the program text.

    ``whole``: it stands for the program as a whole (eq. 7: S = 0, E = T), not for these characters:
    so does no line, even where it is the only one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int
    end: int
    whole: bool = False


class Reward(BaseModel):
    """One reward term: its value, the text that it belongs to, and the reason.

    ``span`` is None when the term is ignored for this program (RLTF's U_ignore): the value is
    then reported, but not trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    term: str
    value: float
    span: Span | None
    reason: str


COPIED = frozenset({"visible-tests"})
"""Tripwires of a program that contains tests it was shown."""


class Feedback(BaseModel):
    """The whole feedback on one program: F of the tuple (D, W, T, F).

    ``error_type`` is one of :data:`falcon.feedback.error_types.ERROR_TYPES` or "" for a pass;
    ``error_line`` counts from 1 and is 0 when there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rewards: tuple[Reward, ...] = ()
    error_type: str = ""
    error_line: int = 0
    error_message: str = ""
    tripwires: tuple[str, ...] = ()

    @property
    def tripped(self) -> bool:
        """Whether the program shows a sign of tampering. Models of code often end an answer with
        the examples as a check of their own; hidden tests decide, so that gains nothing."""
        return bool(set(self.tripwires) - COPIED)

    def value(self, term: str) -> float | None:
        """The value of a term, or None if it is absent."""
        return next((r.value for r in self.rewards if r.term == term), None)
