"""The endpoint critic: any server with OpenAI's chat completions.

The ``openai`` client retries and pauses (also by Retry-After). The key is read from the
environment variable that the settings name and is written nowhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.config import CriticSettings
from falcon.critics.answers import Answers
from falcon.critics.critic import Question, Usage
from falcon.errors import CriticFault
from falcon.generation.connection import secret

if TYPE_CHECKING:
    from openai import OpenAI


class _Pace:
    """Limits requests to ``per_minute``, evenly spread."""

    def __init__(self, per_minute: float) -> None:
        self._gap = 60.0 / per_minute
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:  # reserve a time; sleep without the lock, so that others can reserve
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._gap
        time.sleep(at - now)


class EndpointCritic:
    """Asks ``settings.model`` at ``settings.url``, several questions at once.

    Answers are stored in ``folder``. Raises UserError when the settings name an environment
    variable for the key and it is not set.
    """

    def __init__(self, settings: CriticSettings, folder: Path) -> None:
        self.settings = settings
        self.name = f"api:{settings.model}"
        self.version = f"t0-{settings.max_tokens}"
        self.usage = Usage()
        self._answers = Answers(folder / "answers.jsonl", f"{self.name}/{self.version}")
        self._key = secret(settings.key_env, "feedback.critic.key_env")
        self._pace = _Pace(settings.requests_per_minute)
        self._counting = threading.Lock()  # guards usage
        self._client: OpenAI | None = None

    def _connected(self) -> OpenAI:
        if self._client is None:
            from openai import OpenAI

            s = self.settings
            self._client = OpenAI(
                base_url=s.url, api_key=self._key, timeout=s.timeout_s, max_retries=s.retries
            )
        return self._client

    def ask(self, questions: Sequence[Question]) -> list[str | CriticFault]:
        """Answers at temperature 0, or a fault if all retries failed."""
        stored = {q: self._answers.find(q) for q in dict.fromkeys(questions)}
        new = [question for question, answer in stored.items() if answer is None]
        self.usage.reused += len(questions) - len(new)
        client = self._connected() if new else None  # stored answers need neither key nor server
        with ThreadPoolExecutor(self.settings.at_once) as pool:
            fresh = dict(zip(new, pool.map(lambda q: self._one(client, q), new), strict=True))
        return [fresh[q] if q in fresh else stored[q] or "" for q in questions]

    def _one(self, client: OpenAI | None, question: Question) -> str | CriticFault:
        from openai import OpenAIError

        assert client is not None
        system, user = question
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user})
        self._pace.wait()
        try:
            reply = client.chat.completions.create(
                model=self.settings.model,
                messages=messages,  # type: ignore[arg-type]
                temperature=0,
                max_tokens=self.settings.max_tokens,
            )
            answer = reply.choices[0].message.content if reply.choices else None
        except (OpenAIError, ValueError, AttributeError, TypeError) as fault:
            return self._fault(f"{self.settings.url}: {type(fault).__name__}: {fault}"[:300])
        used = reply.usage  # some servers send none
        with self._counting:
            self.usage.asked += 1
            if used is not None:
                self.usage.prompt_tokens += used.prompt_tokens
                self.usage.completion_tokens += used.completion_tokens
                self.usage.cost += 1e-6 * (  # prices are per million tokens
                    used.prompt_tokens * self.settings.price_in
                    + used.completion_tokens * self.settings.price_out
                )
        if not answer:
            return self._fault(f"{self.settings.url}: an empty answer")
        self._answers.keep(question, answer)  # faults are not stored: they may pass
        return answer

    def _fault(self, message: str) -> CriticFault:
        with self._counting:
            self.usage.faults += 1
        return CriticFault(message)
