"""How often a model passes each problem is measured as in training, and stands in the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from falcon.config import Settings
from falcon.errors import UserError
from falcon.evaluation.pass_rates import measure_pass_rates, write_pass_rates
from falcon.monitor import SilentMonitor
from falcon.problems.sources import load_file
from tests.evaluation.conftest import PROBLEMS, settings_for
from tests.evaluation.test_benchmark import Interrupting


def sampled(model: Path, **policy: object) -> Settings:
    changes = {"sampling.temperature": 0.01, "sampling.max_new_tokens": 60, **policy}
    return settings_for(model).changed({**changes, "sampling.batch_size": 1})


def test_rates_are_shares_of_programs_that_pass(model: Path, tmp_path: Path) -> None:
    settings = sampled(model)
    rates = measure_pass_rates(settings, PROBLEMS, 2, tmp_path / "work", SilentMonitor())
    # The model has learnt the right answer to the first one, and a wrong one to the second.
    assert rates == {"builtin/double": 1.0, "builtin/triple": 0.0}
    assert not (tmp_path / "work").exists()
    assert settings.benchmark.samples == 1


def test_an_interrupted_measurement_goes_on(model: Path, tmp_path: Path) -> None:
    settings, work = sampled(model), tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        measure_pass_rates(settings, PROBLEMS, 4, work, Interrupting(after=1))
    assert list(work.iterdir())
    # Rates that came meanwhile, of another model, change nothing.
    rated = [p.model_copy(update={"pass_rates": {"other": 0.5}}) for p in PROBLEMS]
    monitor = Interrupting()
    measure_pass_rates(settings, rated, 4, work, monitor)
    assert monitor.generated == 1


def test_problems_that_fit_into_no_prompt_are_refused(model: Path, tmp_path: Path) -> None:
    long = [p.model_copy(update={"statement": "word " * 500}) for p in PROBLEMS]
    with pytest.raises(UserError, match=r"No problem fits.*max_prompt_tokens"):
        measure_pass_rates(sampled(model), long, 2, tmp_path / "work", SilentMonitor())


@pytest.mark.parametrize("form", ["lines", "array", "gzip"])
def test_a_file_keeps_all_else_that_it_says(tmp_path: Path, form: str) -> None:
    rows = [json.loads(p.model_dump_json()) for p in PROBLEMS]
    rows[0]["pass_rates"] = {"small": 0.25, "large": 0.5}
    text = json.dumps(rows) if form == "array" else "\n".join(map(json.dumps, rows)) + "\n"
    path = tmp_path / "mine.jsonl"
    path.write_bytes(gzip.compress(text.encode()) if form == "gzip" else text.encode())
    write_pass_rates(path, path, "large", {"builtin/double": 0.75})
    first, second = load_file(path)
    assert first.pass_rates == {"small": 0.25, "large": 0.75}
    assert second == PROBLEMS[1]
    assert first.model_copy(update={"pass_rates": {}}) == PROBLEMS[0]
