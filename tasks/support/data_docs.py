"""Data Docs: Great Expectations' pages about the checks of a stage, readable without a network.

As they come the pages take style, scripts and pictures from five servers, and show an empty index
without them. Here each table's page gets a stylesheet of our own inside, and nothing is fetched or
run. They hold run times, so they go to ``state/``, not to the results.
"""

from __future__ import annotations

import html
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.support.files import write_text

if TYPE_CHECKING:
    from tasks.support.check_report import CheckReport

_REMOVED = (
    r"<script\b.*?</script>",
    r"<style\b.*?</style>",
    r"<footer\b.*?</footer>",
    r"<link\b[^>]*>",
    r"<img\b[^>]*>",
    r'\son\w+="[^"]*"',
    r'\shref="[^"#]*expectations/[^"]*"',  # pages of the suites, which are code
    r"<title></title>",
)


def write_data_docs(context: Any, report: CheckReport, folder: Path) -> None:
    """Write the pages of all results in ``context``: ``index.html``, and one for each table."""
    style = f"<style>{(Path(__file__).with_suffix('.css')).read_text(encoding='utf-8')}</style>"
    with tempfile.TemporaryDirectory() as scratch:
        context.add_data_docs_site(site_name="folder", site_config=_site(scratch))
        context.build_data_docs(site_names=["folder"])
        for page in sorted((Path(scratch) / "validations").rglob("*.html")):
            table = page.stem.removeprefix(f"{report.stage}-")
            write_text(folder / f"{table}.html", _offline(page.read_text(encoding="utf-8"), style))
    write_text(folder / "index.html", _index(report, style))


def _site(folder: str) -> dict[str, Any]:
    where = {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    return {"class_name": "SiteBuilder", "store_backend": where, "site_index_builder": index}


def _offline(page: str, style: str) -> str:
    for pattern in _REMOVED:
        page = re.sub(pattern, "", page, flags=re.DOTALL)
    page = re.sub(r'href="[./]*index\.html"', 'href="index.html"', page)
    return page.replace("</head>", f"{style}</head>", 1)


def _index(report: CheckReport, style: str) -> str:
    rows = []
    for check in sorted(report.checks, key=lambda c: (c.passed, c.severity, c.table, c.name)):
        mark = "text-success" if check.passed else "text-danger"
        state = "ok" if check.passed else check.severity
        cells = (check.expected.get("column", ""), check.name, check.seen(len(check.rows)))
        rows.append(
            f'<tr><td><i class="{mark}"></i> {state}</td>'
            f'<td><a href="{check.table}.html">{check.table}</a></td>'
            + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
            + "</tr>"
        )
    verdict = "passed" if report.passed else "failed"
    title = f"Checks of {report.stage}: {verdict}"
    heads = "".join(f"<th>{head}</th>" for head in ("", "table", "column", "expectation", "seen"))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{style}'
        f"</head><body><h1>{title}</h1><table class=index><tr>{heads}</tr>{''.join(rows)}</table></body></html>"
    )
