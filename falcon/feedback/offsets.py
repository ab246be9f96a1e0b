"""Offsets: the characters of each token of a completion in the decoded text.

A model may generate other tokens than the tokenizer makes of the same text, so encoding the text
again would give wrong offsets: they come from decoding. A byte-level vocabulary gives the bytes
of each token and is exact. Any other tokenizer decodes piece by piece, with a little context
(which rules for leading spaces need), and the result is checked against the whole text.
"""

import codecs
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_PREFIXES = 4096  # tokens up to which every prefix may be decoded (cost is quadratic)
_FLUSH = 8  # tokens that may wait for the rest of a character before their text counts as it is


def decoded(tokenizer: Any, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    """The text that offsets refer to: spaces before punctuation are kept."""
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
    )
    return text


def token_offsets(
    tokenizer: Any, ids: Sequence[int], *, skip_special_tokens: bool = True
) -> list[tuple[int, int]]:
    """Half-open character range of each token in :func:`decoded`, one pair a token.

    A character whose bytes are spread over several tokens is in the range of each of them.
    Tokens that decode to nothing have an empty range. ``tokenizer`` is a transformers tokenizer.
    Cost is linear in the text, except for a decoder whose output depends on distant context:
    then each prefix of up to 4,096 tokens is decoded, and longer texts get approximate offsets.
    """
    if not len(ids):
        return []
    text = decoded(tokenizer, ids, skip_special_tokens=skip_special_tokens)
    hidden = _special(tokenizer) if skip_special_tokens else set()
    if _is_byte_level(tokenizer):
        # Names from the vocabulary, not `decode`: a token may hold a part of a character.
        names = tokenizer.convert_ids_to_tokens(list(ids))
        pieces = [
            b"" if i in hidden or n is None else token_bytes(n)
            for i, n in zip(ids, names, strict=True)
        ]
        joined, offsets = byte_offsets(pieces)
        if joined == text:  # else the decoder does more than join, e.g. strip
            return offsets
    shown = [i for i in ids if i not in hidden]
    offsets = _windowed(tokenizer, shown, text, slide=True)
    if offsets and offsets[-1][1] != len(text):  # the short context did not reproduce the text
        if len(shown) <= _PREFIXES:
            offsets = _windowed(tokenizer, shown, text, slide=False)
        offsets[-1] = (offsets[-1][0], len(text))
    return _with_hidden(ids, hidden, offsets)


def _special(tokenizer: Any) -> set[int]:
    """Tokens that decoding skips: those with a role, and those that are only marked special."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}


def _with_hidden(
    ids: Sequence[int], hidden: set[int], shown: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Offsets of all tokens, given those of the tokens that are not hidden."""
    offsets, at, rest = [], 0, iter(shown)
    for token in ids:  # a hidden token is empty, at the end of the one before it
        pair = (at, at) if token in hidden else next(rest)
        at = pair[1]
        offsets.append(pair)
    return offsets


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether each character of the tokenizer's vocabulary stands for a byte."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in repr(getattr(backend, "decoder", None))


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, other bytes are U+0100 and up."""
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
    """Text of joined UTF-8 pieces (invalid bytes as U+FFFD), and each piece's range in it."""
    data = b"".join(pieces)
    text, character_of = _characters(data)
    offsets, at, end = [], 0, 0  # `at` counts bytes, `end` characters
    for piece in pieces:
        if piece:  # from the character of its first byte through that of its last byte
            start, end = character_of[at], character_of[at + len(piece) - 1] + 1
            offsets.append((start, end))
        else:
            offsets.append((end, end))
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
        held = len(decoder.getstate()[0])  # bytes of an incomplete character
        if out:
            closed = pending + 1 - held  # bytes that `out` is made of
            # Several characters at once: invalid bytes that were pending, then the character that
            # this byte ends. The decoder joins pending bytes in one U+FFFD or gives one for each,
            # hence the `min`.
            own = len(out) > 1 and not held
            bad = [min(at, len(out) - 1 - own) for at in range(closed - own)]
            character_of += [count + at for at in (*bad, *[len(out) - 1] * own)]
            count += len(out)
            parts.append(out)
        pending = held
    rest = decoder.decode(b"", final=True)  # an incomplete character at the end: U+FFFD
    character_of += [count + min(at, len(rest) - 1) for at in range(pending)]
    return "".join(parts) + rest, character_of


def _windowed(
    tokenizer: Any, ids: Sequence[int], text: str, *, slide: bool
) -> list[tuple[int, int]]:
    """Offsets by decoding longer and longer prefixes; with ``slide`` their start moves along.

    ``context`` is the first token that is decoded, ``anchor`` the first one that is not settled;
    the tokens between them only provide context, and their text is cut off.
    """
    offsets: list[tuple[int, int]] = []
    context = anchor = 0
    settled = reached = cut = 0  # characters before `anchor`, so far, in the context's text
    for at in range(len(ids)):
        window = decoded(tokenizer, ids[context : at + 1], skip_special_tokens=False)
        fresh = window[cut:]
        stable = max(reached, settled + _common(fresh, text, settled))
        unfinished = settled + len(fresh) > stable  # ends in U+FFFD: a character is incomplete
        if stable > reached:
            offsets.append((reached, stable))
        elif unfinished:
            offsets.append((reached, min(reached + 1, len(text))))  # a part of the next character
        else:
            offsets.append((reached, reached))
        reached = stable
        complete = fresh and not unfinished
        if slide and (complete or at - anchor >= _FLUSH):
            context, anchor, settled = (anchor if complete else context), at + 1, stable
            cut = len(decoded(tokenizer, ids[context:anchor], skip_special_tokens=False))
    return offsets


def _common(fresh: str, text: str, start: int) -> int:
    """Length of the longest common prefix of ``fresh`` and ``text[start:]``."""
    if text.startswith(fresh, start):
        return len(fresh)
    pairs = enumerate(zip(fresh, text[start : start + len(fresh)], strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(fresh), len(text) - start))
