"""kill -9 at fifty random moments of writing: nothing acknowledged is lost or stored twice.

The writers are forked from one warm process, so that a round takes a fraction of a second; they
write log and embeddings and search exactly. Kills of a process that has Chroma open are
``test_crash.py``'s.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from falcon.memory import HashEncoder, LongTermMemory, text_of

ROUNDS = 50
CHECK_INDEX = 10
"""Every so many rounds the index is brought up to date and compared, too."""

DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
from made_experience import make_experience as make
from falcon.config import Settings
from falcon.memory import HashEncoder, LongTermMemory

folder, encoder = Path(sys.argv[1]), HashEncoder()
exact = Settings().changed({{"machine.search": "exact"}})
draw = random.Random(4)

def write(start, out):
    memory = LongTermMemory.open(
        folder, encoder, writable=True, segment_bytes=8_000, settings=exact
    )
    for first in range(start, start + 100_000, 3):
        memory.append([make(i) for i in range(first, first + 3)])
        os.write(out, b"%d\\n" % (first + 2))
        if first % 2:
            memory.recall(make(first).task, k=1, min_similarity=-1)  # writes embeddings

start = 0
for line in sys.stdin:
    coming, out = os.pipe()
    writer = os.fork()
    if not writer:
        write(start, out)
    os.close(out)
    output = os.read(coming, 100)  # waits for the first acknowledged batch
    time.sleep(draw.uniform(0.0, 0.08))
    os.kill(writer, signal.SIGKILL)
    while part := os.read(coming, 65536):
        output += part
    os.close(coming)
    os.waitpid(writer, 0)
    last = int(output.split(b"\\n")[-2])
    print(last, flush=True)
    start = last - 1  # the next one also writes two of the same again
"""


def test_fifty_killed_writers_lose_nothing_and_repeat_nothing(folder: Path) -> None:
    code = DRIVER.format(tests=str(Path(__file__).parent))
    acknowledged = -1
    encoder = HashEncoder()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        for number in range(1, ROUNDS + 1):
            print("go", file=driver.stdin, flush=True)
            acknowledged = max(acknowledged, json.loads(driver.stdout.readline()))
            with LongTermMemory.open(folder, encoder) as memory:
                steps = [e.origin.step for e in memory]
                assert steps == list(range(len(steps)))  # in order, none missing, none twice
                assert len(steps) > acknowledged
                if number % CHECK_INDEX == 0:
                    index = memory.update_index()
                    texts = {text_of(e) for e in memory}
                    assert (len(index), index.unsettled) == (len(texts), 0)
                    for experience in list(memory)[:: max(1, len(memory) // 5)]:
                        (hit,) = memory.recall(text_of(experience), k=1, min_similarity=0.99)
                        assert text_of(hit.experience) == text_of(experience)
        driver.stdin.close()
    assert acknowledged >= 2 * ROUNDS  # two new ones a round, however slow the machine is
