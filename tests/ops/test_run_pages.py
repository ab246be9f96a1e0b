"""Pages of a finished run in a real browser without a network: nothing fetched, nothing in error."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.support.workspace import STAGES
from tests.ops.clone import Clone

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = pytest.mark.skipif(not BROWSER, reason="no browser on this machine")


def visit(page: Path, tmp_path: Path) -> str:
    """The page's text as a browser without a network shows it; fails on what it complains of."""
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
            f"--user-data-dir={tmp_path / 'browser'}", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--log-net-log={tmp_path / 'net.json'}", "--enable-logging=stderr", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    asked = re.findall(r'"url":"(https?://([^/"]+)[^"]*)"', (tmp_path / "net.json").read_text())
    own = (".google.com", ".googleapis.com", ".gvt1.com")  # what the browser itself asks for
    assert {url for url, host in asked if not host.endswith(own)} == set()
    shown = re.sub(r"<(script|style|svg)\b.*?</\1>", "", done.stdout, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_a_page_that_fetches_something_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<link rel="stylesheet" href="https://cdn.example.org/a.css">Hello')
    with pytest.raises(AssertionError, match=r"cdn\.example\.org"):
        visit(page, tmp_path)
    page.write_text("<script>undefinedThing.x</script>Hello")
    with pytest.raises(AssertionError, match="CONSOLE"):
        visit(page, tmp_path)


def test_the_pages_of_a_run(clone: Clone, tmp_path: Path) -> None:
    space = clone.space
    text = visit(space.state / "run_report.html", tmp_path)
    for words in (
        "Gate: passed , version 1 is in service", "starts from the base model", "seed 0",
        "compared with the untrained model", "checks of benchmark", "builtin (", "experiences",
        "time went to:", *STAGES,
    ):  # fmt: skip
        assert words in text, words
    commit = clone.sh("git", "rev-parse", "HEAD").ok().out.strip()
    assert commit[:7] in text
    page = (space.state / "run_report.html").read_text()
    for link in re.findall(r'href="([^"]+)"', page):
        assert (space.state / link).is_file(), link
    assert "Scores" in visit(space.output("benchmark") / "report.html", tmp_path)
    for stage in STAGES:
        docs = space.state / "data_docs" / stage
        assert f"Checks of {stage}: passed" in visit(docs / "index.html", tmp_path)
    assert "values must never be null" in visit(docs / "reasons.html", tmp_path)
    logged = {
        file.path
        for run in clone.runs()
        for folder in ("", *(f"{stage}/data_docs" for stage in STAGES))
        for file in clone.client().list_artifacts(run, folder)
    }
    assert {"run_report.html", *(f"{stage}/data_docs/index.html" for stage in STAGES)} <= logged
