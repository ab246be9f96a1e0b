"""A real server on loopback with OpenAI's interface; tests can make it fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""Status, headers and body (an object is sent as JSON, text as it is)."""


def answer(text: str | None) -> Reply:
    """A complete, well-formed answer."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    return 200, {}, body


def continuation(text: str, finish: str = "stop", **more: Any) -> Reply:
    """A complete answer of ``/v1/completions`` with one choice."""
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None, **more}
    return 200, {}, {"choices": [choice], "usage": {"completion_tokens": len(text)}}


@dataclass
class ChatServer:
    """``say`` gives the reply to request number n (from 0) with its JSON body.

    ``owner`` is who owns its model, as ``/v1/models`` names the kind of a server.
    """

    say: Callable[[int, dict[str, Any]], Reply]
    url: str = ""
    owner: str = ""
    paths: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@contextmanager
def chat_server(
    say: Callable[[int, dict[str, Any]], Reply], owner: str = ""
) -> Iterator[ChatServer]:
    """Serve until the block ends."""
    state = ChatServer(say, owner=owner)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(state.requests)
                state.requests.append(body)
                state.paths.append(self.path)
                state.keys.append(self.headers.get("Authorization", ""))
                state.times.append(time.monotonic())
            status, headers, reply = state.say(number, body)
            data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(data)

        def do_GET(self) -> None:
            models = self.path == "/v1/models"
            data = json.dumps({"data": [{"id": "m", "owned_by": state.owner}]}).encode()
            self.send_response(200 if models else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
