"""Section ``memory`` of the settings: long-term and short-term memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from falcon.config.sections import Section

Recall = Literal["train", "eval", "both", "off"]
"""In which phases there is recall: values of ``memory.at``."""


class MemorySettings(Section):
    """Long-term and short-term memory."""

    encoder: str = "all-minilm-l6-v2"
    """phi of eq. 6: ``all-minilm-l6-v2`` (in its package), a folder or a hub name."""
    demonstrations: int = Field(32, ge=1)
    """Problems whose reference and one failing variant seed the memory, those of the demo split
    first; at most all there are."""
    top_k: int = Field(3, ge=0)
    min_similarity: float = Field(0.3, ge=-1, le=1)
    at: Recall = "both"
    """Where recall enters the prompt. Models of some 100 million parameters copy what is
    recalled instead of using it: for them ``off`` is better (docs/memory.md)."""
    into: Literal["prompt", "weights"] = "prompt"
    """What is recalled enters. ``prompt``: as text before the task. ``weights``: the adaptation of
    Algorithm 1, an inner step on recalled programs that passed, before the task is answered; in
    training, the inner mini-batch draws them instead of a reference of the task and
    of ``meta.long_batch`` others (docs/mrlf.md)."""
    recall_tokens: int = Field(256, ge=0)
    """Token budget of recalled text in a prompt; the task itself is never cut."""
    error_share: Literal["memory", "uniform"] = "memory"
    """P_error of eq. 9: from long-term memory, or the same for every type of error."""
    min_score: float | None = None
    """Experiences of a lower score are not recalled; programs that failed have low ones."""
    diversity: float = Field(0.0, ge=0, lt=1)
    """Above 0 recall prefers what is unlike the rest of it (maximal marginal relevance)."""
    hnsw_neighbors: int = Field(32, ge=4, le=128)
    """Neighbours of a vector in the index. Chroma's default 16 finds less of what is near."""
    hnsw_construction: int = Field(200, ge=16)
    """Candidates looked at to place a vector: the quality of the index, and its time to build."""
    hnsw_search: int = Field(200, ge=16)
    """Candidates looked at by a search, whose time grows with them; may be changed at any time.
    200 find all of the nearest ten among vectors in groups, as texts are; among vectors without
    any structure 600 find 99.9 % of 10,000, and take three times as long."""
    smoothing: float = Field(1.0, gt=0)
    """Added to the count of each error type in P_error (eq. 9)."""
    forgetting: float = Field(1.0, gt=0, le=1)
    """Weight in P_error that an error keeps with each later experience; 1: all weigh alike."""
    short_term_cap: int = Field(6400, ge=1)
    carry_over: bool = True
    """Start from the memory that the last published run left behind."""
    keep: int = Field(50_000, ge=0)
    """Experiences that are carried over at most, the most valuable ones; 0: all."""

    def recalls(self, phase: Literal["train", "eval"]) -> bool:
        """Whether there is recall in this phase, wherever it enters."""
        return self.top_k > 0 and self.at in (phase, "both")

    @field_validator("at", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as false
