"""Thought: what a model writes before its answer, between marks."""

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
"""Qwen3 and DeepSeek-R1, Claude-like ones, Gemma-like ones, Seed, OpenThinker, gpt-oss, Magistral,
Kimi. The prompt may have opened it."""


def answer_start(text: str) -> int:
    """Characters before the answer proper; all of them where the thought was cut."""
    begun = text.lstrip()
    for opening, closing in MARKS:
        end = text.rfind(closing)
        if end >= 0:
            return end + len(closing)
        if begun.startswith(opening):
            return len(text)
    return 0
