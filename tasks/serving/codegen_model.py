"""The model in the registry: the base model with a trained adapter, as an MLflow pyfunc.

MLflow runs this file to load the model ("models from code"). Artifacts: ``adapter``, a PEFT
adapter folder with its tokenizer, and ``settings``, the policy settings it was trained with.
The base model is not copied: it comes from where those say. Without a memory nothing is recalled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.pyfunc import PythonModelContext

    from falcon.problems.problem import Problem

DEFAULTS = {"max_new_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": 0}


class CodeGenerator(PythonModel):  # type: ignore[misc]
    """Column ``prompt`` in, one program a row out. Parameters: see ``predict``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base model and the adapter from the artifacts."""
        from falcon.config import MemorySettings, PolicySettings
        from falcon.policy.policy import Policy
        from falcon.rollout import Writer

        card = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))
        settings = PolicySettings.model_validate(card["policy"])
        policy = Policy.load(settings, adapter=Path(context.artifacts["adapter"]))
        self.writer = Writer(policy, MemorySettings(at="off"))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, float] | None = None,
    ) -> list[str]:
        """Programs for the prompts (tasks in words, as in training), in their order.

        ``params``: max_new_tokens, temperature (0: greedy), top_p, seed.
        """
        from falcon.generation.local import Draws, Sampling

        p = {**DEFAULTS, **(params or {})}
        sampling = Sampling(
            float(p["temperature"]), float(p["top_p"]), int(p["max_new_tokens"]), 16
        )
        problems = [_problem(str(task)) for task in model_input["prompt"]]
        draws = Draws(sampling, seed=int(p["seed"]))
        groups = self.writer.write(problems, [""] * len(problems), draws)
        return [draft.program for (draft,) in groups]


def _problem(task: str) -> Problem:
    """A user's task as a problem without tests."""
    from falcon.problems.problem import Difficulty, Problem, Split, no_tests

    return Problem(
        id="request",
        source="request",
        split=Split.TEST,
        difficulty=Difficulty.INTRODUCTORY,
        statement=task,
        tests=no_tests(stdin=False),
    )


set_model(CodeGenerator())
