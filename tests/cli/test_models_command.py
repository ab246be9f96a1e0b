"""``falcon models``: what is listed and refused; and the fetched code model, where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from falcon import env
from falcon.policy.packaged import PACKAGED

NAME = "qwen2.5-coder-0.5b-instruct"
ROOT = Path(__file__).resolve().parents[2]


def test_every_model_is_listed_with_its_place_or_the_command_that_gets_it(falcon) -> None:
    done = falcon("models")
    assert done.code == 0
    embedded, packaged = done.out.splitlines()
    assert embedded.split()[:5] == ["smollm2-135m-instruct", "135", "M", "Apache-2.0", "embedded"]
    assert Path(embedded.split()[-1]).is_file()
    assert packaged.endswith(f"494 M  Apache-2.0  absent     `falcon models fetch {NAME}`")
    rows = json.loads(falcon("models", "--json").out)["models"]
    assert [(row["name"], row["state"], bool(row["where"])) for row in rows] == [
        ("smollm2-135m-instruct", "embedded", True),
        (NAME, "absent", False),
    ]
    assert rows[1]["sha256"] == PACKAGED[NAME].sha256


def test_a_model_that_is_not_fetched_is_one_line(here: Path, falcon) -> None:
    said = f"policy.model: {NAME} has not been fetched. Run `falcon models fetch {NAME}`."
    for words in (("--model", NAME), ("--set", f"policy.model={NAME}")):
        done = falcon("generate", "Double a number.", *words)
        assert (done.code, done.err.splitlines()[-1]) == (2, f"falcon: {said}")
        assert done.out == ""
    assert f"Run `falcon models fetch {NAME}`" in falcon("doctor", "--set", words[1]).out
    assert not (here / "state" / "cache" / "models").exists()


def test_names_that_cannot_be_fetched(falcon) -> None:
    done = falcon("models", "fetch", "qwen")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"There is {NAME}." in done.err
    done = falcon("models", "fetch", "smollm2-135m-instruct")
    assert (done.code, done.out) == (0, "smollm2-135m-instruct comes with the installation.\n")


@pytest.mark.model
def test_the_code_model_writes_a_program_that_passes(
    here: Path, falcon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FALCON_CACHE", env.defaults(ROOT)["FALCON_CACHE"])
    if not PACKAGED[NAME].is_converted():
        pytest.skip(f"needs `falcon models fetch {NAME}`")
    (here / "t.py").write_text("assert even_sum([1, 2, 4]) == 6\nassert even_sum([]) == 0\n")
    done = falcon(
        *("generate", "Return the sum of the even numbers.", "--tests", "t.py"),
        *("--signature", "def even_sum(xs: list[int]) -> int:", "--max-new-tokens", "80"),
        *("--set", f"policy.model={NAME}", "--set", "policy.dtype=bfloat16"),
    )
    assert done.code == 0, done
    assert f"model: {NAME}, untrained" in done.err
    assert "2 of 2 tests pass" in done.err
