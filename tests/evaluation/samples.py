"""Made-up samples of two benchmarks and three policies, with every kind of ending."""

from __future__ import annotations

from typing import Any

import pandas as pd

from falcon.evaluation.scores import score_samples

ENDINGS: dict[str, tuple[str, str, float]] = {
    "P": ("pass", "", 1.0),
    "W": ("wrong_answer", "AssertionError", 0.35),
    "R": ("runtime_error", "ZeroDivisionError", -0.6),
    "S": ("syntax_error", "SyntaxError", -1.0),
    "X": ("sandbox_error", "", float("nan")),
}
PLAN = {
    "base": {"humaneval": "PWRSWWPS", "builtin": "PPWW"},
    "trained": {"humaneval": "PPPSWWWP", "builtin": "PPPX"},
    "champion": {"humaneval": "PPRSWWPS", "builtin": "PPWW"},
}


def row(policy: str, benchmark: str, number: int, ending: str, sample: int = 0) -> dict[str, Any]:
    outcome, error, reward = ENDINGS[ending]
    fault = ending == "X"
    return {
        "policy": policy,
        "suite": benchmark,
        "problem_id": f"{benchmark}/{number}",
        "difficulty": "introductory" if number % 2 == 0 else "competition",
        "sample": sample,
        "prompt_version": "v",
        "completion": "",
        "program": f"# {policy} {benchmark} {number}\ndef f(a):\n    return a < {number} & a",
        "outcome": outcome,
        "error_type": error,
        "error_line": 3 if error else 0,
        "error_message": f"division <by> zero in {policy}" if error else "",
        "n_pass": {"P": 2, "W": 1}.get(ending, 0),
        "n_fail": {"P": 0, "X": 0, "W": 1}.get(ending, 2),
        "reward": reward,
        "test_reward": reward,
        "style": float("nan") if fault else 0.5 + number / 10,
        "complexity": float("nan") if fault else 1.0 - number / 10,
        "tripped": ending == "S" and number == 3,
        "tokens": 10 + number,
        "finished": not (ending == "S" and policy == "base"),
    }


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row(policy, benchmark, number, ending)
            for policy, benchmarks in PLAN.items()
            for benchmark, endings in benchmarks.items()
            for number, ending in enumerate(endings)
        ]
    )


def scores(samples: pd.DataFrame) -> dict[str, Any]:
    about = {
        p: {"adapter_digest": "" if p == "base" else f"{p[:4]}0123", "memory": p != "base"}
        for p in samples["policy"].unique()
    }
    found = score_samples(
        samples, about=about, benchmarks=["humaneval", "builtin"], confidence=0.95, seed=0
    )
    return {
        "prompt_version": "v",
        "memory_digest": "m",
        "confidence": 0.95,
        "decoding": "greedy",
        "model": "made-up",
        "left_out": {"humaneval": [], "builtin": []},
        **found,
    }
