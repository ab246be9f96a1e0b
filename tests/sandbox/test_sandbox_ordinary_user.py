"""The conformance table as an ordinary user: the same protection without root's help.

As root only, since otherwise the table itself has run as an ordinary user.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# A Python under a closed home is shown to the user by a mount of this test's own.
AS_USER = """
set -e
home=$1 prefix=$2 user=$3; shift 3
case $prefix in "$home"/*)
    mkdir -p "$TMPDIR/prefix"
    mount --bind "$prefix" "$TMPDIR/prefix"
    mount -t tmpfs -o mode=755 none "$home"
    mkdir -p "$prefix"
    mount --bind "$TMPDIR/prefix" "$prefix";;
esac
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""
USER = "65534"


@pytest.mark.skipif(os.getuid() != 0, reason="the table itself runs as an ordinary user")
def test_the_table_holds_for_an_ordinary_user(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    prefix = str(Path(sys.base_prefix).resolve())
    started = ["unshare", "-m", "sh", "-c", AS_USER, "sh", "/root", prefix, USER]
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    variables["PYTHONDONTWRITEBYTECODE"] = "1"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*started, sys.executable, *words],
            env=variables,
            cwd=HERE,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    tried = run("-c", "import os, falcon.sandbox, cases; print(os.getuid())")
    if tried.stdout.strip() != USER:
        pytest.skip(f"no ordinary user can run this Python: {tried.stderr.strip()[-200:]}")
    words = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = run(*words, "test_sandbox_conformance.py")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
