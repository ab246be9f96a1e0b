"""Adapters on a vLLM server, by its endpoint: put there, written with, and taken away.

The server reads an adapter's folder itself. So the folder must have the same path on its machine:
a server elsewhere needs a shared folder for temporary files (``TMPDIR``).
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.generation.connection import Connection, Unanswered

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy


@contextmanager
def on_server(server: Connection, folders: Sequence[Path]) -> Iterator[list[str]]:
    """The names under which the server has the adapters, inside the block.

    Raises UserError where the server takes none.
    """
    names: list[str] = []
    try:
        for folder in folders:
            name = f"falcon-{uuid.uuid4().hex[:12]}"  # another run may use the same server
            body = {"lora_name": name, "lora_path": str(folder.resolve())}
            try:
                server.post("/v1/load_lora_adapter", body)
            except (UserError, Unanswered) as fault:
                raise UserError(
                    f"{server.shown}: the server does not take the adapter {folder} ({fault}).",
                    hint="It must be vLLM with --enable-lora, a --max-lora-rank that is not less, "
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and see the folder.",
                ) from None
            names.append(name)
        yield names
    finally:
        for name in names:
            with suppress(UserError, Unanswered):  # what went wrong before is what counts
                server.post("/v1/unload_lora_adapter", {"lora_name": name})


@contextmanager
def written(policy: Policy, adapters: Sequence[Pairs]) -> Iterator[list[Path]]:
    """Folders of adapters in PEFT's format, inside the block."""
    from falcon.policy.adapter import save_pairs

    with tempfile.TemporaryDirectory(prefix="falcon-adapters-") as root:
        Path(root).chmod(0o755)  # the server may be another user
        folders = [Path(root) / str(number) for number in range(len(adapters))]
        for folder, pairs in zip(folders, adapters, strict=True):
            save_pairs(pairs, policy.bank, policy.backbone, folder, policy.backbone.name)
        yield folders
