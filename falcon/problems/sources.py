"""Sources and benchmarks by name: which file, which loader, which splits.

A source is trained on, a benchmark is only ever scored on. Whatever is wrong with a file
is one UserError that names all of it; a file is never read in part.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from falcon.config import DataSettings
from falcon.errors import UserError
from falcon.problems.apps import NO_TESTS
from falcon.problems.apps_folder import MISSING, TESTS_FILE
from falcon.problems.evalplus import require_path
from falcon.problems.fault import ProblemFault, refuse
from falcon.problems.files import PATH, inspect_file, parse_rows, read_folder
from falcon.problems.humaneval import packaged_file
from falcon.problems.mbpp import hub_rows
from falcon.problems.problem import Difficulty, Problem, Split

BUILTIN = "problems.jsonl"
"""File name of FALCON's own problems inside the data folder."""

_ABSENT = (TESTS_FILE, MISSING)
_LOG = logging.getLogger(__name__)
_PULL = "Get it with `dvc pull`."
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def _load(path: Path, *forms: str, missing: str = PATH) -> list[Problem]:
    problems, faults = inspect_file(path, *forms, missing=missing)
    refuse(path, faults)
    return [problem for _, problem in problems]


def _load_builtin(data_dir: Path) -> list[Problem]:
    return _load(data_dir / BUILTIN, "own", missing=_PULL)


def _load_mbpp(name: str) -> list[Problem]:
    path = Path(name).expanduser()
    looks_like_file = path.suffix in {".json", ".jsonl", ".gz"}
    if path.exists() or looks_like_file or not _HUB.fullmatch(name):
        return _load(path, "mbpp", "sanitized")
    problems, faults = parse_rows(path, hub_rows(name), "mbpp")
    refuse(path, faults)
    return [problem for _, problem in problems]


def _tested(path: Path, problems: list[Problem], faults: list[ProblemFault]) -> list[Problem]:
    """Refuse what is wrong but rows without tests, of which APPS has hundreds: they are left out,
    and their number is said."""
    untested = [f for f in faults if f.message == NO_TESTS or (f.file.name, f.message) == _ABSENT]
    if len(untested) < len(faults) or not problems:
        refuse(path, faults)
    if untested:
        _LOG.warning("%s: %d problems without tests are left out", path, len(untested))
    return problems


def _load_apps(name: str) -> list[Problem]:
    path = Path(name).expanduser()
    if not path.is_dir():
        found, faults = inspect_file(path, "apps")
        return _tested(path, [problem for _, problem in found], faults)
    read = read_folder(path)
    problems = _tested(path, [problem for _, _, problem in read.problems], read.faults)
    if len({problem.id for problem in problems}) < len(problems):
        raise UserError(
            f"{path}: folders in it hold problems of the same numbers.",
            hint="Give its folder train or test.",
        )
    return problems


def _unordered(problem: Problem) -> Problem:
    """With the last rule of the checker of APPS, which ignores the order of what is printed."""
    if problem.tests.kind != "stdin":
        return problem
    tests = problem.tests.model_copy(update={"rule": "apps:unordered"})
    return problem.model_copy(update={"tests": tests})


def _split_name(name: str, setting: str) -> tuple[str, str]:
    kind, colon, path = name.partition(":")
    if colon and not path:
        raise UserError(f"`{setting}`: `{name}` names no file.", hint=f"Write {kind}:PATH.")
    return kind, path


def _load_source(name: str, data_dir: Path) -> list[Problem]:
    kind, path = _split_name(name, "data.sources")
    if name == "builtin":
        return _load_builtin(data_dir)
    if kind == "mbpp" and path:
        return _load_mbpp(path)
    if kind == "jsonl" and path:
        return _load(Path(path).expanduser(), "own", "sanitized")
    if kind == "leetcode" and path:
        found = _load(Path(path).expanduser(), "leetcode")
        return [p.model_copy(update={"split": Split.TRAIN}) for p in found]
    if kind == "apps" and path:
        return [p.model_copy(update={"split": Split.TRAIN}) for p in _load_apps(path)]
    if kind in ("humaneval", "evalplus"):
        raise UserError(
            f"`data.sources`: `{name}` is a benchmark and is never trained on.",
            hint="Put it under `benchmark.names`.",
        )
    raise UserError(
        f"`data.sources`: there is no source `{name}`.",
        hint="Valid: builtin, mbpp:PATH, apps:PATH, leetcode:PATH, jsonl:PATH.",
    )


def load_sources(data: DataSettings, data_dir: Path) -> list[Problem]:
    """Problems of all ``data.sources``, in that order, whatever their split.

    ``data.difficulties`` filters all but the test split. Relative paths count from the
    working folder. Raises UserError for an unknown source or difficulty, a malformed file
    and an id that two sources share.
    """
    for level in data.difficulties:
        if level not in set(Difficulty):
            raise UserError(
                f"`data.difficulties`: there is no difficulty `{level}`.",
                hint=f"Valid: {', '.join(Difficulty)}.",
            )
    origin: dict[str, str] = {}
    problems = []
    for name in data.sources:
        for problem in _load_source(name, data_dir):
            if problem.id in origin:
                raise UserError(
                    f"`data.sources`: `{problem.id}` is in `{origin[problem.id]}` and in `{name}`.",
                    hint="Name one of the two.",
                )
            origin[problem.id] = name
            problems.append(problem)
    return [p for p in problems if p.split is Split.TEST or p.difficulty in data.difficulties]


def load_demonstrations(name: str) -> list[Problem]:
    """What of a benchmark's file is there to be shown in prompts: MBPP's tasks 1 to 10.

    None for other benchmarks. Raises UserError for a malformed file.
    """
    kind, path = _split_name(name, "benchmark.names")
    found = _load_mbpp(path) if kind == "mbpp" and path else []
    return [problem for problem in found if problem.split is Split.DEMO]


def load_benchmark(name: str, data_dir: Path) -> list[Problem]:
    """The test problems of one benchmark, in file order.

    ``humaneval`` (the installed package), ``humaneval:PATH``, ``builtin`` (its test split),
    ``mbpp:PATH`` (tasks 11 to 510) ``evalplus:PATH`` (HumanEval+, MBPP+)
    ``apps:PATH`` (a file or a folder) or ``leetcode:PATH``. Raises UserError for an unknown name, a malformed
    file and a file without test problems.
    """
    kind, path = _split_name(name, "benchmark.names")
    if name == "builtin":
        problems = _load_builtin(data_dir)
    elif name == "humaneval":
        problems = _load(packaged_file(), "humaneval")
    elif kind == "humaneval":
        problems = _load(Path(path).expanduser(), "humaneval")
    elif kind == "mbpp" and path:
        problems = _load_mbpp(path)
    elif kind in ("apps", "apps-unordered") and path:
        problems = _load_apps(path)
        if kind != "apps":
            problems = [_unordered(problem) for problem in problems]
    elif kind == "leetcode" and path:
        problems = _load(Path(path).expanduser(), "leetcode")
    elif kind == "evalplus":
        problems = _load(require_path(path), "evalplus")
    else:
        raise UserError(
            f"`benchmark.names`: there is no benchmark `{name}`.",
            hint="Valid: humaneval, humaneval:PATH, builtin, mbpp:PATH, evalplus:PATH, apps:PATH, leetcode:PATH.",
        )
    test = [problem for problem in problems if problem.split is Split.TEST]
    if not test:
        raise UserError(
            f"`benchmark.names`: `{name}` holds no problem of the test split.",
            hint="Name a file that does.",
        )
    return test
