"""Where each token of a completion lies in its decoded text.

Generated tokens need not be what the tokenizer would make of the text, so offsets cannot
come from encoding it again: they come from decoding. A byte-level vocabulary gives the
bytes of each token and is exact. Any other tokenizer is decoded piece by piece with a
little context (what a leading-space rule needs) and checked against the whole text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_PREFIXES = 4096
_FLUSH = 8
"""Tokens that may wait for the rest of a character before their text is taken as it is."""


def decoded(tokenizer: Any, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    """The text offsets refer to: decoded as is, spaces before punctuation kept."""
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
    )
    return text


def token_offsets(
    tokenizer: Any, ids: Sequence[int], *, skip_special_tokens: bool = True
) -> list[tuple[int, int]]:
    """Half-open character range of each token in :func:`decoded`, one pair a token.

    A character whose bytes are spread over several tokens lies in the range of each.
    Tokens that decode to nothing have no width. ``tokenizer`` is a transformers tokenizer.
    Cost is linear in the text, except for a decoder whose output depends on far context,
    where each prefix of up to 4,096 tokens is decoded; beyond, offsets are then approximate.
    """
    if not len(ids):
        return []
    text = decoded(tokenizer, ids, skip_special_tokens=skip_special_tokens)
    hidden = _special(tokenizer) if skip_special_tokens else set()
    if _is_byte_level(tokenizer):
        names = tokenizer.convert_ids_to_tokens(list(ids))
        pieces = [
            b"" if i in hidden or n is None else token_bytes(n)
            for i, n in zip(ids, names, strict=True)
        ]
        whole, offsets = byte_offsets(pieces)
        if whole == text:
            return offsets
    shown = [i for i in ids if i not in hidden]
    found = _windowed(tokenizer, shown, text, slide=True)
    if found and found[-1][1] != len(text):
        if len(shown) <= _PREFIXES:
            found = _windowed(tokenizer, shown, text, slide=False)
        found[-1] = (found[-1][0], len(text))
    return _with_hidden(ids, hidden, found)


def _special(tokenizer: Any) -> set[int]:
    """Tokens that decoding leaves out: those with a role, and those only marked as special."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}


def _with_hidden(
    ids: Sequence[int], hidden: set[int], shown: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Offsets of all tokens, given those of the tokens that are not hidden."""
    offsets, at, rest = [], 0, iter(shown)
    for token in ids:
        pair = (at, at) if token in hidden else next(rest)
        at = pair[1]
        offsets.append(pair)
    return offsets


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether the decoder of the tokenizer maps characters of its vocabulary to bytes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in repr(getattr(backend, "decoder", None))


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, other bytes from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return table | {chr(0x100 + rank): byte for rank, byte in enumerate(others)}


def token_bytes(name: str) -> bytes:
    """Bytes of a token of a byte-level vocabulary.

    A token with a character outside the alphabet (an added token with a space) is its text.
    """
    table = _byte_of_character()
    try:
        return bytes(table[character] for character in name)
    except KeyError:
        return name.encode("utf-8", "surrogatepass")


def byte_offsets(pieces: Sequence[bytes]) -> tuple[str, list[tuple[int, int]]]:
    """Text of joined UTF-8 pieces (bad bytes as U+FFFD) and each piece's characters in it."""
    data = b"".join(pieces)
    text, character_of = _characters(data)
    offsets, at, seen = [], 0, 0
    for piece in pieces:
        if piece:
            start, seen = character_of[at], character_of[at + len(piece) - 1] + 1
            offsets.append((start, seen))
        else:
            offsets.append((seen, seen))
        at += len(piece)
    return text, offsets


def _characters(data: bytes) -> tuple[str, list[int]]:
    """Decoded text, and for each byte the index of the character it belongs to."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    parts: list[str] = []
    character_of: list[int] = []
    count = pending = 0
    for byte in data:
        out = decoder.decode(bytes((byte,)))
        held = len(decoder.getstate()[0])
        if out:
            closed = pending + 1 - held
            # Several characters at once: bad bytes that waited, then what this byte ends.
            own = len(out) > 1 and not held
            bad = [min(at, len(out) - 1 - own) for at in range(closed - own)]
            character_of += [count + at for at in (*bad, *[len(out) - 1] * own)]
            count += len(out)
            parts.append(out)
        pending = held
    rest = decoder.decode(b"", final=True)
    character_of += [count + min(at, len(rest) - 1) for at in range(pending)]
    return "".join(parts) + rest, character_of


def _windowed(
    tokenizer: Any, ids: Sequence[int], text: str, *, slide: bool
) -> list[tuple[int, int]]:
    """Offsets by decoding ever longer prefixes, from a context that slides along if ``slide``.

    ``context`` is the first token decoded, ``anchor`` the first one not settled yet; the
    text of the tokens between them is known and cut off.
    """
    offsets: list[tuple[int, int]] = []
    context = anchor = 0
    settled = reached = known = 0
    for at in range(len(ids)):
        window = decoded(tokenizer, ids[context : at + 1], skip_special_tokens=False)
        fresh = window[known:]
        stable = max(reached, settled + _common(fresh, text, settled))
        unfinished = settled + len(fresh) > stable
        if stable > reached:
            offsets.append((reached, stable))
        elif unfinished:
            offsets.append((reached, min(reached + 1, len(text))))
        else:
            offsets.append((reached, reached))
        reached = stable
        done = fresh and not unfinished
        if slide and (done or at - anchor >= _FLUSH):
            context, anchor, settled = (anchor if done else context), at + 1, stable
            known = len(decoded(tokenizer, ids[context:anchor], skip_special_tokens=False))
    return offsets


def _common(fresh: str, text: str, start: int) -> int:
    """Length of the longest common prefix of ``fresh`` and ``text[start:]``."""
    if text.startswith(fresh, start):
        return len(fresh)
    pairs = enumerate(zip(fresh, text[start : start + len(fresh)], strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(fresh), len(text) - start))
