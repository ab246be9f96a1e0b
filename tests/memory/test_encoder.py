from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from falcon.errors import UserError
from falcon.memory import HashEncoder, SentenceEncoder, make_encoder

TEXTS = ["Reverse a string.", "", "Add two numbers \ud800", "Reverse the given string."]


def test_hash_vectors_are_unit_and_sized() -> None:
    for encoder in (HashEncoder(), HashEncoder(7)):
        rows = encoder.encode(TEXTS)
        assert rows.dtype == np.float32
        assert rows.shape == (4, encoder.dim)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
        assert encoder.encode([]).shape == (0, encoder.dim)


def test_hash_vectors_are_the_same_in_another_process() -> None:
    code = (
        "from falcon.memory import HashEncoder as H; print(H().encode(['Reverse it'])[0].tolist())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == str(HashEncoder().encode(["Reverse it"])[0].tolist())


def test_hash_vectors_follow_the_words() -> None:
    rows = HashEncoder(256).encode(TEXTS)
    assert rows[0] @ rows[3] > rows[0] @ rows[2] + 0.2


def test_names_of_different_sizes_differ() -> None:
    assert HashEncoder().name == "hash"
    assert make_encoder("hash").dim == 64
    wide = make_encoder("hash-128")
    assert (wide.name, wide.dim) == ("hash-128", 128)


@pytest.mark.parametrize("name", ["no-such-encoder", "", "hash-1", "hash-x", "./absent/model"])
def test_an_unknown_encoder_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError, match="ncoder"):
        make_encoder(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no modules\.json"):
        make_encoder(str(tmp_path))


def test_a_hub_model_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: lookups.append(given))
    with pytest.raises(UserError, match="not on this machine"):
        make_encoder("nobody/absent-model")
    assert lookups == []


@pytest.mark.model
def test_a_folder_that_is_no_model_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]'
    )
    with pytest.raises(UserError, match="cannot be loaded"):
        make_encoder(str(tmp_path)).encode(["x"])


@pytest.mark.model
def test_sentence_vectors_follow_the_meaning_and_are_cached() -> None:
    encoder = make_encoder("all-minilm-l6-v2")
    assert isinstance(encoder, SentenceEncoder)
    assert (encoder.name, encoder.dim) == ("all-minilm-l6-v2", 384)
    texts = ["Turn the text backwards.", "Reverse a string.", "Compute a tax.", "bad \ud800"]
    rows = encoder.encode(texts)
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    again = encoder.encode(texts[::-1])[::-1]
    assert np.array_equal(rows, again)
    assert SentenceEncoder()._model is encoder._model
