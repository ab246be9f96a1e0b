"""A little of everything FALCON does, in one process, as a user without a network would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from falcon import env


def main(root: Path) -> None:
    os.chdir(root)
    assert env.apply() == root.resolve()
    assert {name: os.environ[name] for name in env.defaults(root)} == env.defaults(root)
    done = {
        "settings": settings(root),
        "tokenizer": tokenizer(),
        "sandbox": sandbox(),
        "memory": memory(root),
        "mlflow": mlflow(root),
        "checks": checks(root),
        "prefect": prefect(),
        "dvc": dvc(root),
        "telemetry": telemetry(),
        "routes": routes(),
    }
    print(json.dumps(done))


def settings(root: Path) -> int:
    from falcon.config import settings_at

    return settings_at(root).memory.top_k


def tokenizer() -> list[str]:
    # The vocabulary of the embedded model alone: its weights are 135 million numbers.
    from transformers import AutoTokenizer

    from falcon.policy.backbone import EMBEDDED, locate

    folder, file = locate(EMBEDDED)
    return AutoTokenizer.from_pretrained(folder, gguf_file=file).tokenize("def add")


def sandbox() -> str:
    from falcon.config import Settings
    from falcon.sandbox import Program, Sandbox
    from falcon.suite import Call, CallSuite

    suite = CallSuite(entry_point="add", calls=(Call(args=(1, 2), expected=3),))
    with Sandbox(Settings().changed({"machine.workers": 1, "machine.cache": False})) as running:
        return running.judge(Program("def add(a, b):\n    return a + b", suite)).outcome.value


def memory(root: Path) -> list[str]:
    from command_memory import experience

    from falcon.memory import LongTermMemory, make_encoder

    encoder = make_encoder("all-minilm-l6-v2")
    with LongTermMemory.open(root / "memory", encoder, writable=True) as log:
        log.append([experience(1, "Sort words."), experience(2, "Greatest common divisor.")])
        hits = log.recall("largest number dividing both", k=1, min_similarity=-1)
        return [hit.experience.problem_id for hit in hits]


def mlflow(root: Path) -> float:
    from falcon.config import Settings
    from tasks.support.tracking import Tracker
    from tasks.support.workspace import Workspace

    tracker = Tracker(Settings(), Workspace(root))
    run = tracker.create_run("offline", {"a": "b"})
    run.metrics({"x": 0.5}, step=0)
    run.end("FINISHED")
    return tracker.client.get_run(run.id).data.metrics["x"]


def checks(root: Path) -> bool:
    import great_expectations as gx
    import pandas as pd

    from tasks.support.checks import validate

    suite = [gx.expectations.ExpectColumnValuesToNotBeNull(column="a")]
    table = pd.DataFrame({"a": [1, 2]})
    return validate("offline", {"t": table}, {"t": suite}, docs=root / "docs").passed


def prefect() -> int:
    from prefect import task

    return int(task(lambda: 4).fn())


def dvc(root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def telemetry() -> dict[str, bool]:
    """Whether each library, as it reads the environment itself, would report usage or ask the hub."""
    import chromadb.config
    import huggingface_hub.constants
    from dvc.analytics import is_enabled
    from mlflow.telemetry.utils import is_telemetry_disabled
    from prefect._internal.analytics.enabled import is_telemetry_enabled
    from prefect.settings import get_current_settings

    return {
        "chromadb": chromadb.config.Settings().anonymized_telemetry,
        "dvc": is_enabled(),
        "huggingface_hub": not huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY,
        "hub": not huggingface_hub.constants.HF_HUB_OFFLINE,
        "mlflow": not is_telemetry_disabled(),
        "prefect": is_telemetry_enabled(),
        "prefect server": get_current_settings().server.analytics_enabled,
    }


def routes() -> int | None:
    """Packets this network namespace had no way out for, native code's too; None if it is the host's."""
    if os.environ.get("OFFLINE_NAMESPACE") != "1":
        return None
    head, row = (
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line[:3] == "Ip:"
    )
    lost = int(row[head.index("OutNoRoutes")])
    six = Path("/proc/net/snmp6")
    if six.exists():
        counts = dict(line.split() for line in six.read_text().splitlines())
        lost += int(counts.get("Ip6OutNoRoutes", 0))
    return lost


if __name__ == "__main__":
    main(Path(sys.argv[1]))
