"""Real servers of OpenAI's interface on loopback, ended after the test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def transformers_server(home: Path) -> Iterator[str]:
    """``transformers serve``: any model by its folder."""
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--device", "cpu"]
    with _running(command, home, {"HF_HOME": str(home / "hub"), "HF_HUB_OFFLINE": "1"}) as url:
        yield url


@contextmanager
def vllm_server(python: str, model: Path, home: Path) -> Iterator[str]:
    """vLLM with the interpreter of its environment; the model has two names, ``tiny`` is one."""
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "tiny", str(model), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "1024", "--max-num-seqs", "8"]
    command += ["--enable-lora", "--max-lora-rank", "8", "--max-loras", "4"]
    own = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with _running(command, home, own) as url:
        yield url


@contextmanager
def _running(command: Sequence[str], home: Path, own: dict[str, str]) -> Iterator[str]:
    home.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), home / "server.log"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1", **own}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + WAIT_S
        while not _healthy(port):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
