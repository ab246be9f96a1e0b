from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from falcon.errors import UserError
from falcon.feedback import ERROR_TYPES, make_judge, uniform_error_share
from falcon.generation.completion import Completion, Draws, Sampling
from falcon.generation.local import LocalGenerator
from falcon.memory import HashEncoder, LongTermMemory, Origin
from falcon.monitor import SilentMonitor
from falcon.policy.policy import Policy
from falcon.rollout import (
    Draft,
    Examiner,
    Solver,
    attempt_row,
    outcome_metrics,
    roll_out,
    spread,
)
from falcon.rollout.records import Attempt
from falcon.sandbox import Sandbox
from falcon.sandbox.verdict import Outcome
from tests.training.setups import (
    PROBLEMS,
    attempts_of,
    demonstration,
    make_problem,
    make_settings,
)


@pytest.fixture
def solver(causal: Policy, tiny: dict[str, Path]) -> Iterator[Solver]:
    settings = make_settings(tiny["causal"])
    with Sandbox(settings) as sandbox:
        yield Solver(settings, LocalGenerator(causal), sandbox, make_judge(settings.feedback))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LongTermMemory]:
    with LongTermMemory.open(tmp_path / "memory", HashEncoder(), writable=True) as opened:
        opened.append([demonstration(p) for p in PROBLEMS[:3]])
        yield opened


def test_programs_are_judged_with_their_own_problem(causal: Policy, tiny: dict[str, Path]) -> None:
    settings = make_settings(tiny["causal"])
    problems = [make_problem(1), make_problem(2)]
    texts = [
        [f"def {p.entry_point}(x):\n    return x + {n}\n```\nDone." for n in (1, 2)]
        for p in problems
    ]
    texts[1].append(f"def {problems[1].entry_point}(x):\n    return nope\n")
    drafts = [
        [
            Draft.of(p, i, ids, Completion(tuple(causal.encode(text)), text, "end"), causal.form)
            for i, text in enumerate(row)
        ]
        for p, ids, row in zip(problems, [(1, 2), (3,)], texts, strict=True)
    ]
    with Sandbox(settings) as sandbox:
        examiner = Examiner(settings.feedback, sandbox, make_judge(settings.feedback))
        groups = examiner.examine(drafts, uniform_error_share(), SilentMonitor())
    found = [[a.verdict.outcome for a in group] for group in groups]
    assert found == [
        [Outcome.PASS, Outcome.WRONG_ANSWER],
        [Outcome.WRONG_ANSWER, Outcome.PASS, Outcome.RUNTIME_ERROR],
    ]
    crash = groups[1][2]
    assert (crash.feedback.error_type, crash.feedback.error_line) == ("name", 2)
    assert crash.feedback.value("negative") == pytest.approx(-1 / 3 / len(ERROR_TYPES))
    assert crash.test_reward == pytest.approx(-0.6)
    assert groups[0][0].prompt_ids == (1, 2)
    assert groups[0][0].program == texts[0][0].split("```")[0]
    assert [a.sample for a in groups[1]] == [0, 1, 2]
    experience = crash.experience(Origin(stage="train", step=4))
    assert experience.problem_id == problems[1].id
    assert experience.score == crash.reward
    row = attempt_row(crash)
    assert (row["error_type"], row["n_fail"], row["outcome"]) == ("name", 3, "runtime_error")
    times = examiner.clock.read()
    assert times["time/execute"] > 0
    assert examiner.clock.read() == {}


def test_recall_is_never_from_the_problem_itself(solver: Solver, memory: LongTermMemory) -> None:
    for phase in ("train", "eval"):
        for problem in PROBLEMS[:3]:
            text = solver.recall(problem, memory, phase)  # type: ignore[arg-type]
            assert "def " in text
            assert problem.entry_point not in text
    encode = solver.generator.prompts.encode
    longer = encode(PROBLEMS[0], solver.recall(PROBLEMS[0], memory, "train"))
    assert len(longer) > len(encode(PROBLEMS[0]))


@pytest.mark.parametrize(
    ("at", "train", "evaluation"),
    [("train", True, False), ("eval", False, True), ("both", True, True), ("off", False, False)],
)
def test_recall_enters_where_it_is_set(
    causal: Policy,
    tiny: dict[str, Path],
    memory: LongTermMemory,
    at: str,
    train: bool,
    evaluation: bool,
) -> None:
    settings = make_settings(tiny["causal"], memory={"at": at})
    with Sandbox(settings) as sandbox:
        solver = Solver(settings, LocalGenerator(causal), sandbox, make_judge(settings.feedback))
        assert bool(solver.recall(PROBLEMS[0], memory, "train")) == train
        assert bool(solver.recall(PROBLEMS[0], memory, "eval")) == evaluation
        assert solver.recall(PROBLEMS[0], None, "train") == ""


def test_attempts_follow_prompts_and_seed(solver: Solver, memory: LongTermMemory) -> None:
    def texts(seed: int) -> list[list[str]]:
        draws = Draws(Sampling.of(solver.settings.sampling), 2, seed)
        groups = solver.attempt(PROBLEMS[:2], draws, memory=memory, phase="train")
        for problem, group in zip(PROBLEMS[:2], groups, strict=True):
            assert [a.problem.id for a in group] == [problem.id] * 2
        return [[a.completion.text for a in group] for group in groups]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert len(memory) == 3


def test_faults_of_ours_are_left_out_of_the_means(causal: Policy) -> None:
    good = ("def f(x):\n    return x\n", "pass", 0)
    attempts = attempts_of(causal, [good, ("x\n", "NameError", 1)])
    faults = attempts_of(causal, [(good[0], "fault", 0)] * 2)
    found, alone = outcome_metrics([*attempts, *faults]), outcome_metrics(attempts)
    assert found["verdict/fault"] == 0.5
    assert alone["verdict/fault"] == 0
    assert {k: v for k, v in found.items() if k != "verdict/fault"} == {
        k: v for k, v in alone.items() if k != "verdict/fault"
    }
    assert (found["verdict/pass"], found["verdict/runtime"]) == (0.5, 0.5)
    assert found["reward/tests"] == pytest.approx((1 - 0.6) / 2)


def test_answers_that_the_length_limit_cut_are_a_share(causal: Policy) -> None:
    good = ("def f(x):\n    return x\n", "pass", 0)
    whole, other, third, fault = attempts_of(causal, [good, good, good, ("x", "fault", 0)])
    cut = replace(other, completion=replace(other.completion, end="length"))
    assert outcome_metrics([whole, cut, third, fault])["truncated"] == pytest.approx(1 / 3)
    assert outcome_metrics([])["truncated"] == 0


def test_ways_to_please_are_counted_apart(causal: Policy) -> None:
    padded = "def f(x):\n    return x\n" + "    1\n" * 6
    stuffed = "# why\n" * 12 + "def f(x):\n    return x\n"
    spying = "import gc\n\n\ndef f(x):\n    return gc.get_objects()\n"
    rows = [(text, "1/3", 0) for text in ("def f(x):\n    return x\n", padded, stuffed, spying)]
    found = outcome_metrics(attempts_of(causal, rows))
    shares = {name: value for name, value in found.items() if name.startswith("hacking/")}
    assert shares == {
        "hacking/tamper": 0.25,
        "hacking/padding": 0.25,
        "hacking/comments": 0.25,
        "hacking/copied_tests": 0.0,
        "hacking/example_table": 0.0,
    }
    assert found["tamper_rate"] == 0.75


def test_a_check_with_the_examples_is_no_tampering(causal: Policy) -> None:
    honest, spying = attempts_of(causal, [("def f(x):\n    return x\n", "1/3", 0)] * 2)

    def showing(attempt: Attempt, *signs: str) -> Attempt:
        feedback = attempt.feedback.model_copy(update={"tripwires": signs})
        return replace(attempt, feedback=feedback)

    attempts = [showing(honest, "visible-tests"), showing(spying, "frames", "visible-tests")]
    found = outcome_metrics(attempts)
    assert (found["tamper_rate"], found["hacking/copied_tests"]) == (0.5, 1.0)
    assert [row["tripped"] for row in map(attempt_row, attempts)] == [False, True]


def test_spread_is_even_and_in_order() -> None:
    numbers = [make_problem(i) for i in range(10)]
    assert [p.id for p in spread(numbers, 5)] == [p.id for p in numbers[::2]]
    assert spread(numbers, 0) == spread(numbers, 10) == spread(numbers, 99) == numbers


def test_only_chat_models_stop_at_the_closing_fence(chat: Policy, causal: Policy) -> None:
    assert chat.form.stop == ("\n```",)
    assert causal.form.stop == ()


def test_roll_out_is_of_the_bare_backbone_on_training_problems(
    tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    settings = make_settings(tiny["causal"], rollout={"samples": 2})
    result = roll_out(settings, PROBLEMS, memory=memory, monitor=SilentMonitor())
    assert list(result.frame["problem_id"]) == [p.id for p in PROBLEMS[:3] for _ in range(2)]
    assert {e.problem_id for e in result.experiences} == {p.id for p in PROBLEMS[:3]}
    assert {e.origin.policy for e in result.experiences} == {"base"}
    assert result.metrics["verdict/fault"] == 0
    again = roll_out(settings, PROBLEMS, memory=memory, monitor=SilentMonitor())
    assert list(again.frame["program"]) == list(result.frame["program"])
    with pytest.raises(UserError, match="No problem of split train or demo"):
        roll_out(settings, PROBLEMS[3:], memory=memory, monitor=SilentMonitor())


def test_roll_out_is_of_the_adapter_that_training_starts_from(
    tiny: dict[str, Path], memory: LongTermMemory, tmp_path: Path
) -> None:
    settings = make_settings(tiny["causal"], rollout={"samples": 1})
    policy = Policy.load(settings.policy, seed=3)
    with torch.no_grad():
        for tensor in policy.bank.parameters():
            tensor.fill_(0.5)
    policy.save(tmp_path)
    bare = roll_out(settings, PROBLEMS, memory=memory, monitor=SilentMonitor())
    result = roll_out(settings, PROBLEMS, memory=memory, monitor=SilentMonitor(), start=tmp_path)
    assert list(result.frame["program"]) != list(bare.frame["program"])
    assert {e.origin.policy for e in result.experiences} == {policy.digest()}
