"""The model in the registry: what MLflow runs to serve a version ("models from code").

Artifacts: ``adapter`` (a PEFT folder with its tokenizer), ``settings`` (all it was trained with)
and, where it has one, ``memory``. The code of the package ``falcon`` lies beside them, so a version
is served by the code that made it. The base model is not copied: ``policy.model`` says where it is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.pyfunc import PythonModelContext

    from falcon.generation.completion import Draws
    from falcon.problems.problem import Problem

MOST_TOKENS = 8192
"""Of a program: a request for more would hold the server for hours."""


class BadRequest(MlflowException):  # type: ignore[misc]
    """A request that cannot be answered: the server gives its one line with status 400."""

    def __init__(self, line: str) -> None:
        super().__init__(line, error_code=INVALID_PARAMETER_VALUE)
        self._line = line

    def serialize_as_json(self) -> str:
        """The answer's body. MLflow would put the whole request before the line."""
        return json.dumps({"error_code": self.error_code, "message": self._line})


class CodeGenerator(PythonModel):  # type: ignore[misc]
    """Rows with ``prompt`` in, one program a row out. Programs are never run."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base model with the adapter, and open the memory."""
        from falcon.service import ModelFiles, Service, read_model_settings

        parts = {name: Path(path) for name, path in context.artifacts.items()}
        settings = read_model_settings(parts["settings"])
        # The machine that trained is another one: its index server is none of this one's.
        self.settings = settings.changed({"machine.server": "", "machine.search": "auto"})
        self._open = ExitStack()  # until the process ends
        index = self._open.enter_context(
            tempfile.TemporaryDirectory()
        )  # artifacts stay as they are
        files = ModelFiles(self.settings, parts["adapter"], parts.get("memory"))
        self.service = self._open.enter_context(Service.open(files, Path(index)))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """A program for each row, in their order; a row gets the same one whatever is beside it.

        Columns: ``prompt`` (the task in words) and, optional, ``signature`` and ``stdin``.
        ``params``: max_new_tokens, temperature (0: greedy), top_p, seed. Raises BadRequest.
        """
        draws = self._draws(params or {})
        rows: list[Mapping[str, Any]] = model_input.to_dict("records")  # type: ignore[assignment]
        problems = []
        for number, row in enumerate(rows):
            with _refused(f"row {number}: " if len(rows) > 1 else ""):
                problems.append(_problem(row))
                self.service.check(problems[-1])
        answers = self.service.write(problems, draws)
        return [answer.drafts[0].program for answer in answers]

    def _draws(self, params: Mapping[str, Any]) -> Draws:
        from falcon.generation.completion import Draws, Sampling

        b = self.settings.benchmark
        defaults = {"temperature": 0.0, "top_p": 1.0, "seed": self.settings.seed}
        p = {**defaults, "max_new_tokens": b.max_new_tokens, **params}
        tokens, temperature, top_p = p["max_new_tokens"], p["temperature"], p["top_p"]
        for name, good, wanted in (
            ("max_new_tokens", 1 <= tokens <= MOST_TOKENS, f"1 to {MOST_TOKENS}"),
            ("temperature", 0 <= temperature < 100, "0 (greedy) or more, below 100"),
            ("top_p", 0 < top_p <= 1, "above 0, at most 1"),
        ):
            if not good:
                raise BadRequest(f"params.{name}: {p[name]} is out of range: {wanted}.")
        sampling = Sampling(float(temperature), float(top_p), int(tokens), b.batch_size)
        return Draws(sampling, seed=int(p["seed"]))


def _problem(row: Mapping[str, Any]) -> Problem:
    from falcon.service import request_problem

    def given(name: str, empty: Any) -> Any:
        value = row.get(name)
        return empty if value is None or value != value else value  # None and NaN: left out

    return request_problem(
        str(given("prompt", "")), str(given("signature", "")), stdin=bool(given("stdin", False))
    )


@contextmanager
def _refused(where: str = "") -> Iterator[None]:
    """Turn what is wrong with a request into a BadRequest."""
    from falcon.errors import UserError

    try:
        yield
    except UserError as fault:
        raise BadRequest(f"{where}{fault}") from fault


set_model(CodeGenerator())
