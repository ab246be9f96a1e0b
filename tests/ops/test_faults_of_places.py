"""Clones that are moved, copied, somebody else's or locked, and hosts that are unlike ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.ops.clone import Clone, copy_clone
from tests.processes import free_port

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
OTHER = 54321
"""A user id that nobody has."""


def listing(root: Path) -> dict[str, int]:
    """Time of change of every file but git's."""
    return {
        str(p.relative_to(root)): p.stat().st_mtime_ns
        for p in root.rglob("*")
        if p.is_file() and ".git/" not in str(p)
    }


@pytest.mark.nightly
@pytest.mark.row(
    "run", "after the clone was moved", "another path",
    "all is up to date; the model in service answers; new files go to the new path alone",
)  # fmt: skip
def test_a_clone_that_was_moved(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    old = clone.root
    clone.root = old.with_name("moved")
    old.rename(clone.root)
    assert clone.falcon("run", PREFECT_API_URL=prefect_url).ok().how("gate") == "unchanged"
    clone.falcon("generate", "Return the sum of two numbers.", "--no-memory").ok()
    clone.forget("gate")
    clone.falcon("stage", "gate").ok()
    assert not old.exists()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "after the clone was copied", "work in the copy",
    "no file of the first clone changes",
)  # fmt: skip
def test_a_clone_that_was_copied(clone: Clone, prefect_url: str, tmp_path: Path) -> None:
    before = clone.facts()
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(clone.root), str(copied)], check=True)
    original = listing(clone.root)
    copy = Clone(copied, tmp_path / "logs2")
    copy.forget("gate")
    copy.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert listing(clone.root) == original
    copy.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "anywhere", "a path with blanks, umlauts and signs", "runs, resumes and serves as usual"
)
def test_a_path_with_blanks_and_umlauts(finished: Path, tmp_path: Path) -> None:
    clone = Clone(copy_clone(finished, tmp_path / "ä b #1 ü'x"), tmp_path / "logs")
    before = clone.facts()
    clone.forget("gate")
    clone.falcon("run").ok()
    clone.falcon("generate", "Return the sum of two numbers.", "--no-memory").ok()
    clone.whole(before)
    clone.stop()


@pytest.mark.nightly
@pytest.mark.row(
    "run", "anywhere", "HTTP_PROXY and HTTPS_PROXY name a proxy that is away",
    "loopback needs no proxy: the run ends as usual",
)  # fmt: skip
def test_a_proxy_is_not_asked_for_loopback(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    dead = f"http://127.0.0.1:{free_port()}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), dead)
    clone.falcon("run", **proxies).ok()
    clone.whole(before)


@pytest.mark.row(
    "run", "anywhere", "a user id without an entry in passwd, HOME that is not there",
    "the run ends as usual; the commit is on record",
)  # fmt: skip
def test_a_user_id_that_nobody_has(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    prefix = ["unshare", "--user", f"--map-user={OTHER}", f"--map-group={OTHER}"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces for this user")
    clone.falcon("run", prefix=prefix, HOME="/nonexistent", USER="-", LOGNAME="-").ok()
    clone.whole(before)


@pytest.mark.row(
    "run", "anywhere", "the clone belongs to another user id",
    "the run ends as usual; the commit is on record, not empty",
)  # fmt: skip
@ROOT_ONLY
def test_a_clone_of_another_owner(clone: Clone) -> None:
    subprocess.run(["chown", "-R", f"{OTHER}:{OTHER}", str(clone.root)], check=True)
    clone.forget("gate")
    known = set(clone.runs())
    clone.falcon("stage", "gate").ok()
    (run,) = set(clone.runs()) - known
    commit = clone.client().get_run(run).data.tags["git.commit"]
    assert len(commit.removesuffix("-dirty")) == 40


@pytest.mark.row("run", "at its start", "the clone is read-only", "one line; nothing is changed")
@ROOT_ONLY
def test_a_clone_that_is_read_only(clone: Clone) -> None:
    before = clone.facts()
    where = str(clone.root)
    subprocess.run(["mount", "--bind", where, where], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", where], check=True)
    try:
        for words in (("run",), ("stage", "gate"), ("promote",)):
            clone.falcon(*words).refused()
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "anywhere", "the clock went back a year: files are of the future",
    "times decide nothing: all is up to date, and a stage runs as usual",
)  # fmt: skip
def test_a_clock_that_was_changed(clone: Clone, prefect_url: str) -> None:
    seconds = 400 * 86400
    before = clone.facts()
    for file in clone.root.rglob("*"):
        if file.is_file() and ".git/" not in str(file):
            stat = file.stat()
            os.utime(file, (stat.st_atime + seconds, stat.st_mtime + seconds))
    assert clone.falcon("run", PREFECT_API_URL=prefect_url).ok().how("gate") == "unchanged"
    clone.forget("gate")
    clone.falcon("stage", "gate").ok()
    clone.whole(before)
