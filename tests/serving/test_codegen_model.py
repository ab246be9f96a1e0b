"""The model in the registry, as MLflow loads it: the same programs as the policy itself."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import mlflow
from falcon.config import MemorySettings, PolicySettings
from falcon.generation.local import Draws, Sampling
from falcon.policy.policy import Policy
from falcon.rollout import Writer
from tasks.serving.codegen_model import _problem
from tasks.support.files import write_json
from tasks.support.model_version import CODEGEN_MODEL, _signature
from tests.models import stir, tiny_causal

TASKS = ["Double a number.", "Write `f(x)`, the sum of a list."]


def test_it_writes_what_its_policy_writes(tmp_path: Path) -> None:
    settings = PolicySettings(
        model=str(tiny_causal(tmp_path / "model", chat=True)), dtype="float32", lora_rank=4
    )
    policy = Policy.load(settings)
    stir(policy)
    policy.save(tmp_path / "adapter")
    write_json(tmp_path / "settings.json", {"policy": settings.model_dump(mode="json")})
    artifacts = {"adapter": tmp_path / "adapter", "settings": tmp_path / "settings.json"}
    mlflow.pyfunc.save_model(
        str(tmp_path / "pyfunc"),
        python_model=str(CODEGEN_MODEL),
        artifacts={name: str(path) for name, path in artifacts.items()},
        signature=_signature(),
        pip_requirements=["falcon-mlops"],
    )
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "pyfunc"))
    params = {"max_new_tokens": 12, "temperature": 0.8, "top_p": 0.9, "seed": 3}
    programs = loaded.predict(pd.DataFrame({"prompt": TASKS}), params=params)
    problems = [_problem(task) for task in TASKS]
    draws = Draws(Sampling(0.8, 0.9, 12, 16), seed=3)
    groups = Writer(policy, MemorySettings()).write(problems, ["", ""], draws)
    assert programs == [draft.program for (draft,) in groups]
    assert len(set(programs)) == 2
