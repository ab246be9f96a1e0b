"""A registered version in a fresh clone: its data, code, settings, memory and score again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ops.clone import Clone
from tests.ops.conftest import _copy
from tests.ops.servers import mlflow_server

pytestmark = pytest.mark.nightly  # CI has tests/pipeline/test_reproduce.py


@dataclass(frozen=True)
class Fresh:
    """A new clone of ``origin``, which made version 1, and the tracker over HTTP."""

    clone: Clone
    origin: Clone
    store: Path


@pytest.fixture(scope="module")
def elsewhere(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    folder = tmp_path_factory.mktemp("fresh")
    for origin in _copy(finished, folder):
        origin.falcon("registry").ok()  # its database follows the move; else the server would not
        with mlflow_server(origin.space.state) as server:
            origin.sh("git", "clone", "-q", origin.root, folder / "new").ok()
            environment = {"MLFLOW_TRACKING_URI": server.url}
            clone = Clone(folder / "new", folder / "new.logs", environment, server.url)
            yield Fresh(clone, origin, folder / "store")
            clone.stop()


def test_what_is_missing_is_named_first(elsewhere: Fresh) -> None:
    elsewhere.clone.falcon("reproduce", "7").refused("no version 7")
    elsewhere.clone.falcon("reproduce", "1").refused("data", "in no cache or remote of DVC")
    (elsewhere.clone.root / "full").mkdir()
    (elsewhere.clone.root / "full" / "file").touch()
    elsewhere.clone.falcon("reproduce", "1", "--into", "full").refused("is not empty")


def test_the_score_is_the_same_to_the_last_digit(elsewhere: Fresh) -> None:
    words = ("remote", "add", "-d", "-f", "--local", "elsewhere", str(elsewhere.store))
    for clone in (elsewhere.origin, elsewhere.clone):
        clone.dvc(*words).ok()
    elsewhere.origin.dvc("push", "data.dvc").ok()
    done = elsewhere.clone.falcon("reproduce", "1", "--json").ok()
    made = json.loads(done.out)
    assert made["equal"] is True
    scores = json.loads((elsewhere.origin.space.output("benchmark") / "scores.json").read_text())
    assert made["scores"] == scores["policies"]["trained"]["suites"]
    place = elsewhere.clone.space.state / "reproduce" / "1"
    assert made["folder"] == str(place)
    assert (place / "data" / "problems.jsonl").is_file()
    assert elsewhere.clone.sh("git", "status", "--porcelain", "-uno").ok().out == ""
    # Another score is a difference with a name, not a fault.
    uri = elsewhere.clone.client().get_model_version("falcon-codegen", "1").source
    (record,) = elsewhere.origin.space.state.glob(f"mlartifacts/**/{uri.rsplit('/')[-1]}/**/record")
    file = record / "scores.json"
    tree = json.loads(file.read_text())
    tree["policies"]["trained"]["suites"]["builtin"]["problems"] += 1
    file.write_text(json.dumps(tree))
    done = elsewhere.clone.falcon("reproduce", "1", COLUMNS="200")
    assert done.code == 1
    assert "builtin/problems" in done.out
