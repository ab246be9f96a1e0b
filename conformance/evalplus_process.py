"""EvalPlus's side of the comparison: a script for a process that can import ``evalplus``.

``python evalplus_process.py PACKAGE JOBS RESULTS``: the folder of the package, and two files of
JSON lines. A job has ``problem`` (a row of the file) and ``program``; a result has ``base`` and
``plus``, in their words. It does what ``evalplus.evaluate.check_correctness`` does, which cannot
be imported without the package's models and data sets. As there, programs run unconfined.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any


def _deserialiser(package: Path) -> Any:
    """Their function that restores the types of inputs; its module cannot be imported."""
    source = (package / "evalplus" / "data" / "mbpp.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    name = "mbpp_deserialize_inputs"
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    space: dict[str, Any] = {}
    exec(compile(tree, "evalplus/data/mbpp.py", "exec"), space)
    return space[name]


def _expected(problem: dict[str, Any], deserialise: Any) -> dict[str, Any]:
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    expected: dict[str, Any] = {}
    for part in ("base", "plus"):
        inputs = deserialise(problem["task_id"], problem[f"{part}_input"])
        values, seconds = trusted_exec(
            problem["prompt"] + problem["canonical_solution"],
            inputs,
            problem["entry_point"],
            record_time=True,
            output_not_none=problem["entry_point"] in MBPP_OUTPUT_NOT_NONE_TASKS,
        )
        expected[part] = inputs, values, seconds  # their time limits follow the reference's times
    return expected


def _check(problem: dict[str, Any], program: str, expected: dict[str, Any]) -> dict[str, str]:
    from evalplus.eval import untrusted_check

    results = {}
    for part, (inputs, values, seconds) in expected.items():
        results[part], _ = untrusted_check(
            "mbpp",
            program,
            inputs,
            problem["entry_point"],
            expected=values,
            atol=problem["atol"],
            ref_time=seconds,
            fast_check=True,
        )
    return results


def main(package: Path, jobs: Path, results: Path) -> None:
    """Check every job; each reference runs once."""
    sys.path.insert(0, str(package))
    deserialise = _deserialiser(package)
    expected: dict[str, dict[str, Any]] = {}  # by task
    with jobs.open(encoding="utf-8") as lines, results.open("w", encoding="utf-8") as out:
        for line in lines:
            job = json.loads(line)
            problem = job["problem"]
            key = problem["task_id"]
            if key not in expected:
                expected[key] = _expected(problem, deserialise)
            out.write(json.dumps(_check(problem, job["program"], expected[key])) + "\n")
            out.flush()  # a program that ends this process leaves the earlier results


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
