from __future__ import annotations

import pytest
import torch

from falcon.errors import UserError
from falcon.generation.completion import Completion, Draws, Sampling, Weights
from falcon.generation.generator import Listener
from falcon.generation.local import LocalGenerator
from falcon.policy.decoding import PASS_TOKENS, batch_of
from falcon.policy.decoding_batch import Prompt, Room
from falcon.policy.policy import Policy
from tests.models import of_task, own_weights

GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=20, batch_size=8)
DRAWN = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=16, batch_size=8)
TEXTS = ("def add(a, b):\n", "Write a Python function named `total`.\n\n", "if x", "print('yes')\n")


def prompts_of(policy: Policy) -> list[list[int]]:
    return [policy.encode(text) for text in TEXTS]


def flat(groups: list[list[Completion]]) -> list[Completion]:
    return [c for group in groups for c in group]


def test_greedy_is_what_the_library_generates(policy: Policy) -> None:
    prompts = prompts_of(policy)
    found = LocalGenerator(policy).generate(prompts, Draws(GREEDY, 1, 0))
    for prompt, (completion,) in zip(prompts, found, strict=True):
        out = policy.model.generate(
            input_ids=torch.tensor([prompt]), do_sample=False, max_new_tokens=20
        )[0].tolist()
        wanted = out[1:] if policy.kind == "seq2seq" else out[len(prompt) :]
        assert list(completion.drawn) == wanted
        assert completion.text == policy.decode(completion.ids)
        assert completion.finished == (completion.end_id is not None)


def test_greedy_without_the_adapter_is_the_bare_backbone(policy: Policy) -> None:
    prompts = prompts_of(policy)
    bare = LocalGenerator(policy).generate(
        prompts, Draws(GREEDY, 1, 0), weights=Weights(use_adapter=False)
    )
    adapted = LocalGenerator(policy).generate(prompts, Draws(GREEDY, 1, 0))
    assert bare != adapted
    with torch.no_grad():
        for parameter in policy.bank.parameters():
            parameter.zero_()
    assert LocalGenerator(policy).generate(prompts, Draws(GREEDY, 1, 0)) == bare


def test_a_sample_is_the_same_whatever_the_batch(policy: Policy) -> None:
    prompts = prompts_of(policy)
    found = [
        LocalGenerator(policy).generate(
            prompts,
            Draws(Sampling(1.0, 0.95, 16, batch_size), 3, 5),
        )
        for batch_size in (3, 6, 64)
    ]
    assert found[0] == found[1] == found[2]
    assert len({c.ids for c in found[0][0]}) == 3


def test_the_seed_decides_the_samples(policy: Policy) -> None:
    prompts = prompts_of(policy)[:2]
    first, again, other = (
        LocalGenerator(policy).generate(prompts, Draws(DRAWN, 2, seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_fast_weights_generate_as_if_they_were_the_meta_weights(policy: Policy) -> None:
    prompts = prompts_of(policy)
    pairs = own_weights(policy, 3)
    tasks = (2, 0, 1, 2)
    together = LocalGenerator(policy).generate(
        prompts, Draws(DRAWN, 2, 4), weights=Weights(pairs, tasks)
    )
    for task in range(3):
        with torch.no_grad():
            for name, pair in of_task(pairs, task).items():
                for meta, value in zip(policy.bank.meta()[name], pair, strict=True):
                    meta.copy_(value)
        alone = LocalGenerator(policy).generate(prompts, Draws(DRAWN, 2, 4))
        for i, owner in enumerate(tasks):
            assert (together[i] == alone[i]) == (owner == task)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_what_a_task_writes_does_not_depend_on_the_tasks_beside_it(
    policy: Policy, samples: int
) -> None:
    """Prompts of one length keep their order: each order of tasks is another layout of rows."""
    shortest = min(map(len, prompts_of(policy)))
    prompts = [p[:shortest] for p in prompts_of(policy)]
    pairs = own_weights(policy, 4)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 0, 3, 1)):
        draws = Draws(DRAWN, samples, 1, streams=order)
        chosen = [prompts[i] for i in order]
        found = LocalGenerator(policy).generate(chosen, draws, weights=Weights(pairs, tasks=order))
        for i, group in zip(order, found, strict=True):
            part = {name: (a[i : i + 1], b[i : i + 1]) for name, (a, b) in pairs.items()}
            alone = LocalGenerator(policy).generate(
                [prompts[i]], Draws(DRAWN, samples, 1, streams=[i]), weights=Weights(part)
            )
            assert group == alone[0]


def test_folded_weights_are_the_same_function_and_leave_the_backbone_alone(
    policy: Policy,
) -> None:
    prompts = prompts_of(policy)
    before = [p.clone() for p in policy.model.parameters()]
    pairs = policy.bank.meta()

    def logits() -> torch.Tensor:
        room = Room(len(prompts), len(prompts), max(len(p) for p in prompts))
        return batch_of(policy, pairs, room).add([Prompt(p, 1) for p in prompts])[1]

    with torch.inference_mode():
        apart = logits()
        with policy.bank.fold(pairs):
            folded = policy.bank.folded
            assert folded
            assert set(folded) == set(policy.bank.names)
            torch.testing.assert_close(logits(), apart)
            for sum_of in folded.values():
                sum_of.zero_()
            assert not torch.allclose(logits(), apart)
        assert torch.equal(logits(), apart)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_prompts_read_in_several_passes_are_read_alike(
    causal: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [p * n for p, n in zip(prompts_of(causal), (5, 1, 3, 2), strict=True)]
    tasks = (2, 0, 1, 2)
    pairs = own_weights(causal, 3)
    batch_of(causal, None, Room(1, 1, 1))
    passes: list[int] = []
    causal.model.register_forward_pre_hook(
        lambda _model, _args, given: passes.append(given["input_ids"].numel()), with_kwargs=True
    )

    def read(most: int) -> list[torch.Tensor]:
        monkeypatch.setitem(PASS_TOKENS, "cpu", most)
        batch = batch_of(causal, pairs, Room(4, 8, max(len(p) for p in prompts)))
        found = [batch.add([Prompt(p, 2, t) for p, t in zip(prompts, tasks, strict=True)])[1]]
        found += [batch.advance(torch.full((8,), token)) for token in (7, 8)]
        return found

    longest = max(len(p) for p in prompts)
    with torch.inference_mode():
        together = read(10_000)
        assert passes[:1] == [4 * longest]
        passes.clear()
        apart = read(longest)
    assert len(passes) > 4
    assert max(passes) == longest
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)


def test_stop_text_ends_a_row(causal: Policy) -> None:
    prompts = prompts_of(causal)
    free = flat(LocalGenerator(causal).generate(prompts, Draws(DRAWN, 2, 0)))
    longest = max(free, key=lambda c: len(c.text))
    stop = longest.text[4:6]
    stopped = flat(
        LocalGenerator(causal).generate(
            prompts,
            Draws(Sampling(1.0, 0.95, 16, 8, (stop,)), 2),
        )
    )
    assert any(stop in c.text for c in stopped)
    for before, after in zip(free, stopped, strict=True):
        if stop not in before.text:
            assert after == before
            continue
        assert before.ids[: len(after.ids)] == after.ids
        assert stop in after.text
        assert stop not in causal.decode(after.ids[:-1])
        assert after.finished
        assert after.end_id is None


def test_stop_text_is_found_across_tokens_and_not_in_the_prompt(causal: Policy) -> None:
    prompt = causal.encode("def add(a, b):\n```")
    free = flat(LocalGenerator(causal).generate([prompt], Draws(DRAWN, 6, 8)))
    one = next(c for c in free if len(c.ids) > 3)
    pieces = [causal.decode([i]) for i in one.ids[:2]]
    stop = pieces[0][-1] + pieces[1][0]
    again = flat(
        LocalGenerator(causal).generate(
            [prompt], Draws(Sampling(1.0, 0.95, 16, 8, (stop, "```")), 6, 8)
        )
    )[free.index(one)]
    assert len(again.ids) == 2
    assert all(len(c.ids) > 0 for c in free)


def test_end_token_is_recorded_and_not_part_of_the_text(policy: Policy) -> None:
    sampling = Sampling(temperature=3.0, top_p=1, max_new_tokens=200, batch_size=64)
    rows = flat(LocalGenerator(policy).generate(prompts_of(policy), Draws(sampling, 6, 0)))
    ended = [c for c in rows if c.end_id is not None]
    assert ended
    for c in ended:
        assert c.end_id in policy.end_ids
        assert c.drawn == (*c.ids, c.end_id)
        assert c.finished
        assert not set(c.ids) & policy.end_ids
    for c in rows:
        if c.end_id is None:
            assert c.drawn == c.ids
            assert len(c.ids) == 200
            assert not c.finished


def test_the_listener_hears_of_every_token_and_completion(policy: Policy) -> None:
    tokens: list[int] = []
    done: dict[tuple[int, int], Completion] = {}
    groups = LocalGenerator(policy).generate(
        prompts_of(policy),
        Draws(Sampling(1.0, 0.95, 16, 4), 2),
        listener=Listener(tokens.append, lambda i, k, c: done.update({(i, k): c})),
    )
    assert sum(tokens) == sum(len(c.drawn) for c in flat(groups))
    assert done == {(i, k): c for i, group in enumerate(groups) for k, c in enumerate(group)}


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_weights_that_overflowed_are_refused(policy: Policy, sampling: Sampling) -> None:
    with torch.no_grad():
        policy.bank.a[0].fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite logits"):
        LocalGenerator(policy).generate(prompts_of(policy), Draws(sampling, 2, 0))


def test_each_prompt_has_its_own_stops(causal: Policy) -> None:
    prompts = prompts_of(causal)
    free = LocalGenerator(causal).generate(prompts, Draws(DRAWN, 2, 6))
    texts = [c.text for group in free for c in group]
    middle = texts[2][len(texts[2]) // 2 :][:2]
    assert middle
    stops = [(), (middle,), (), ("no such text",)]
    found = LocalGenerator(causal).generate(prompts, Draws(DRAWN, 2, 6), stops=stops)
    assert [found[0], found[2], found[3]] == [free[0], free[2], free[3]]
    stopped = found[1][0]
    assert stopped.finished
    assert stopped.text == free[1][0].text[: len(stopped.text)]
    assert middle in stopped.text
    everywhere = Sampling(1.0, 0.95, 16, 8, stop=(middle,))
    assert LocalGenerator(causal).generate(prompts, Draws(everywhere, 2, 6))[1] == found[1]
    own = LocalGenerator(causal).generate(prompts, Draws(everywhere, 2, 6), stops=[()] * 4)
    assert own == free
