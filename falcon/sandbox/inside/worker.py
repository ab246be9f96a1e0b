"""The worker of one slot: takes programs from the trainer, heals its helpers, answers.

Trusted, single-threaded, standard library only. It dies with the trainer's slot thread and
its helpers die with it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import time
import warnings
from typing import Any

from . import frames, linux
from .childproc import Limits
from .helpers import Fault, Helper, Server
from .judge import COMPILE_SECONDS, Judge
from .known import Known

RECYCLE_AFTER = 4000
SLOWER_TRACED = 10
MOST_AHEAD = 1 << 16
_SEVERITY = (
    "sandbox_error", "syntax_error", "signal", "memory", "timeout", "output_limit",
    "premature_exit", "runtime_error", "protocol_violation", "unserialisable_result",
    "wrong_answer", "pass",
)  # fmt: skip


class Worker:
    """The helpers of a slot by name, started when first needed."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.helpers: dict[str, Helper] = {}
        self.known = Known()

    def helper(self, name: str) -> Helper | None:
        """A running helper; ``NAME:drop`` ends one instead. Raises Fault."""
        name, _, drop = name.partition(":")
        if drop:
            self._drop(name)
            return None
        if name in self.helpers and self.helpers[name].used >= RECYCLE_AFTER:
            self.helpers.pop(name).retire()
        if name not in self.helpers:
            self._start([name])
        return self.helpers[name]

    def _start(self, names: list[str]) -> None:
        """Start several at once: they confine themselves side by side."""
        started = []
        for name in names:
            if name in ("slim", "numpy"):
                most = SLOWER_TRACED * self.config["cpu_seconds"]
                preload = ["numpy"] if name == "numpy" else []
                extra = {"preload": preload, "cpu_seconds": most}
                started.append(
                    (name, Helper("zygote", {**self.config, **extra}, socket.SOCK_SEQPACKET))
                )
            else:
                room = max(512, int(self.config["memory_mib"]))
                limits = {**self.config, "memory_mib": room, "cpu_seconds": 3600}
                started.append((name, Server(name, limits)))
        for name, helper in started:
            self.helpers[name] = helper
        for _, helper in started:
            helper.await_ready()

    def _drop(self, name: str) -> None:
        helper = self.helpers.pop(name, None)
        if helper is not None:
            helper.stop()

    def reset(self) -> None:
        """End all helpers."""
        for name in list(self.helpers):
            self._drop(name)

    def warm(self) -> None:
        """Start what nearly every program needs. Raises Fault."""
        self._start(["slim", "compiler"])

    def compile_ahead(self, requests: list[dict[str, Any]]) -> list[bytes]:
        """Answers of the compiler to several programs for one wake-up; empty where it did not
        answer, and will be asked again by itself."""
        sources = [r["code"].encode("utf-8", "surrogatepass") for r in requests]
        found = [b""] * len(sources)
        # What is sent must fit into the socket: the compiler may be busy answering.
        if len(sources) == 1 or sum(map(len, sources)) > MOST_AHEAD:
            return found
        try:
            server = self.helper("compiler")
            if not isinstance(server, Server):
                return found
            server.send(*sources)
            for index in range(len(sources)):
                server.begin()
                found[index] = server.receive(COMPILE_SECONDS)
        except (Fault, OSError):  # one that takes too long is a TimeoutError, an OSError
            self._drop("compiler")
        return found

    def judge_all(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The verdicts on several programs, one after the other."""
        return [
            self.judge(r["code"], r["suite"], traced=bool(r.get("trace")), compiled=compiled)
            for r, compiled in zip(requests, self.compile_ahead(requests), strict=True)
        ]

    def judge(
        self, code: str, suite: dict[str, Any], *, traced: bool = False, compiled: bytes = b""
    ) -> dict[str, Any]:
        """The verdict on one program, our own faults tried again on fresh helpers. A traced
        one is many times slower and gets that much more time."""
        slower = SLOWER_TRACED if traced else 1
        begun = time.monotonic()
        fault = ""
        for _ in range(int(self.config["retries"]) + 1):
            limits = Limits(
                self.config["cpu_each"] * slower,
                self.config["cpu_seconds"] * slower,
                self.config["output_bytes"],
            )
            judge = Judge(
                self.helper, limits, code, traced=traced, compiled=compiled, known=self.known
            )
            try:
                cases, failure = judge.run(suite)
            except (Fault, OSError) as broken:
                fault = f"{type(broken).__name__}: {broken}"
                self.reset()
                continue
            verdict = self._verdict(cases, failure, suite)
            return verdict | {"cpu_s": judge.cpu, "wall_s": time.monotonic() - begun}
        return {
            "outcome": "sandbox_error",
            "detail": fault[:500],
            "wall_s": time.monotonic() - begun,
        }

    @staticmethod
    def _verdict(cases: list[Any], failure: Any, suite: dict[str, Any]) -> dict[str, Any]:
        if failure:
            known = suite.get("calls") or suite.get("runs") or suite.get("asserts") or [None]
            cases = [failure] * len(known)
        worst = min(cases, key=lambda case: _SEVERITY.index(case["outcome"]))
        return {"outcome": worst["outcome"], "error": worst.get("error"), "cases": cases}


def start(text: str, fd: int) -> None:
    """Serve the trainer on ``fd`` until it closes it."""
    config = json.loads(text)
    warnings.simplefilter("ignore")
    linux.die_with_parent(config["trainer"])
    worker = Worker(config)
    # Messages are trees without cycles: looking for some after every few hundred is waste.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        try:
            worker.warm()
        except Fault as fault:
            frames.write(fd, json.dumps({"fault": str(fault)}).encode())
            return
        frames.write(fd, json.dumps({"level": config["level"]}).encode())
        with contextlib.suppress(frames.Closed, ConnectionError, BrokenPipeError):
            while True:
                answers = worker.judge_all(json.loads(frames.read(fd)))
                frames.write(fd, json.dumps(answers).encode())
    finally:
        worker.reset()
        os.close(fd)
