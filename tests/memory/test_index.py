from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from falcon.config import Settings
from falcon.memory import HashEncoder, LongTermMemory, RecallQuery, long_term, text_of
from falcon.memory import index as indexing
from falcon.memory.chroma import Collection
from falcon.memory.encoder import Vectors
from falcon.memory.index import OPEN
from falcon.memory.index_state import IndexState, generation_name
from falcon.sandbox.verdict import Outcome


class CountingEncoder(HashEncoder):
    """A hash encoder that records the texts it encodes."""

    def __init__(self, dim: int = 64) -> None:
        super().__init__(dim)
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode(texts)


def state_of(folder: Path) -> IndexState:
    return IndexState.model_validate_json((folder / "state.json").read_text())


CHROMA = Settings().changed({"machine.search": "chroma"})
"""Otherwise few texts are searched exactly, and the collection is not used."""


def index_of(filled: Path) -> Path:
    return filled.parent / "memory.index"


def recalled(filled: Path, encoder: HashEncoder, task: str = "Task 3", k: int = 4):
    with LongTermMemory.open(filled, encoder, settings=CHROMA) as memory:
        return memory.recall(task, k=k, min_similarity=-1)


def random_tasks(rng: np.random.Generator, n: int) -> list[str]:
    words = [f"word{i}" for i in range(300)]
    return [" ".join(rng.choice(words, size=12)) for _ in range(n)]


def test_recall_agrees_with_exact_search(folder: Path, encoder: HashEncoder, make) -> None:
    rng = np.random.default_rng(0)
    tasks = random_tasks(rng, 600)
    experiences = [make(i, task=task) for i, task in enumerate(tasks)]
    rows = encoder.encode([text_of(e) for e in experiences]).astype(np.float64)
    with LongTermMemory.open(folder, encoder, writable=True, settings=CHROMA) as memory:
        memory.append(experiences)
        queries = random_tasks(rng, 40)
        answers = memory.recall_many(queries, RecallQuery(10, min_similarity=-1))
        for query, hits in zip(queries, answers, strict=True):
            cosines = rows @ encoder.encode([query])[0].astype(np.float64)
            best = np.lexsort((np.arange(600), -np.round(cosines, 6)))[:10]
            assert [h.experience.origin.step for h in hits] == best.tolist()
            assert [h.similarity for h in hits] == pytest.approx(cosines[best].tolist())
        assert memory.recall(queries[0], k=10, min_similarity=-1) == answers[0]


def test_threshold_k_and_exclusion(folder: Path, encoder: HashEncoder, make) -> None:
    same = "Reverse the words of a sentence."
    experiences = [make(i, problem="builtin/same", task=same) for i in range(30)]
    experiences += [
        make(i, problem="builtin/other", task="Sum the even numbers.") for i in range(30, 33)
    ]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        top = memory.recall(same, k=5, min_similarity=0.5)
        assert [h.experience.origin.step for h in top] == [0, 1, 2, 3, 4]
        rest = memory.recall(same, k=50, min_similarity=-1, exclude={"builtin/same"})
        assert [h.experience.origin.step for h in rest] == [30, 31, 32]
        assert memory.recall(same, k=5, min_similarity=0.5, exclude={"builtin/same"}) == []
        assert memory.recall(same, k=0, min_similarity=-1) == []


def test_many_excluded_texts_do_not_crowd_out_the_rest(folder: Path, encoder, make) -> None:
    task = "Find the longest common prefix of the strings."
    near = [
        make(i, problem="builtin/near", task=task, outcome=Outcome.RUNTIME_ERROR, error="name",
             message=f"name 'v{i}' is not defined")
        for i in range(200)
    ]  # fmt: skip
    far = make(999, problem="builtin/far", task="Sum numbers.")
    with LongTermMemory.open(folder, encoder, writable=True, settings=CHROMA) as memory:
        memory.append([*near, far])
        hits = memory.recall(task, k=3, min_similarity=-1, exclude=["builtin/near"])
        assert [h.experience.origin.step for h in hits] == [999]


def test_feedback_is_part_of_what_is_searched(folder: Path, encoder, make) -> None:
    experiences = [
        make(0, problem="p", task="Do it.", outcome=Outcome.RUNTIME_ERROR, error="name",
             message="name 'total' is not defined"),
        make(1, problem="p", task="Do it."),
    ]  # fmt: skip
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        hits = memory.recall("name 'total' is not defined", k=2, min_similarity=-1)
        assert [h.experience.origin.step for h in hits] == [0, 1]
        assert hits[0].similarity > hits[1].similarity + 0.1


def test_what_was_appended_is_found_and_only_new_texts_are_embedded(filled: Path, make) -> None:
    encoder = CountingEncoder()
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        memory.recall("Task 1", k=1, min_similarity=-1)
        encoder.asked.clear()
        memory.append([make(40), make(41), make(42, task=make(40).task)])
        (hit,) = memory.recall(make(41).task, k=1, min_similarity=-1)
        assert hit.experience == make(41)
        assert encoder.asked == [text_of(make(40)), text_of(make(41)), make(41).task]


def test_an_index_that_fits_is_used_as_it_is(filled: Path) -> None:
    expected = recalled(filled, HashEncoder())
    before = state_of(index_of(filled))
    encoder = CountingEncoder()
    assert recalled(filled, encoder) == expected
    assert encoder.asked == ["Task 3"]
    assert state_of(index_of(filled)) == before


@pytest.mark.parametrize("damage", ["all", "state", "vectors", "garbage"])
def test_a_lost_or_broken_index_is_made_again(filled: Path, encoder, damage: str) -> None:
    expected = recalled(filled, encoder)
    index = index_of(filled)
    generation = next(index.glob("generation-*"))
    if damage == "all":
        shutil.rmtree(index)
    elif damage == "state":
        (index / "state.json").write_text("{")
    elif damage == "vectors":
        shutil.rmtree(generation)
    else:
        (generation / "chroma.sqlite3").write_bytes(b"not a database" * 100)
    assert recalled(filled, encoder) == expected
    assert len(list(index.glob("generation-*"))) == 1


def test_another_encoder_rebuilds_the_index(filled: Path, encoder) -> None:
    recalled(filled, encoder)
    wide = recalled(filled, HashEncoder(32))
    state = state_of(index_of(filled))
    assert (state.encoder, state.dim, state.records) == ("hash-32", 32, 12)
    shutil.rmtree(index_of(filled))
    assert recalled(filled, HashEncoder(32)) == wide


def test_an_index_of_another_log_is_rebuilt_and_known_vectors_are_kept(
    filled: Path, tmp_path: Path, encoder, make
) -> None:
    recalled(filled, encoder)
    other = tmp_path / "other"
    counting = CountingEncoder()
    experiences = [make(i) for i in (5, 3, 90)]
    with LongTermMemory.open(other, counting, writable=True, index=index_of(filled)) as memory:
        memory.append(experiences)
        hits = memory.recall("Task 3", k=9, min_similarity=-1)
    assert {h.experience.origin.step for h in hits} == {3, 5, 90}
    assert counting.asked == [text_of(make(90)), "Task 3"]


def test_a_longer_log_of_the_same_beginning_only_adds(filled: Path, tmp_path, encoder, make):
    recalled(filled, encoder)
    before = state_of(index_of(filled))
    with LongTermMemory.open(filled, encoder) as memory:
        memory.copy_to(tmp_path / "next")
    counting = CountingEncoder()
    with LongTermMemory.open(
        tmp_path / "next", counting, writable=True, index=index_of(filled)
    ) as memory:
        memory.append([make(77)])
        memory.recall("Task 77", k=1, min_similarity=-1)
    assert counting.asked == [text_of(make(77)), "Task 77"]
    after = state_of(index_of(filled))
    assert (after.generation, after.records) == (before.generation, 13)


def test_vectors_written_before_a_crash_and_not_marked_do_no_harm(filled, encoder, make) -> None:
    expected = recalled(filled, encoder)
    state = state_of(index_of(filled))
    place = index_of(filled) / f"generation-{state.generation:06d}"
    collection = Collection.open_folder(place)
    assert collection is not None
    collection.put([b"0" * 16], encoder.encode(["a text of a record that never reached the log"]))
    collection.close()
    assert recalled(filled, encoder) == expected
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        memory.append([make(12)])
        assert [e.origin.step for e, _ in memory.recall(make(12).task, k=1, min_similarity=0)] == [
            12
        ]
    assert state_of(index_of(filled)).generation == state.generation + 1


def test_a_second_process_searches_the_same_and_embeds_nothing_anew(filled: Path, encoder) -> None:
    expected = recalled(filled, encoder)
    state = state_of(index_of(filled))
    counting = CountingEncoder()
    with LongTermMemory.open(filled, encoder) as holder:
        assert not holder.update_index().exact
        with LongTermMemory.open(filled, counting) as second:
            assert second.update_index().exact
            assert second.recall("Task 3", k=4, min_similarity=-1) == expected
    assert counting.asked == ["Task 3"]
    assert state_of(index_of(filled)) == state


def test_new_texts_are_searched_before_they_are_in_the_collection(
    folder: Path, encoder, make, monkeypatch
) -> None:
    monkeypatch.setattr(long_term, "SETTLE", 20)
    with LongTermMemory.open(folder, encoder, writable=True, settings=CHROMA) as memory:
        memory.append([make(i) for i in range(30)])
        assert memory.update_index().unsettled == 0
        for number in range(30, 55):
            memory.append([make(number)])
            (hit,) = memory.recall(make(number).task, k=1, min_similarity=0)
            assert hit.experience == make(number)
        assert memory.update_index().unsettled == 4
        assert state_of(index_of(folder)).texts == 51
        (hit,) = memory.recall(make(35).task, k=1, min_similarity=0)
        assert hit.experience == make(35)
    assert state_of(index_of(folder)).texts == 55


@pytest.mark.parametrize("settings", [CHROMA, Settings()], ids=["chroma", "auto"])
def test_a_build_that_was_cut_short_goes_on_where_it_was(
    folder: Path, encoder, make, monkeypatch, settings: Settings
) -> None:
    monkeypatch.setattr(long_term, "PORTION", 20)
    put: list[int] = []
    original_put = Collection.put

    def counted(self: Collection, text_ids: Sequence[bytes], rows: Vectors) -> None:
        if len(put) == 3:
            put.append(0)
            raise KeyboardInterrupt
        put.append(len(text_ids))
        original_put(self, text_ids, rows)

    monkeypatch.setattr(Collection, "put", counted)
    with LongTermMemory.open(folder, encoder, writable=True, settings=settings) as memory:
        memory.append([make(i) for i in range(110)])
        with pytest.raises(KeyboardInterrupt):
            memory.rebuild_index()
        assert put == [20, 20, 20, 0]
        assert state_of(index_of(folder)).texts == 60
        memory._index = None  # killed: nothing is closed
        shutil.copytree(folder, folder.with_name("copy"))
        shutil.copytree(index_of(folder), folder.with_name("copy.index"))
    put.clear()
    with LongTermMemory.open(folder.with_name("copy"), encoder, settings=settings) as memory:
        put.extend([0] * 4)  # nothing is to fail any more
        hits = [memory.recall(make(i).task, k=1, min_similarity=0)[0] for i in range(110)]
        assert put[4:] == [20, 20, 10]
        right = sum(hit.experience == make(i) for i, hit in enumerate(hits))
        # Rarely the graph ends with a text that no search reaches: it is approximate.
        assert right >= (110 if settings.machine.search == "auto" else 105)
    collection = Collection.open_folder(folder.with_name("copy.index") / generation_name(1))
    assert collection is not None
    assert len(collection) == 110
    collection.close()
    state = state_of(folder.with_name("copy.index"))
    assert (state.texts, state.records, state.generation) == (110, 110, 1)


def test_vectors_given_by_the_caller_are_used_and_kept(folder: Path, make) -> None:
    counting = CountingEncoder(8)
    rows = np.eye(8, dtype=np.float32)[:4] * 3
    experiences = [make(i) for i in range(4)]
    with LongTermMemory.open(folder, counting, writable=True) as memory:
        memory.append(experiences[:1], rows[:1])
        memory.append([experiences[0], *experiences[1:]], rows)
        shapes = [rows[:3], np.zeros((4, 9)), np.full((4, 8), np.nan), np.zeros((4, 8))]
        for wrong in shapes:
            with pytest.raises(ValueError, match="vectors"):
                memory.append([make(i) for i in range(10, 14)], wrong)
        assert len(memory) == 4
        assert counting.asked == []
        near = memory.update_index().nearest(rows[2:3] / 3, 2)
        assert near[0][0] == (2, 1.0)
    shutil.rmtree(next(index_of(folder).glob("generation-*")))
    with LongTermMemory.open(folder, counting) as memory:
        assert memory.update_index().nearest(rows[3:4] / 3, 1) == [[(3, 1.0)]]
    assert counting.asked == []


def test_exact_search_and_the_collection_agree(folder: Path, encoder, make) -> None:
    tasks = random_tasks(np.random.default_rng(3), 300)
    experiences = [make(i, task=task) for i, task in enumerate(tasks)]
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        memory.append(experiences)
        both = memory.recall_many(tasks[:20], RecallQuery(7, min_similarity=-1))
    for search in ("exact", "chroma"):
        settings = Settings().changed({"machine.search": search})
        with LongTermMemory.open(folder, encoder, settings=settings) as memory:
            assert memory.update_index().exact == (search == "exact")
            assert memory.recall_many(tasks[:20], RecallQuery(7, min_similarity=-1)) == both


def test_auto_compares_with_all_texts_until_they_are_many(folder, encoder, make, monkeypatch):
    monkeypatch.setattr(indexing, "EXACT", 40)
    asked: list[int] = []
    search = Collection.nearest

    def watched(self, queries, n):
        asked.append(n)
        return search(self, queries, n)

    monkeypatch.setattr(Collection, "nearest", watched)
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        for stop in (30, 40, 60):
            memory.append([make(i) for i in range(stop)])
            (hit,) = memory.recall(make(7).task, k=1, min_similarity=0)
            assert hit.experience == make(7)
            assert bool(asked) == (stop > 40 and memory.update_index().unsettled == 0)
        assert memory.update_index().unsettled == 30
        assert len(memory.recall("Task", k=60, min_similarity=-1)) == 60
    assert state_of(index_of(folder)).texts == 60
    with LongTermMemory.open(folder, encoder) as memory:
        # Now and then the graph has texts that no search reaches: it is approximate.
        assert len(memory.recall("Task", k=60, min_similarity=-1)) >= 54
    assert asked


def test_another_graph_is_built_anew_and_another_search_is_not(filled: Path, encoder) -> None:
    expected = recalled(filled, encoder)
    for changed, generation in (
        ({"memory.hnsw_search": 50}, 1),
        ({"memory.hnsw_neighbors": 8}, 2),
        ({"memory.hnsw_neighbors": 8, "memory.hnsw_construction": 50}, 3),
    ):
        settings = Settings().changed(changed)
        with LongTermMemory.open(filled, encoder, settings=settings) as memory:
            assert memory.recall("Task 3", k=4, min_similarity=-1) == expected
        assert state_of(index_of(filled)).generation == generation


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_damage_inside_the_collection_is_found_and_repaired(
    filled: Path, encoder, make, damage: str
) -> None:
    """Chroma itself dies of such a file, so the process that finds it is another one."""
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        memory.append([make(i) for i in range(12, 150)])  # fewer are not in its files at all
    expected = recalled(filled, encoder)
    name = {"cut": "data_level0.bin", "header": "header.bin"}[damage]
    (file,) = index_of(filled).rglob(name)
    file.write_bytes(file.read_bytes()[:40] if damage == "cut" else b"\xff" * file.stat().st_size)
    if damage == "cut":
        (index_of(filled) / OPEN).touch()  # as the process that died leaves it
    assert recalled(filled, encoder) == expected
    assert state_of(index_of(filled)).generation == 2
    assert not (index_of(filled) / OPEN).exists()


def test_an_empty_memory_recalls_nothing(folder: Path, encoder) -> None:
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        assert memory.recall("anything", k=3, min_similarity=-1) == []
