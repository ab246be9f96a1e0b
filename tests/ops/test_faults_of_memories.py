"""The memory's index deleted, damaged or elsewhere, and a log that is torn."""

from __future__ import annotations

import shutil

import pytest

from tests.ops.clone import Clone
from tests.processes import free_port

RECALL = ("--set", "memory.at=both", "--set", "memory.min_similarity=-1.0")
"""The index is used where something is recalled."""


def with_recall(clone: Clone, *words: str, **extra: str) -> object:
    clone.forget("train", "benchmark", "gate")
    return clone.falcon(
        "stage", "train", *words, *RECALL, "--set", "machine.search=chroma", **extra
    )


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("delete", marks=pytest.mark.row(
            "train", "before it", "the Chroma index is deleted",
            "made again from the log; results of an undisturbed training")),
        pytest.param("garbage", marks=pytest.mark.row(
            "train", "before it", "every file of the Chroma index is garbage",
            "made again from the log; results of an undisturbed training")),
    ],
)  # fmt: skip
def test_an_index_is_made_again(clone: Clone, harm: str) -> None:
    with_recall(clone).ok()
    undisturbed = clone.results()
    clone.forget("train")
    for file in (p for p in (clone.root / "state" / "index").rglob("*") if p.is_file()):
        if harm == "garbage":
            file.write_bytes(b"garbage" * 100)
        else:
            file.unlink()
    clone.falcon("stage", "train").ok()
    assert clone.results() == undisturbed


@pytest.mark.row(
    "train", "at its start", "the Chroma server is away",
    "one line, or another search with the same results; started, the same command ends well",
)  # fmt: skip
def test_a_chroma_server_that_is_away(clone: Clone) -> None:
    with_recall(clone).ok()
    undisturbed = clone.results()
    clone.forget("train")
    away = {"FALCON_SET__MACHINE__SERVER": f"127.0.0.1:{free_port()}"}
    done = clone.falcon("stage", "train", **away)
    if done.code:
        done.refused("127.0.0.1")
        clone.falcon("stage", "train").ok()
    assert clone.results() == undisturbed


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
