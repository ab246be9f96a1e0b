"""The memory's index deleted, damaged or elsewhere, and a log that is torn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.clone import Clone, copy_clone
from tests.processes import free_port

RECALL = (
    "--set", "memory.at=both", "--set", "memory.min_similarity=-1.0",
    "--set", "machine.search=chroma",
)  # fmt: skip
"""The index is used where something is recalled."""


@pytest.fixture(scope="module")
def undisturbed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose training recalled from an index; for tests to copy."""
    folder = tmp_path_factory.mktemp("recall")
    clone = Clone(copy_clone(finished, folder / "clone"), folder / "logs")
    clone.forget("train", "benchmark", "gate")
    clone.falcon("stage", "train", *RECALL).ok()
    yield clone
    shutil.rmtree(clone.root)


@pytest.fixture
def recalling(undisturbed: Clone, tmp_path: Path) -> Clone:
    """A copy of it, in which the training is to do again."""
    clone = Clone(copy_clone(undisturbed.root, tmp_path / "clone"), tmp_path / "logs")
    clone.forget("train")
    return clone


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("delete", marks=[
            pytest.mark.nightly,
            pytest.mark.row("train", "before it", "the Chroma index is deleted",
                            "made again from the log; results of an undisturbed training")]),
        pytest.param("garbage", marks=pytest.mark.row(
            "train", "before it", "every file of the Chroma index is garbage",
            "made again from the log; results of an undisturbed training")),
    ],
)  # fmt: skip
def test_an_index_is_made_again(undisturbed: Clone, recalling: Clone, harm: str) -> None:
    index = recalling.root / "state" / "index"
    files = [p for p in index.rglob("*") if p.is_file()]
    assert files
    for file in files:
        if harm == "garbage":
            file.write_bytes(b"garbage" * 100)
        else:
            file.unlink()
    recalling.falcon("stage", "train").ok()
    assert recalling.results() == undisturbed.results()


@pytest.mark.nightly
@pytest.mark.row(
    "train", "at its start", "the Chroma server is away",
    "one line, or another search with the same results; started, the same command ends well",
)  # fmt: skip
def test_a_chroma_server_that_is_away(undisturbed: Clone, recalling: Clone) -> None:
    away = {"FALCON_SET__MACHINE__SERVER": f"127.0.0.1:{free_port()}"}
    done = recalling.falcon("stage", "train", **away)
    if done.code:
        done.refused("127.0.0.1")
        recalling.falcon("stage", "train").ok()
    assert recalling.results() == undisturbed.results()


@pytest.mark.nightly
@pytest.mark.row(
    "train", "before it", "the last line of the memory's log is torn",
    "what DVC saw is not what lies there: one line, or restored; the log is whole afterwards",
)  # fmt: skip
def test_a_torn_log_is_noticed(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    clone.forget("train")
    log = next((clone.space.output("rollout") / "memory").glob("*.jsonl"))
    content = log.read_bytes()
    log.unlink()
    log.write_bytes(content[:-40])
    done = clone.falcon("run", PREFECT_API_URL=prefect_url)
    if done.code:
        done.refused("memory")
        shutil.rmtree(log.parent)
        clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    clone.whole(before)
