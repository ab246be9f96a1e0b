"""A writer killed at random moments loses nothing that it acknowledged."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from falcon.memory import HashEncoder, LongTermMemory, text_of

ROUNDS = 3

WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from made_experience import make_experience as make
from falcon.memory import HashEncoder, LongTermMemory
folder, start = Path(sys.argv[1]), int(sys.argv[2])
with LongTermMemory.open(folder, HashEncoder(), writable=True, segment_bytes=20_000) as memory:
    memory.recall("Task", k=1, min_similarity=-1)  # the search library is loaded from here on
    print("open", flush=True)
    for batch in range(start, start + 100_000, 3):
        memory.append([make(i) for i in range(batch, batch + 3)])
        print(batch + 2, flush=True)
        if batch % 5 == 0:
            memory.recall(make(batch).task, k=1, min_similarity=-1)
"""


def run_and_kill(folder: Path, start: int, after: float) -> int:
    """Greatest number that a writer, killed ``after`` seconds of writing, acknowledged."""
    code = WRITER.format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(start)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(after)
        writer.kill()
        output = writer.stdout.read()
    numbers = [line for line in output.split("\n")[:-1] if line]
    return int(numbers[-1]) if numbers else start - 1


def test_killed_writers_lose_nothing_and_repeat_nothing(folder: Path) -> None:
    draw = random.Random(20)
    acknowledged: set[int] = set()
    start = 0
    for _ in range(ROUNDS):
        last = run_and_kill(folder, start, draw.uniform(0.0, 0.4))
        acknowledged |= set(range(start, last + 1))
        with LongTermMemory.open(folder, HashEncoder()) as memory:
            steps = [e.origin.step for e in memory]
        assert len(steps) == len(set(steps))
        assert acknowledged <= set(steps)
        assert steps == list(range(len(steps)))
        start = max(0, last - 4)  # the next one also writes some of the same again
    assert len(acknowledged) > 100
    encoder = HashEncoder()
    with LongTermMemory.open(folder, encoder, writable=True) as memory:
        texts = {text_of(e) for e in memory}
        for experience in list(memory)[:: max(1, len(memory) // 20)]:
            hits = memory.recall(text_of(experience), k=1, min_similarity=0.99)
            assert [text_of(h.experience) for h in hits] == [text_of(experience)]
        index = memory.update_index()
        assert (len(index), index.unsettled, index.exact) == (len(texts), 0, False)
