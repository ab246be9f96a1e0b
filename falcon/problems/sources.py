"""Sources and benchmarks by name: which file, which loader, which splits.

A source is trained on, a benchmark is only ever scored on. Whatever is wrong with a file
is one UserError that names all of it; a file is never read in part.
"""

import difflib
import logging
import re
from pathlib import Path

from falcon.config import DataSettings, Settings
from falcon.errors import UserError
from falcon.problems.apps import NO_TESTS
from falcon.problems.apps_folder import MISSING, TESTS_FILE
from falcon.problems.evalplus import require_path
from falcon.problems.fault import ProblemFault, refuse
from falcon.problems.files import PATH, Parsed, inspect_file, parse_rows, read_folder
from falcon.problems.humaneval import packaged_file
from falcon.problems.mbpp import hub_rows
from falcon.problems.problem import HELD_OUT, Difficulty, Problem, Split

BUILTIN = "problems.jsonl"  # File name of FALCON's own problems inside the data folder

_ABSENT = (TESTS_FILE, MISSING)
_BENCHMARKS = ("humaneval", "humaneval-official", "evalplus", "apps-unordered")
_LOG = logging.getLogger(__name__)
_PULL = "Get it with `dvc pull`."
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")  # OWNER/NAME or NAME


def _whole(path: Path, parsed: Parsed) -> list[Problem]:
    """The problems of a file without faults; else UserError."""
    problems, faults = parsed
    refuse(path, faults)
    return [problem for _, problem in problems]


def _load(path: Path, *formats: str, missing: str = PATH) -> list[Problem]:
    path = path.expanduser()
    return _whole(path, inspect_file(path, *formats, missing=missing))


def load_file(path: Path) -> list[Problem]:
    """All problems of a file in FALCON's own form. Raises UserError for a malformed file."""
    return _load(path, "own")


def _load_builtin(data_dir: Path) -> list[Problem]:
    return _load(data_dir / BUILTIN, "own", missing=_PULL)


def _load_mbpp(name: str) -> list[Problem]:
    path = Path(name).expanduser()
    looks_like_file = path.suffix in {".json", ".jsonl", ".gz"}
    # What is neither a file nor looks like one may be a data set on the hub.
    if path.exists() or looks_like_file or not _HUB.fullmatch(name):
        return _load(path, "mbpp", "sanitized")
    return _whole(path, parse_rows(path, hub_rows(name), "mbpp"))


def _with_tests(path: Path, problems: list[Problem], faults: list[ProblemFault]) -> list[Problem]:
    """Refuse what is wrong except rows without tests, of which APPS has hundreds: they are left
    out, and their number is logged."""
    untested = [f for f in faults if f.message == NO_TESTS or (f.file.name, f.message) == _ABSENT]
    if len(untested) < len(faults) or not problems:
        refuse(path, faults)
    if untested:
        _LOG.warning("%s: %d problems without tests are left out", path, len(untested))
    return problems


def _load_apps(name: str) -> list[Problem]:
    path = Path(name).expanduser()
    if not path.is_dir():
        parsed, faults = inspect_file(path, "apps")
        return _with_tests(path, [problem for _, problem in parsed], faults)
    read = read_folder(path)
    problems = _with_tests(path, [problem for _, _, problem in read.problems], read.faults)
    # Its folders train and test both count from 0.
    if len({problem.id for problem in problems}) < len(problems):
        raise UserError(
            f"{path}: folders in it hold problems of the same numbers.",
            hint="Give its folder train or test.",
        )
    return problems


def _with_tests_changed(problem: Problem, **changes: str) -> Problem:
    tests = problem.tests.model_copy(update=changes)
    return problem.model_copy(update={"tests": tests})


def _unordered(problem: Problem) -> Problem:
    """With the last rule of the checker of APPS, which ignores the order of what is printed."""
    if problem.tests.kind != "stdin":
        return problem
    return _with_tests_changed(problem, rule="apps:unordered")


def _for_training(problems: list[Problem]) -> list[Problem]:
    """For formats whose rows name no split: as a source, all is trained on."""
    return [problem.model_copy(update={"split": Split.TRAIN}) for problem in problems]


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
        return _load(Path(path), "own", "sanitized")
    if kind == "leetcode" and path:
        return _for_training(_load(Path(path), "leetcode"))
    if kind == "apps" and path:
        problems = _load_apps(path)
        # What the checker of APPS lets pass counts for scores, and is no reward.
        return _for_training([_with_tests_changed(p, rule="apps:strict") for p in problems])
    if kind in _BENCHMARKS:
        raise UserError(
            f"`data.sources`: `{name}` is a benchmark and is never trained on.",
            hint="Put it under `benchmark.names`.",
        )
    raise UserError(
        f"`data.sources`: there is no source `{name}`.",
        hint="Valid: builtin, mbpp:PATH, apps:PATH, leetcode:PATH, jsonl:PATH.",
    )


def load_sources(data: DataSettings, data_dir: Path, model: str = "") -> list[Problem]:
    """Problems of all ``data.sources``, in that order, whatever their split.

    ``data.difficulties`` filters all but the test split, ``data.pass_rates`` those to train on and
    to validate on, by what was measured of ``model``, if one is given. Relative paths count from the
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
    kept = [p for p in problems if p.split is Split.TEST or p.difficulty in data.difficulties]
    return _of_pass_rates(kept, data.pass_rates, model) if model else kept


def _of_pass_rates(
    problems: list[Problem], limits: tuple[float, float], model: str
) -> list[Problem]:
    if limits == (0, 1):
        return problems
    low, high = limits
    kept = [
        p
        for p in problems
        if p.split not in (Split.TRAIN, Split.VALID) or low <= p.pass_rates.get(model, -1) <= high
    ]
    if not any(p.split is Split.TRAIN for p in kept):
        raise UserError(
            f"`data.pass_rates`: {model} has a rate from {low} to {high} on no training problem.",
            hint="Measure some with `falcon problems rate FILE`, or set [0, 1].",
        )
    return kept


def load_demonstrations(name: str) -> list[Problem]:
    """The problems of a benchmark's file that are to be shown in prompts: MBPP's tasks 1 to 10.

    Empty for other benchmarks. Raises UserError for a malformed file.
    """
    kind, path = _split_name(name, "benchmark.names")
    problems = _load_mbpp(path) if kind == "mbpp" and path else []
    return [problem for problem in problems if problem.split is Split.DEMO]


def load_benchmark(name: str, data_dir: Path) -> list[Problem]:
    """The test problems of one benchmark, in file order.

    ``humaneval`` (the installed package), ``humaneval:PATH``, ``humaneval-official`` alike (with
    the helpers of three prompts taken from the program), ``builtin`` (its test split),
    ``mbpp:PATH`` (tasks 11 to 510), ``evalplus:PATH`` (HumanEval+, MBPP+), ``apps:PATH`` (a
    file or a folder), ``apps-unordered:PATH``, ``leetcode:PATH`` or ``jsonl:PATH`` (the test split
    of an own file). Raises UserError for an unknown name, a malformed file and a file without test
    problems.
    """
    kind, path = _split_name(name, "benchmark.names")
    if name == "builtin":
        problems = _load_builtin(data_dir)
    elif kind in ("humaneval", "humaneval-official"):
        problems = _load(Path(path) if path else packaged_file(), "humaneval")
        if kind != "humaneval":
            problems = [_with_tests_changed(problem, setup="") for problem in problems]
    elif kind == "mbpp" and path:
        problems = _load_mbpp(path)
    elif kind in ("apps", "apps-unordered") and path:
        problems = _load_apps(path)
        if kind != "apps":
            problems = [_unordered(problem) for problem in problems]
    elif kind == "leetcode" and path:
        problems = _load(Path(path), "leetcode")
    elif kind == "jsonl" and path:
        problems = load_file(Path(path))
    elif kind == "evalplus":
        problems = _load(require_path(path), "evalplus")
    else:
        raise UserError(
            f"`benchmark.names`: there is no benchmark `{name}`.",
            hint="Valid: humaneval, humaneval:PATH, humaneval-official, builtin, mbpp:PATH, "
            "evalplus:PATH, apps:PATH, leetcode:PATH, jsonl:PATH.",
        )
    test = [problem for problem in problems if problem.split is Split.TEST]
    if not test:
        raise UserError(
            f"`benchmark.names`: `{name}` holds no problem of the test split.",
            hint="Name a file that does.",
        )
    return test


def load_any(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """All problems of one source, or of a benchmark where only that can be read."""
    if name.partition(":")[0] in _BENCHMARKS:
        return load_benchmark(name, data_dir)
    return load_sources(settings.data.model_copy(update={"sources": (name,)}), data_dir)


def load_training(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """The training problems of a source, of all difficulties. Raises UserError if it has none."""
    data = settings.data.model_copy(update={"sources": (name,), "difficulties": tuple(Difficulty)})
    problems = [p for p in load_sources(data, data_dir) if p.split not in HELD_OUT]
    if not problems:
        raise UserError(f"`{name}` holds no training problem.", hint="Name a source that does.")
    return problems


def load_held_out(name: str, settings: Settings, data_dir: Path) -> list[Problem]:
    """The problems of a benchmark; of ``jsonl:PATH`` those of the splits valid and test."""
    if name.partition(":")[0] != "jsonl":
        return load_benchmark(name, data_dir)
    problems = [p for p in load_any(name, settings, data_dir) if p.split in HELD_OUT]
    if not problems:
        raise UserError(
            f"`{name}` holds no problem of the splits valid and test.",
            hint="Name a benchmark, or a file that does.",
        )
    return problems


def find_problem(problem_id: str, settings: Settings, data_dir: Path) -> Problem:
    """The problem with that id. Raises UserError that names the nearest ids."""
    names = [*settings.data.sources]
    names += [name for name in settings.benchmark.names if name not in names]
    # The source that the id names first: files of the others may not be on this machine.
    names.sort(key=lambda name: name.partition(":")[0] != problem_id.partition("/")[0])
    ids: list[str] = []
    for name in names:
        for problem in load_any(name, settings, data_dir):
            if problem.id == problem_id:
                return problem
            ids.append(problem.id)
    near = difflib.get_close_matches(problem_id, ids, n=3)
    hint = f"Near: {', '.join(near)}." if near else "`falcon problems list` shows them."
    raise UserError(f"There is no problem `{problem_id}` in {', '.join(names)}.", hint=hint)
