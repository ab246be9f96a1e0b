"""Connection: HTTP with a server of OpenAI's interface.

The ``openai`` client keeps connections, repeats what failed for a while (429, 5xx, timeouts, a
refused connection) and pauses longer each time, or as long as Retry-After says. The key comes
from an environment variable and is written nowhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError, without_passwords

if TYPE_CHECKING:
    from openai import OpenAI

RETRIES = 6  # pauses of 0.5, 1, 2, 4, 8 and 8 s, where the server does not say how long
TIMEOUT_S = 1800.0  # a long program on a busy server


class Unanswered(Exception):
    """The server did not answer, however often it was asked; or not with what was asked for."""


class Connection:
    """Asks ``url``, with or without ``/v1`` at its end.

    ``key_env`` names the environment variable of the key. Raises UserError if that is not set.
    """

    def __init__(self, url: str, key_env: str = "", retries: int = RETRIES) -> None:
        self.root = url.rstrip("/").removesuffix("/v1")
        self.shown = without_passwords(self.root)
        self._key = secret(key_env, "policy.key_env")
        self._retries = retries
        self._client: OpenAI | None = None

    def get(self, path: str) -> Any:
        """The JSON at a path; None where the server has none. Raises Unanswered."""
        from openai import APIStatusError

        try:
            return self._ask("get", path)
        except APIStatusError:
            return None

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer; None if it is no JSON. Raises Unanswered, and UserError for what the
        server refuses."""
        from openai import APIStatusError

        try:
            return self._ask("post", path, body=body)
        except APIStatusError as fault:
            status, why = fault.status_code, str(fault.message)[:300]
            if status in (408, 409, 429) or status >= 500:
                raise Unanswered(f"{status}, {why}") from None
            raise UserError(
                f"{self.shown}{path}: {why}", hint=_HINTS.get(status, _HINTS[400])
            ) from None

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        from openai import APIConnectionError, OpenAI, OpenAIError

        if self._client is None:
            self._client = OpenAI(
                base_url=self.root,
                api_key=self._key,
                timeout=TIMEOUT_S,
                max_retries=self._retries,
            )
        try:
            return getattr(self._client, method)(path, cast_to=object, **more)
        except APIConnectionError as fault:
            raise Unanswered(f"{fault.__cause__ or fault}") from None
        except ValueError:  # no JSON
            return None
        except OpenAIError as fault:
            if hasattr(fault, "status_code"):
                raise
            raise Unanswered(str(fault)[:300]) from None


_HINTS = {
    400: "The server refuses the request: look at its log, and at --model.",
    401: "Export the key, and name its variable in policy.key_env.",
    403: "Export the key, and name its variable in policy.key_env.",
    404: "Give the address up to /v1 and a --model that the server names at /v1/models.",
}


def secret(name: str, setting: str) -> str:
    """The key in an environment variable. Raises UserError, naming the setting that names the
    variable, where it is not set."""
    if not name:
        return "none"  # local servers need no key, but the client does
    key = os.environ.get(name, "")
    if not key:
        raise UserError(
            f"{name} is not set.",
            hint=f"Export the key under that name, or set {setting} to another.",
        )
    return key
