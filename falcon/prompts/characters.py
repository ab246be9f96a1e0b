"""Characters: the tokenizer of prompts for a model whose own tokenizer is not here.

Its token ids are code points, so a prompt stays a sequence of ids that decodes to its text. A
server puts the text into its own template and tokens. Its own template is the text of the turns,
and it has no special tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

A_TOKEN = 4
"""About how many characters a token of a real tokenizer has."""


class Characters:
    """As much of a tokenizer as prompts need."""

    name_or_path = "the server's model"
    chat_template = "{{ content }}"
    bos_token_id = None
    eos_token_id = None

    def __call__(self, text: str, *, add_special_tokens: bool = False) -> dict[str, list[int]]:
        """A code point for each character."""
        return {"input_ids": [ord(character) for character in text]}

    def apply_chat_template(self, turns: Sequence[Mapping[str, str]], **_: object) -> str:
        """The texts of the turns that have one."""
        return "\n\n".join(turn["content"] for turn in turns if turn["content"])

    def decode(self, ids: Sequence[int], **_: object) -> str:
        """The text of code points."""
        return "".join(map(chr, ids))
