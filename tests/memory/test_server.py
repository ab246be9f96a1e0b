"""A Chroma server in place of the folder: several machines, one setting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon.config import MachineSettings, Settings
from falcon.errors import UserError
from falcon.memory import HashEncoder, LongTermMemory


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = tmp_path_factory.mktemp("server")
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/api/v2/heartbeat", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


class Counting(HashEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def encode(self, texts):
        self.asked += len(texts)
        return super().encode(texts)


def open_at(folder: Path, url: str, encoder=None, **how):
    settings = Settings().changed({"machine.server": url, "machine.search": "chroma"})
    return LongTermMemory.open(folder, encoder or HashEncoder(), settings=settings, **how)


def test_a_copy_elsewhere_searches_what_the_first_put_there(server, filled, tmp_path, make) -> None:
    exact = Settings().changed({"machine.search": "exact"})
    with LongTermMemory.open(filled, HashEncoder(), settings=exact) as memory:
        expected = memory.recall("Task 3", k=4, min_similarity=-1)
        memory.copy_to(tmp_path / "elsewhere" / "memory")
    with open_at(filled, server) as first:
        assert first.recall("Task 3", k=4, min_similarity=-1) == expected
        index = first.update_index()
        assert (index.exact, index.unsettled, len(index)) == (False, 0, 12)
        with open_at(tmp_path / "elsewhere" / "memory", server, writable=True) as second:
            assert second.recall("Task 3", k=4, min_similarity=-1) == expected
            second.append([make(i) for i in range(50, 60)])
            (hit,) = second.recall(make(55).task, k=1, min_similarity=-1)
            assert hit.experience == make(55)
        # What the other one added since is nearer, and not of this log.
        assert first.recall(make(55).task, k=12, min_similarity=-1)[0].experience != make(55)
        assert len(first.recall(make(55).task, k=12, min_similarity=-1)) == 12
    with open_at(filled, server) as again:
        assert again.recall("Task 3", k=4, min_similarity=-1) == expected
    assert not list(tmp_path.rglob("generation-*"))


def test_another_log_and_another_encoder_get_other_collections(server, tmp_path, make) -> None:
    for name, numbers, encoder in (
        ("a", range(5), HashEncoder()),
        ("b", range(3, 9), HashEncoder()),
        ("c", range(5), HashEncoder(32)),
    ):
        with open_at(tmp_path / name, server, encoder, writable=True) as memory:
            memory.append([make(i) for i in numbers])
            hits = memory.recall("Task 4", k=20, min_similarity=-1)
            assert {h.experience.origin.step for h in hits} == set(numbers)


def test_a_server_that_lost_everything_is_filled_again(server, filled) -> None:
    import chromadb

    with open_at(filled, server) as memory:
        expected = memory.recall("Task 7", k=3, min_similarity=-1)
    place = server.removeprefix("http://").split(":")
    client = chromadb.HttpClient(host=place[0], port=int(place[1]))
    for collection in client.list_collections():
        note = collection.metadata
        client.delete_collection(collection.name)
        client.create_collection(collection.name, metadata=note, embedding_function=None)
    counting = Counting()
    with open_at(filled, server, counting) as memory:
        assert memory.recall("Task 7", k=3, min_similarity=-1) == expected
    assert counting.asked == 1


def test_an_absent_server_is_named(filled) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with open_at(filled, url) as memory, pytest.raises(UserError, match=f"machine.server.*{url}"):
        memory.recall("Task 7", k=3, min_similarity=-1)
    with pytest.raises(ValueError, match="address like"):
        MachineSettings(server="localhost:8000")
