"""The model in the registry: the base model with a trained adapter, as an MLflow pyfunc.

MLflow runs this file to load the model ("models from code"). Artifacts: ``adapter``, a PEFT
adapter folder with its tokenizer, and ``settings``, the policy settings it was trained with.
The base model comes from where those settings say and is not copied.
"""

from __future__ import annotations

import json
from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class CodeGenerator(PythonModel):
    """Column ``prompt`` in, one program a row out. Parameters: see ``predict``."""

    def load_context(self, context):
        """Load the base model and the adapter from the artifacts."""
        from falcon.config import PolicySettings
        from falcon.policy.policy import Policy

        card = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))
        self.policy = Policy.load(
            PolicySettings.model_validate(card["policy"]),
            adapter=Path(context.artifacts["adapter"]),
        )

    def predict(self, context, model_input, params=None):
        """Programs for the prompts, in their order.

        ``params``: max_new_tokens, temperature (0: greedy), top_p, seed.
        """
        from falcon.policy.serve import complete

        given = {
            "max_new_tokens": 256,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
            **(params or {}),
        }
        prompts = [str(each) for each in model_input["prompt"]]
        return complete(
            self.policy,
            prompts,
            max_new_tokens=int(given["max_new_tokens"]),
            temperature=float(given["temperature"]),
            top_p=float(given["top_p"]),
            seed=int(given["seed"]),
        )


set_model(CodeGenerator())
