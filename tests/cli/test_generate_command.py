"""``falcon generate`` with a tiny model: which policy writes, what comes out, how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command_memory import experience, remember

from falcon.errors import UserError
from falcon.policy.peft_files import base_of
from falcon.service import read_signature
from tasks.serving.generate import Request, read_request

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models import tiny_causal

TASK = "Double a number."
SIGNATURE = "def double(x: int) -> int"
ANSWER = "def double(x):\n    return x + x\n"
TESTS = "assert double(1) == 2\nassert double(-4) == -8\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny chat model, and an adapter of it that has learnt one answer by heart."""
    import torch

    from falcon.config import PolicySettings
    from falcon.policy.policy import Policy

    home = tmp_path_factory.mktemp("tiny")
    model = tiny_causal(home / "model", chat=True, spread=0.4)
    policy = Policy.load(
        PolicySettings(model=str(model), dtype="float32", lora_rank=8, lora_alpha=16.0)
    )
    problem, _ = read_request(Request(TASK, signature=SIGNATURE))
    prompt = policy.prompts.encode(problem)
    answer = policy.form.target(problem, ANSWER)
    target = [*policy.encode(answer), policy.tokenizer.eos_token_id]
    ids = torch.tensor([[*prompt, *target]])
    optimiser = torch.optim.Adam(policy.bank.parameters(), lr=0.02)
    for _ in range(400):
        with policy.bank.use(policy.bank.meta()):
            logits = policy.model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :])
        if loss < 0.05:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05
    policy.save(home / "adapter")
    return model, home / "adapter"


@pytest.fixture
def tests(here: Path) -> Path:
    (here / "t.py").write_text(TESTS)
    return here / "t.py"


def test_code_on_standard_output_and_the_verdict_decides_the_exit_code(tiny, tests, falcon) -> None:
    model, adapter = tiny
    words = ("generate", TASK, "--signature", SIGNATURE)
    done = falcon(*words, "--tests", tests, "--adapter", adapter)
    assert (done.code, done.out) == (0, ANSWER)
    assert "2 of 2 tests pass" in done.err
    assert str(adapter) in done.err
    tests.write_text("assert double(1) == 3\n")
    assert falcon(*words, "--tests", tests, "--adapter", adapter).code == 1
    assert falcon(*words, "--adapter", adapter).code == 0

    bare = falcon(*words, "--model", model, "--json")
    told = json.loads(bare.out)
    assert bare.code == 0
    assert told["samples"][0]["program"] != ANSWER
    assert told["samples"][0]["verdict"] is None
    assert told["policy"] == f"{model}, untrained"


def test_of_several_programs_the_best_is_printed(tiny, tests, here, falcon) -> None:
    _, adapter = tiny
    words = ("generate", TASK, "--signature", SIGNATURE, "--adapter", adapter, "--samples", "3")
    done = falcon(*words, "--tests", tests)
    assert (done.code, done.out) == (0, ANSWER)
    assert "3 of 3 programs pass" in done.err
    assert falcon(*words).out.count("# --- ") == 3


def test_programs_are_run_on_examples_where_there_are_no_tests(tiny, tests, falcon) -> None:
    _, adapter = tiny
    words = ("generate", TASK, "--signature", SIGNATURE, "--adapter", adapter, "--example")
    # The adapter has learnt the task without examples by heart, so with them it may write anything.
    done = falcon(*words, "double(0) == 0", "--json", "--samples", "2")
    told = json.loads(done.out)
    verdicts = [each["verdict"] for each in told["samples"]]
    assert [len(v["tests"]) for v in verdicts] == [1, 1]
    assert all("double(0) == 0" in v["tests"][0]["test"] for v in verdicts)
    assert done.code == (0 if any(v["passed"] for v in verdicts) else 1)
    hidden = json.loads(falcon(*words, "double(0) == 0", "--json", "--tests", tests).out)
    assert len(hidden["samples"][0]["verdict"]["tests"]) == 2


def test_memory_of_other_tasks_comes_before_the_task(tiny, here: Path, falcon) -> None:
    model, _ = tiny
    words = ("generate", TASK, "--model", model, "--json")
    assert json.loads(falcon(*words).out)["recalled"] == ""
    remember(here / "outputs" / "train" / "memory", experience(1, "Triple a number."))
    assert "Triple a number." in json.loads(falcon(*words).out)["recalled"]
    assert json.loads(falcon(*words, "--no-memory").out)["recalled"] == ""


def test_memory_of_other_tasks_changes_the_weights_that_write(tiny, here: Path, falcon) -> None:
    model, _ = tiny
    params = here / "params.yaml"
    text = params.read_text().replace("encoder: hash,", "encoder: hash, into: weights,")
    params.write_text(f"{text}train: {{meta: {{inner_lr: 20.0}}}}\n")
    words = ("generate", TASK, "--model", model, "--json")

    def program(*more: str) -> str:
        told = json.loads(falcon(*words, *more).out)
        assert told["recalled"] == ""
        return told["samples"][0]["program"]

    bare = program()
    remember(here / "outputs" / "train" / "memory", experience(1, "Triple a number."))
    assert program() != bare
    assert program("--no-memory") == bare


@pytest.mark.flow
def test_the_model_in_service_writes_and_without_one_the_base(tiny, tests, here, falcon) -> None:
    from falcon.config import load_settings
    from tasks.support.files import path_md5
    from tasks.support.model_version import VersionParts
    from tasks.support.registry import CHAMPION, Registry
    from tasks.support.tracking import Tracker
    from tasks.support.workspace import Workspace

    model, adapter = tiny
    params = here / "params.yaml"
    params.write_text(params.read_text().replace("lora_rank: 8", f"lora_rank: 4, model: {model}"))
    words = ("generate", TASK, "--signature", SIGNATURE, "--tests", tests)
    done = falcon(*words)
    assert done.code == 1
    assert "no model is in service" in done.err
    assert not (here / "state" / "mlflow.db").exists()

    space, settings = Workspace(here), load_settings(params)
    registry = Registry(Tracker(settings, space), settings)
    tags = {"policy.md5": path_md5(adapter), "run.train": ""}
    remember(here / "snapshot", experience(1, "Triple a number."))
    trained = settings.changed({"policy.lora_rank": 8, "policy.lora_alpha": 16.0})
    version = registry._create(VersionParts(adapter, trained, here / "snapshot"), tags)
    assert "no model is in service" in falcon(*words).err
    client = registry.tracker.client
    client.set_registered_model_alias(registry.name, CHAMPION, version.number)
    # Its rank and its memory are its own, whatever the settings say and was trained by now.
    remember(here / "outputs" / "train" / "memory", experience(2, "Halve a number."))
    for _ in range(2):
        done = falcon(*words, "--no-memory")
        assert (done.code, done.out) == (0, ANSWER)
        assert "version 1, in service" in done.err
    recalled = json.loads(falcon(*words, "--json").out)["recalled"]
    assert "Triple a number." in recalled
    assert "Halve" not in recalled
    # What lies there is not trusted: another file in a kept part is found out.
    served = here / "state" / "served"
    (served / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    (served / "settings.json").write_text("{}")
    assert falcon(*words, "--no-memory").code == 0
    assert path_md5(served / "adapter") == version.policy
    cut = falcon(*words, "--no-memory", "--max-new-tokens", "8")
    assert cut.code == 1
    assert "the length limit cut the program: give --max-new-tokens" in cut.err


def test_what_is_wrong_with_a_request_is_said_before_a_model_is_loaded(here, tests, falcon) -> None:
    (here / "t.json").write_text('[{"stdin": "1", "expected": "2"}]')
    (here / "c.py").write_text("def check(candidate):\n    assert candidate(1) == 2\n")
    (here / "adapter").mkdir()
    for words, said in (
        (("", "--model", "none"), "the task is empty"),
        ((TASK, "--signature", "double(x)"), "is no signature"),
        ((TASK, "--stdin", "--tests", "t.py"), "tests of functions"),
        ((TASK, "--tests", "t.json", "--signature", SIGNATURE), "has no signature"),
        ((TASK, "--tests", "c.py"), "which function"),
        ((TASK, "--adapter", "adapter"), "adapter_config.json is missing"),
        ((TASK, "--model", "./none"), "no such folder"),
        ((TASK, "--samples", "0"), "'--samples'"),
        ((TASK, "--example", "double(2) = 4"), "is no expression"),
        ((TASK, "--example", "double(2) == 4", "--stdin"), "--stdin asks for a whole program"),
        ((TASK, "--example", "f(2) == 4", "--tests", "t.json"), "t.json asks for a whole program"),
    ):
        done = falcon("generate", *words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert said in done.err


def test_the_prompt_s_problem_comes_from_signature_and_tests(here: Path, tests: Path) -> None:
    assert read_signature("def f(x: int = 2) -> int:") == ("def f(x: int = 2) -> int:", "f")
    problem, suite = read_request(Request(TASK, tests=tests))
    assert (problem.entry_point, problem.starter) == ("double", "")
    assert suite == problem.tests
    assert "assert" not in problem.statement + problem.examples
    (here / "c.py").write_text("def check(c):\n    assert c(1) == 2\n\ncheck(twice)\n")
    assert read_request(Request(TASK, tests=here / "c.py"))[0].entry_point == "twice"
    problem, suite = read_request(Request(TASK, stdin=True))
    assert problem.uses_stdin
    assert suite is None


def test_the_model_is_shown_the_examples(tests: Path) -> None:
    from falcon.prompts.forms import task_text

    examples = ("double(2) == 4", "not double(0)")
    problem, suite = read_request(Request(TASK, examples=examples))
    assert problem.entry_point == "double"
    assert suite == problem.tests
    asked = task_text(problem)
    assert "named `double`. It must pass:" in asked
    assert "assert double(2) == 4\nassert not double(0)\n" in asked
    problem, _ = read_request(Request(TASK, signature=SIGNATURE, examples=examples))
    assert f"{TASK}\n\nExamples:\n`double(2) -> 4`\n`not double(0)`\n" in task_text(problem)
    problem, suite = read_request(Request(TASK, signature=SIGNATURE, examples=examples[:1]))
    assert "Example:\n`double(2) -> 4`\n" in task_text(problem)
    problem, hidden = read_request(Request(TASK, tests=tests, examples=examples))
    assert len(hidden.asserts) == 2
    assert hidden != suite
    assert "double(1)" not in task_text(problem)
    assert "double(2)" in task_text(problem)


def test_an_adapter_of_another_kind_is_refused(tmp_path: Path) -> None:
    card = {"peft_type": "IA3", "target_modules": "all-linear"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="peft_type is IA3: not a LoRA adapter"):
        base_of(tmp_path)
    card = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "base_model_name_or_path": "its-own"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(card))
    assert base_of(tmp_path) == "its-own"
