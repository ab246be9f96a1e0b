"""Provenance: the commit and the code of a clone, the start of a stage, and the settings judged."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from trained_results import decide, lay_out, scores

from falcon.errors import UserError
from tasks.support.code_state import code_state
from tasks.support.provenance import (
    provenance,
    read_marker,
    require_unchanged,
    write_marker,
    write_start,
)
from tasks.support.registry import Registry
from tasks.support.version_tags import version_tags
from tasks.support.workspace import Workspace


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.email=a@example.org", "-c", "user.name=A")
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A commit with a code file and a page."""
    root = tmp_path / "clone"
    (root / "falcon").mkdir(parents=True)
    (root / "falcon" / "a.py").write_text("A = 1\n")
    (root / "page.md").write_text("x\n")
    git(tmp_path, "init", "-q", "clone")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    return root


def test_the_patch_makes_the_code_of_that_moment_of_the_commit(clone: Path, tmp_path: Path) -> None:
    clean = code_state(clone)
    assert len(clean.commit) == 40
    (clone / "page.md").write_text("y\n")
    assert code_state(clone) == clean  # a page is no code
    (clone / "falcon" / "a.py").write_text("A = 2\n")
    (clone / "falcon" / "b.py").write_text("B = 1\n")
    (clone / "falcon" / "data.bin").write_bytes(bytes(range(256)))
    state = code_state(clone)
    assert state.commit == f"{clean.commit}-dirty"
    state.save(tmp_path / "patches")
    git(tmp_path, "clone", "-q", str(clone), "other")
    git(tmp_path / "other", "apply", str(tmp_path / "patches" / state.digest / "code.patch"))
    for name in ("a.py", "b.py", "data.bin"):
        made = tmp_path / "other" / "falcon" / name
        assert made.read_bytes() == (clone / "falcon" / name).read_bytes()
    assert code_state(tmp_path / "other").digest == state.digest


def test_where_there_is_no_commit_the_reason_is_on_record(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "new")
    assert code_state(tmp_path / "new").commit == "none (no commit yet)"
    bare = tmp_path / "bare"
    bare.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert code_state(bare).commit == "none (no git repository)"
    monkeypatch.setenv("PATH", str(bare))
    assert code_state(clone).commit == "none (git is not installed)"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_clone_of_another_owner_has_its_commit(clone: Path) -> None:
    subprocess.run(["chown", "-R", "12345:12345", str(clone)], check=True)
    plain = subprocess.run(["git", "-C", str(clone), "status"], capture_output=True, check=False)
    assert b"dubious ownership" in plain.stderr
    assert len(code_state(clone).commit) == 40


def test_a_marker_holds_what_was_there_when_the_stage_started(space: Workspace) -> None:
    settings = space.settings()
    before = provenance(space.root, settings)
    write_start(space, "seed", "run-1", before)
    code = space.root / "falcon" / "new.py"
    code.write_text("X = 1\n")
    for name in ("metrics.json", "checks.json"):
        (space.output("seed")).mkdir(parents=True, exist_ok=True)
        (space.output("seed") / name).write_text("{}")
    write_marker(space, "seed", "run-1", {"stage": 1.0}, {"memory.digest": "d"})
    marker = read_marker(space, "seed")
    assert marker["provenance"] == before
    assert marker["digests"] == {"memory.digest": "d"}
    # Resumed with other code: the first commit, and that it was.
    now = provenance(space.root, settings)
    assert now["git.patch"]
    write_start(space, "seed", "run-1", now)
    write_marker(space, "seed", "run-1", {"stage": 1.0}, {})
    kept = read_marker(space, "seed")["provenance"]
    assert kept == {**before, "git.resumed": now["git.commit"]}


@pytest.mark.flow
def test_a_version_says_what_it_was_made_of_and_not_what_is_there_now(space: Workspace) -> None:
    lay_out(space, 1, scores())
    decide(space)
    made = version_tags(space)
    version = Registry.here().register()
    (space.root / "falcon" / "new.py").write_text("X = 1\n")
    git(space.root, "commit", "-qam", "page", "--allow-empty")
    assert version_tags(space)["git.commit"] == made["git.commit"]
    registry = Registry.here()
    assert registry.register().number == version.number
    after = registry.versions()[version.number].tags
    assert {name: after[name] for name in version.tags} == version.tags


@pytest.mark.flow
def test_results_of_several_settings_are_refused(space: Workspace) -> None:
    """An edit between two stages: the gate says which stage was made with others."""
    lay_out(space, 1, scores())
    lock = yaml.safe_load((space.root / "dvc.lock").read_text())
    lock["stages"]["train"]["params"] = {"outputs/settings.yaml": {"train.steps": 7, "seed": 0}}
    (space.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    decision = decide(space)
    assert decision["decision"] == "refused"
    (against,) = [r for r in decision["reasons"] if not r["passed"]]
    assert against["name"] == "settings of train"
    assert "train.steps" in against["said"]
    # And a decision does not hold for other settings than those it was made with.
    space.frozen.write_text(space.frozen.read_text().replace("seed: 0", "seed: 5"))
    with pytest.raises(UserError, match="other settings"):
        require_unchanged(space, decision)
