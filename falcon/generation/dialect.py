"""Dialects: what servers of OpenAI's interface take beside its fields, and what they give back.

All of them have further sampling rules that are on unless they are told otherwise (the model's own
top-k or repetition penalty), and each has a way of its own to keep a stop text or to name token
ids. Where a server is of no known kind, only the fields of the interface are used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from falcon.errors import UserError
from falcon.generation.completion import Sampling
from falcon.generation.connection import Connection, Unanswered


@dataclass(frozen=True)
class Dialect:
    """One kind of server.

    ``reads_ids``: prompts may be token ids. ``extra``: fields of all its requests, ``of_text``:
    further ones where a prompt is continued. ``raw_log_probs``: its log-probabilities are those at
    temperature 1 without a nucleus, whatever is drawn with. ``at_once``: most requests that may be
    open, 0: any number. ``stops``: most stop texts, 0: any number.
    """

    name: str
    reads_ids: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    of_text: Mapping[str, Any] = field(default_factory=dict)
    raw_log_probs: bool = False
    at_once: int = 0
    stops: int = 0

    def fields(self, sampling: Sampling, stop: tuple[str, ...], seed: int) -> dict[str, Any]:
        """What a request says of how to draw."""
        asked: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p if sampling.temperature else 1.0,
            "max_tokens": sampling.max_new_tokens,
            "seed": seed,
            **self.extra,
        }
        if stop:
            asked["stop"] = list(stop[: self.stops or None])
        if self.name == "transformers":  # it draws only where the model's own settings say so
            draws = {"do_sample": sampling.temperature > 0, "top_k": 0, "repetition_penalty": 1.0}
            asked["generation_config"] = json.dumps(draws)
        return asked


_OPEN = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}  # all tokens, as they are

DIALECTS = {
    each.name: each
    for each in (
        Dialect(
            "vllm",
            extra={**_OPEN, "return_token_ids": True, "include_stop_str_in_output": True},
            of_text={"skip_special_tokens": False, "add_special_tokens": False},
            raw_log_probs=True,
        ),
        Dialect(
            "sglang",
            extra={**_OPEN, "no_stop_trim": True},
            of_text={"skip_special_tokens": False},
        ),
        Dialect(
            "llamacpp",
            extra={"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
            raw_log_probs=True,
        ),
        # One at a time: a seed is that of its whole process.
        Dialect("transformers", reads_ids=False, at_once=1),
        Dialect("other", reads_ids=False, stops=4),
    )
}


def recognise(server: Connection) -> Dialect:
    """The dialect of a server. Raises UserError where nothing answers."""
    try:
        pages = server.get("/openapi.json")
        paths = pages.get("paths", {}) if isinstance(pages, dict) else {}
        if "/load_model" in paths:
            return DIALECTS["transformers"]
        models = server.get("/v1/models")
    except Unanswered as fault:
        raise UserError(
            f"{server.shown}: no server answers ({fault}).",
            hint="Start it, or give another --server.",
        ) from None
    rows = models.get("data") if isinstance(models, dict) else None
    owners = {row.get("owned_by") for row in rows or () if isinstance(row, dict)}
    return next((d for d in DIALECTS.values() if d.name in owners), DIALECTS["other"])
