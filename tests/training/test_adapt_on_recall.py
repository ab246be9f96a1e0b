"""Recall into the weights: what is drawn for a task, the step that is made on it, and who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from falcon.config import Settings
from falcon.memory import Experience, HashEncoder, LongTermMemory
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from falcon.rollout import Solver
from falcon.training.adapt_on_recall import adapted_weights, recalled_samples
from falcon.training.batches.items import LOSSES
from falcon.training.inner_loop import tensors
from tests.training.setups import (
    demonstration,
    make_problem,
    make_settings,
    run_training,
    verdict_of,
)
from tests.training.test_inner_loop import distance

ALPHA = 0.5
OPEN = {"into": "weights", "top_k": 2}


def settings_of(tiny: dict[str, Path], **memory: Any) -> Settings:
    meta = {"inner_lr": ALPHA, "inner_steps": 1}
    return make_settings(tiny["causal"], memory=OPEN | memory, train={"meta": meta})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LongTermMemory]:
    with LongTermMemory.open(tmp_path / "memory", HashEncoder(), writable=True) as opened:
        opened.append([demonstration(make_problem(n)) for n in range(1, 5)])
        yield opened


def failed(number: int) -> Experience:
    passed = demonstration(make_problem(number))
    return passed.model_copy(
        update={"program": "def f():\n    return nope\n", "verdict": verdict_of("NameError", 2)}
    )


def programs(policy: Policy, samples: Any) -> list[str]:
    return [policy.decode(s.completion) for s in samples]


def test_only_programs_that_passed_one_a_task_and_none_of_the_task_itself(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    again = demonstration(make_problem(2)).model_copy(update={"program": "def other(): pass\n"})
    memory.append([again, failed(7), failed(8)])
    settings = settings_of(tiny, top_k=9)
    samples = recalled_samples(causal, settings, make_problem(3), memory, "train")
    texts = programs(causal, samples)
    wanted = {f"def {make_problem(n).entry_point}(x):" for n in (1, 2, 4)}
    assert {t.splitlines()[0] for t in texts} == wanted
    assert len(texts) == len(wanted)
    assert all(s.rows[LOSSES.index("sl")].min() == 1 and not s.on_policy for s in samples)
    assert all(not s.rows[1:].any() for s in samples)


def test_the_same_statement_under_another_name_is_left_out_of_an_evaluation(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    twin = make_problem(3, id="other/name")
    settings = settings_of(tiny, top_k=1)
    (near,) = recalled_samples(causal, settings, twin, memory, "train")
    assert "return x + 3" in causal.decode(near.completion)
    (far,) = recalled_samples(causal, settings, twin, memory, "eval")
    assert "return x + 3" not in causal.decode(far.completion)


@pytest.mark.parametrize("form", ["causal", "chat", "seq2seq"])
def test_a_recalled_program_answers_the_prompt_that_its_task_was_put_in(
    tiny: dict[str, Path], form: str
) -> None:
    from tests.models import load_tiny

    text = load_tiny(tiny[form]).prompts.text
    function = make_problem(1, examples="assert total_1(1) == 2")
    started = make_problem(4, starter="def count_4(x):\n")
    stdin = make_problem(2, entry_point="", tests={"kind": "stdin", "runs": [{"expected": "1"}]})
    for problem in (function, started, stdin, make_problem(3)):
        experience = demonstration(problem)
        assert text(experience.problem()) == text(problem)
    assert function.examples in text(demonstration(function).problem())


def by_hand(policy: Policy, settings: Settings, numbers: tuple[int, ...]) -> Pairs:
    """theta - alpha * gradient of the mean cross-entropy of the references, by transformers' logits."""
    pairs = {
        n: (a.detach().clone().requires_grad_(), b.detach().clone().requires_grad_())
        for n, (a, b) in policy.bank.meta().items()
    }
    losses = []
    for number in numbers:
        problem = make_problem(number)
        prompt = policy.prompts.encode(problem)
        target = policy.encode(policy.form.target(problem, problem.solutions[0]))
        ids = torch.tensor([[*prompt, *target, policy.tokenizer.eos_token_id]])
        with policy.bank.use(pairs):
            logits = policy.model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        losses.append(
            torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :], reduction="none")
        )
    flat = tensors(pairs)
    gradients = torch.autograd.grad(torch.cat(losses).mean(), flat)
    alpha = settings.train.meta.inner_lr
    moved = [t.detach() - alpha * g for t, g in zip(flat, gradients, strict=True)]
    return {n: (moved[2 * i], moved[2 * i + 1]) for i, n in enumerate(pairs)}


def test_the_step_is_that_of_the_supervised_loss_of_what_is_recalled(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    settings = settings_of(tiny, top_k=4)
    problems = [make_problem(3, "test"), make_problem(9, "test")]
    before = [t.detach().clone() for t in causal.bank.parameters()]
    adapted = adapted_weights(causal, settings, problems, memory, "eval")
    assert adapted is not None
    for place, numbers in enumerate(((1, 2, 4), (1, 2, 3, 4))):
        wanted = tensors(by_hand(causal, settings, numbers))
        assert distance([t[place] for t in tensors(adapted)], wanted) < 1e-6
        assert distance(wanted, tensors(causal.bank.meta())) > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(before, causal.bank.parameters(), strict=True))


def test_neither_tests_nor_solution_of_a_task_change_its_weights(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    settings = settings_of(tiny)
    one_task = make_problem(9, "test")
    calls = [{"args": [1], "expected": 99}]
    other = make_problem(
        9,
        "test",
        solutions=["def count_9(x):\n    return 99\n"],
        tests={"kind": "call", "entry_point": "count_9", "calls": calls},
    )
    one, two = (adapted_weights(causal, settings, [p], memory, "eval") for p in (one_task, other))
    assert one is not None
    assert two is not None
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))


def test_tasks_in_parts_adapt_as_all_at_once(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    settings = settings_of(tiny)
    problems = [make_problem(n, "test") for n in (3, 9, 11)]
    at_once = adapted_weights(causal, settings, problems, memory, "eval")
    parts = adapted_weights(causal, settings, problems, memory, "eval", at_once=2)
    assert at_once is not None
    assert parts is not None
    assert tensors(at_once)[0].shape[0] == 3
    assert distance(tensors(parts), tensors(at_once)) < 1e-6


def test_a_task_for_which_nothing_is_near_keeps_theta(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    adapted = adapted_weights(
        causal, settings_of(tiny, min_similarity=1.0), [make_problem(9)], memory, "eval"
    )
    assert adapted is not None
    meta = tensors(causal.bank.meta())
    assert all(torch.equal(t[0], m) for t, m in zip(tensors(adapted), meta, strict=True))


@pytest.mark.parametrize(
    "changes", [{"into": "prompt"}, {"at": "train"}, {"at": "off"}, {"top_k": 0}]
)
def test_without_recall_into_the_weights_there_are_none(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory, changes: dict[str, Any]
) -> None:
    settings = settings_of(tiny, **changes)
    assert adapted_weights(causal, settings, [make_problem(9)], memory, "eval") is None
    assert adapted_weights(causal, settings_of(tiny), [make_problem(9)], None, "eval") is None


def test_second_order_settings_adapt_without_a_graph(
    causal: Policy, tiny: dict[str, Path], memory: LongTermMemory
) -> None:
    first, second = (
        make_settings(
            tiny["causal"], memory=OPEN, train={"meta": {"order": order, "inner_lr": ALPHA}}
        )
        for order in (1, 2)
    )
    one, two = (
        adapted_weights(causal, s, [make_problem(9)], memory, "eval") for s in (first, second)
    )
    assert one is not None
    assert two is not None
    assert not any(t.requires_grad for t in tensors(two))
    assert distance(tensors(two), tensors(one)) < 1e-6


def test_training_adapts_to_what_is_recalled_and_not_to_the_reference(
    tiny: dict[str, Path], tmp_path: Path
) -> None:
    """With another reference of the second task the first inner loss stays; the outer one does not."""

    def first_step(name: str, **changes: Any) -> dict[str, float]:
        from falcon.monitor import SilentMonitor

        monitor = SilentMonitor()
        problems = (make_problem(1), make_problem(2, "demo", **changes))
        meta = {"steps": 1, "validate_every": 0}
        settings = make_settings(tiny["causal"], memory=OPEN, train=meta)
        run_training(tmp_path / name, settings, problems=problems, monitor=monitor)
        return monitor.logged[0][1]

    one = first_step("one")
    two = first_step("two", solutions=["def double_2(x):\n    y = x\n    return y + 2\n"])
    assert one["loss_inner/sl"] == two["loss_inner/sl"] > 0
    assert one["loss/sl"] != two["loss/sl"]


def test_validation_is_under_adapted_weights(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    attempt = Solver.attempt

    def watched(self: Solver, *args: Any, **how: Any) -> Any:
        groups = attempt(self, *args, **how)
        if how["phase"] == "eval":
            written.extend(a.completion.text for group in groups for a in group)
        return groups

    monkeypatch.setattr(Solver, "attempt", watched)
    for name, memory in (("adapted", OPEN), ("plain", OPEN | {"at": "off"})):
        # theta hardly moves, and an inner step of this size changes what is written
        train = {"steps": 1, "learning_rate": 1e-12, "meta": {"inner_lr": 20.0, "order": 0}}
        run_training(tmp_path / name, make_settings(tiny["causal"], memory=memory, train=train))
    adapted, plain = written
    assert adapted != plain
