"""Characters: the tokenizer of prompts for a model whose own tokenizer is not here.

Its token ids are code points, so a prompt stays a sequence of ids that decodes to its text. A
server puts the text into its own template and tokens. It has no template and no special tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

A_TOKEN = 4
"""About how many characters a token of a real tokenizer has."""


class Characters:
    """As much of a tokenizer as prompts need."""

    chat_template = None
    bos_token_id = None
    eos_token_id = None

    def __call__(self, text: str, *, add_special_tokens: bool = False) -> dict[str, list[int]]:
        """A code point for each character."""
        return {"input_ids": [ord(character) for character in text]}

    def decode(self, ids: Sequence[int], **_: object) -> str:
        """The text of code points."""
        return "".join(map(chr, ids))
