"""Reproduction: score a version again, by the code of the clone this runs in.

``falcon reproduce`` lays out the folder and starts this in it, at the commit of the version:
``python -m tasks.support.reproduction FOLDER``. It reads ``FOLDER/settings.yaml``, ``adapter``,
``memory`` (where there is one) and ``trained_on.json``, and writes ``FOLDER/scores/``.
"""

import sys
from pathlib import Path

from falcon.env import apply
from falcon.errors import UserError


def score(folder: Path) -> None:
    """Score the adapter as the benchmark stage scores the policy ``trained``."""
    from falcon.config import load_frozen
    from falcon.evaluation import BenchmarkFolders, run_benchmark
    from falcon.memory import LongTermMemory, make_encoder
    from falcon.monitor import ConsoleMonitor
    from falcon.problems.trained_on import TrainedOn
    from tasks.support.files import read_json
    from tasks.support.memory import has_memory
    from tasks.support.workspace import Workspace

    space, settings = Workspace.here(), load_frozen(folder / "settings.yaml")
    memory = None
    if has_memory(folder / "memory"):
        encoder = make_encoder(settings.memory.encoder)
        index = folder / "index"
        memory = LongTermMemory.open(folder / "memory", encoder, index=index, settings=settings)
    try:
        run_benchmark(
            settings,
            folders=BenchmarkFolders(space.data, folder / "scores", folder / "work"),
            memory=memory,
            policies={"trained": folder / "adapter"},
            monitor=ConsoleMonitor(),
            trained_on=TrainedOn.from_json(read_json(folder / "trained_on.json")),
        )
    finally:
        if memory is not None:
            memory.close()


def main(arguments: list[str]) -> int:
    """Run and give an exit code; a user's mistake is one line on standard error."""
    apply()
    try:
        score(Path(arguments[0]))
    except UserError as fault:
        sys.stderr.write(f"falcon: {fault}\n")
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
