"""Crashes and leaks of the long-term memory, on a large scale (`make test` has the small one).

Crashes: a writer that appends and recalls by the Chroma index is killed with SIGKILL at random
moments, again and again on the same memory. After each kill every acknowledged experience must
be in the log once, and at the end the index must find each text. Leaks: a memory in which many
problems state the very same task. Each is recalled as in an evaluation, and nothing of the
problem, of its statement under another name, or of a held-out split may come back. The exit code
is 1 at the first fault. Run: ``python -m perf.memory_safety [kills] [problems]``.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from falcon.config import Settings
from falcon.memory import Experience, HashEncoder, LongTermMemory, RecallQuery, text_of
from falcon.problems.problem import HELD_OUT, Split
from perf.memory import experience

KILLS, PROBLEMS = 50, 20_000
BATCH = 5
SETTINGS = Settings().changed({"machine.search": "chroma"})


def write(folder: str, start: str) -> None:
    """Append without end; print after each batch the last number that is on disk."""
    with LongTermMemory.open(
        Path(folder), HashEncoder(), writable=True, settings=SETTINGS, segment_bytes=50_000
    ) as memory:
        memory.recall("anything", k=1, min_similarity=-1)
        print("open", flush=True)
        for first in range(int(start), sys.maxsize, BATCH):
            memory.append([experience(first + i) for i in range(BATCH)])
            print(first + BATCH - 1, flush=True)
            memory.recall(experience(first).task, k=1, min_similarity=-1)


def killed(folder: Path, start: int, seconds: float) -> int:
    """The last number that a writer acknowledged before it was killed."""
    command = [sys.executable, "-m", __spec__.name, "write", str(folder), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        if writer.stdout.readline() != "open\n":
            raise SystemExit("a memory could not be opened after a kill")
        time.sleep(seconds)
        writer.kill()
        lines = writer.stdout.read().split("\n")[:-1]
    return int(lines[-1]) if lines else start - 1


def crashes(kills: int) -> None:
    """Kill writers, and check the memory after each."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="falcon-memory-") as place:
        folder, safe = Path(place) / "memory", -1
        for number in range(1, kills + 1):
            start = max(0, safe + 1 - BATCH)  # the last batch is appended again: it must not double
            safe = max(safe, killed(folder, start, draw.uniform(0.0, 1.0)))
            with LongTermMemory.open(folder, HashEncoder()) as memory:
                steps = [e.origin.step for e in memory]
            if steps != list(range(len(steps))) or len(steps) <= safe:
                raise SystemExit(f"kill {number}: {safe + 1} acknowledged, {len(steps)} there")
        with LongTermMemory.open(folder, HashEncoder(), settings=SETTINGS) as memory:
            index = memory.update_index()
            texts = [text_of(e) for e in memory]
            hits = memory.recall_many(texts, RecallQuery(1, min_similarity=0.99))
            lost = sum(
                1
                for t, row in zip(texts, hits, strict=True)
                if not row or text_of(row[0].experience) != t
            )
            if index.unsettled or len(index) != len(set(texts)) or lost:
                raise SystemExit(f"the index does not agree: {len(index)} texts, {lost} not found")
    print(f"{kills} kills: {safe + 1} acknowledged, {len(steps)} there, each once, each found")


def variant(number: int, tasks: int) -> Experience:
    """An experience of a problem of its own; other problems have its task in other letters and
    spaces."""
    task = experience(number % tasks).task
    made = experience(number)
    return made.model_copy(update={"task": task.upper().replace(" ", "  ") if number % 2 else task})


def leaks(problems: int) -> None:
    """Recall for many tasks as an evaluation does."""
    tasks, count = max(1, problems // 4), min(500, problems)
    with (
        tempfile.TemporaryDirectory(prefix="falcon-memory-") as place,
        LongTermMemory.open(Path(place) / "memory", HashEncoder(384), writable=True) as memory,
    ):
        for start in range(0, problems, 1000):
            memory.append([variant(i, tasks) for i in range(start, min(start + 1000, problems))])
        for split in HELD_OUT:
            try:
                memory.append([variant(problems, tasks).model_copy(update={"split": Split(split)})])
            except ValueError:
                continue
            raise SystemExit(f"an experience of the split {split} was taken")
        for number in range(0, problems, max(1, problems // count)):
            e = variant(number, tasks)
            how = {"exclude": {e.problem_id}, "unseen": True}
            for hit in memory.recall(e.task, k=10, min_similarity=-1, **how):
                got = hit.experience
                same = got.task.casefold().split() == e.task.casefold().split()
                if same or got.problem_id == e.problem_id or got.split in HELD_OUT:
                    raise SystemExit(f"{e.problem_id} was shown {got.problem_id}")
    print(f"{count} evaluations over {problems} problems: nothing of the task itself came back")


def main(arguments: list[str]) -> None:
    """Both checks, or the writer that is killed."""
    if arguments[:1] == ["write"]:
        write(*arguments[1:])
        return
    numbers = [int(a) for a in arguments]
    crashes(numbers[0] if numbers else KILLS)
    leaks(numbers[1] if len(numbers) > 1 else PROBLEMS)


if __name__ == "__main__":
    main(sys.argv[1:])
