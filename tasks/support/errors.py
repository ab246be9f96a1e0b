"""Errors of the pipeline. A :class:`UserError` ends a command with one line and its exit code."""

from falcon.errors import UserError


class StageFailed(UserError):
    """A stage's command failed. ``cause`` is its exit code, or DVC's own where that is unknown."""

    exit_code = 1

    def __init__(self, stage: str, cause: int, message: str) -> None:
        self.stage = stage
        self.cause = cause
        super().__init__(f"stage `{stage}` failed (exit {cause}): {message}")

    @property
    def hopeless(self) -> bool:
        """Whether another try cannot help: settings, data or a failed check are the cause."""
        return self.cause in (2, 3, 4)


class ChecksFailed(UserError):
    """A stage's result broke a critical expectation; later stages must not use it."""

    exit_code = 3


class PromotionRefused(UserError):
    """The gate, or a change since its decision, forbids the promotion."""

    exit_code = 4


class ApprovalNeeded(PromotionRefused):
    """Nothing is against the promotion but that a person must approve of it."""


class RegistryUnavailable(UserError):
    """The registry does not answer, or its files cannot be read or written."""


class CallRejected(Exception):
    """The tracker answered a call with an error that another try would meet again."""


class Killed(SystemExit):
    """SIGTERM arrived. Ends the process with 143 after its run was marked KILLED."""
