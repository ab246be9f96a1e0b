"""The text that an experience is indexed by: t_i and f_i of eq. 6.

Feedback here is the outcome, the error type and the first line of the message, in which a later
task can be similar. The rewards are not part of it: they are the evaluation score e_i, which
recall returns but does not search by.
"""

import hashlib

from falcon.memory.experience import Experience

MESSAGE_CHARS = 200


def first_line(message: str, limit: int = MESSAGE_CHARS) -> str:
    """First non-empty line of an error message, at most ``limit`` characters."""
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line), "")[:limit]


def feedback_line(outcome: str, error_type: str, message: str) -> str:
    """f_i in words: ``wrong_answer``, or ``runtime_error name: name 'x' is not defined``."""
    line = first_line(message)
    head = " ".join(part for part in (outcome, error_type) if part)
    return f"{head}: {line}" if line else head


def searchable_text(task: str, outcome: str, error_type: str, message: str) -> str:
    """The text that phi embeds for one experience (eq. 6).

    Feedback comes first: an encoder that reads a limited number of tokens then cuts the end of
    a long task, never the feedback.
    """
    return f"{feedback_line(outcome, error_type, message)}\n{task}"


def text_of(experience: Experience) -> str:
    """:func:`searchable_text` of an experience."""
    outcome, feedback = experience.verdict.outcome.value, experience.feedback
    return searchable_text(experience.task, outcome, feedback.error_type, feedback.error_message)


def text_id(text: str) -> str:
    """Identity of a text: sha256, 32 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]  # 16 bytes
