"""The model in the registry: the base model with a trained adapter, as an MLflow pyfunc.

MLflow runs this file to load the model ("models from code"). Artifacts: ``adapter``, a PEFT
adapter folder with its tokenizer, and ``settings``, the policy settings it was trained with.
The base model comes from where those settings say and is not copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    import pandas as pd

    from falcon.problems.problem import Problem


class CodeGenerator(PythonModel):  # type: ignore[misc]
    """Column ``prompt`` in, one program a row out. Parameters: see ``predict``."""

    def load_context(self, context: Any) -> None:
        """Load the base model and the adapter from the artifacts."""
        from falcon.config import PolicySettings
        from falcon.policy.policy import Policy

        card = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))
        settings = PolicySettings.model_validate(card["policy"])
        self.max_prompt_tokens = settings.max_prompt_tokens
        self.policy = Policy.load(settings, adapter=Path(context.artifacts["adapter"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[str]:
        """Programs for the prompts, in their order.

        A prompt is a task in words, as in training. ``params``: max_new_tokens, temperature
        (0: greedy), top_p, seed.
        """
        from falcon.generation.local import Sampling, generate
        from falcon.prompts.encode import encode, form_of

        given = {
            "max_new_tokens": 256,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
            **(params or {}),
        }
        form = form_of(self.policy.tokenizer)
        problems = [_problem(str(each)) for each in model_input["prompt"]]
        made = generate(
            self.policy,
            [
                encode(self.policy.tokenizer, problem, "", self.max_prompt_tokens)
                for problem in problems
            ],
            samples=1,
            sampling=Sampling(
                temperature=float(given["temperature"]),
                top_p=float(given["top_p"]),
                max_new_tokens=int(given["max_new_tokens"]),
                batch_size=16,
            ),
            stops=[form.stops(problem) for problem in problems],
            seed=int(given["seed"]),
        )
        return [
            form.extract(each[0].text, problem).program
            for each, problem in zip(made, problems, strict=True)
        ]


def _problem(task: str) -> Problem:
    """A task of a user's as a problem; it has no tests, so a statement that always holds."""
    from falcon.problems.problem import Difficulty, Problem, Split
    from falcon.suite import CodeSuite

    return Problem(
        id="request",
        source="request",
        split=Split.TEST,
        difficulty=Difficulty.INTRODUCTORY,
        statement=task,
        tests=CodeSuite(asserts=("assert True",)),
    )


set_model(CodeGenerator())
