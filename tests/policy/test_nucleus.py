from __future__ import annotations

import torch

from falcon.policy.nucleus import log_prob, nucleus, pick

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def cut(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """The cut distribution, token by token from the definition."""
    p = torch.softmax(logits / temperature, -1)
    order = p.argsort(descending=True).tolist()
    kept, mass = [], 0.0
    for token in order:
        if mass >= top_p:
            break
        kept.append(token)
        mass += float(p[token])
    q = torch.zeros_like(p)
    q[kept] = p[kept] / p[kept].sum()
    return q


def test_draw_has_the_frequencies_of_the_cut_distribution() -> None:
    n = 20_000
    uniforms = (torch.arange(n) + 0.5) / n
    tokens = pick(*nucleus(LOGITS.expand(n, -1), 0.7, 0.9), uniforms)
    shares = torch.bincount(tokens, minlength=6) / n
    wanted = cut(LOGITS, 0.7, 0.9)
    torch.testing.assert_close(shares, wanted, rtol=0, atol=2 / n * 6)
    assert (wanted == 0).sum() >= 2
    assert (shares[wanted == 0] == 0).all()


def test_draw_stays_inside_at_the_last_number_below_one() -> None:
    last = torch.nextafter(torch.tensor([1.0]), torch.tensor([0.0]))
    inside = torch.nonzero(cut(LOGITS, 1.0, 0.8)).flatten().tolist()
    assert pick(*nucleus(LOGITS.unsqueeze(0), 1.0, 0.8), last).item() in inside
    assert pick(*nucleus(LOGITS.unsqueeze(0), 1.0, 0.8), torch.zeros(1)).item() == 0


def test_log_prob_sums_to_one_over_the_nucleus() -> None:
    tokens = torch.arange(6)
    found = log_prob(LOGITS.expand(6, -1), tokens, 0.7, 0.9)
    wanted = cut(LOGITS, 0.7, 0.9)
    inside = wanted > 0
    assert abs(float(found[inside].exp().sum()) - 1) < 1e-6
    torch.testing.assert_close(found[inside], wanted[inside].log(), rtol=0, atol=1e-6)


def test_a_token_outside_has_its_untruncated_probability() -> None:
    found = log_prob(LOGITS.unsqueeze(0), torch.tensor([5]), 0.7, 0.9)
    wanted = torch.log_softmax(LOGITS / 0.7, -1)[5:]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_top_p_of_one_is_log_softmax() -> None:
    logits = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([0, 299, 17, 3, 150])
    wanted = torch.log_softmax(logits / 0.6, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(log_prob(logits, tokens, 0.6, 1.0), wanted, rtol=0, atol=1e-6)


def test_wide_nucleus_is_not_cut_at_the_first_tokens_looked_at() -> None:
    """A flat row needs far more than 64 tokens to reach 0.9, beside one that needs one."""
    flat = torch.linspace(0, 0.01, 500)
    peaked = torch.zeros(500)
    peaked[7] = 30.0
    values, indices = nucleus(torch.stack([flat, peaked]), 1.0, 0.9)
    kept = [set(i[torch.isfinite(v)].tolist()) for v, i in zip(values, indices, strict=True)]
    assert kept[0] == set(torch.nonzero(cut(flat, 1.0, 0.9)).flatten().tolist())
    assert len(kept[0]) > 440
    assert kept[1] == {7}
    found = log_prob(flat.expand(500, -1), torch.arange(500), 1.0, 0.9)
    inside = torch.tensor(sorted(kept[0]))
    assert abs(float(found[inside].exp().sum()) - 1) < 1e-4


def test_gradient_is_that_of_the_cut_distribution() -> None:
    """d log q / d logits = onehot - q, and nothing outside the nucleus."""
    logits = LOGITS.clone().requires_grad_()
    log_prob(logits.unsqueeze(0), torch.tensor([1]), 1.0, 0.8).sum().backward()
    wanted = torch.nn.functional.one_hot(torch.tensor(1), 6) - cut(LOGITS, 1.0, 0.8)
    torch.testing.assert_close(logits.grad, wanted, rtol=0, atol=1e-6)


def test_rows_with_a_wide_nucleus_have_the_probabilities_and_gradients_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    flat = torch.randn(140, 500, generator=generator) * 0.1
    peaked = torch.randn(3, 500, generator=generator) * 9
    logits = torch.cat([peaked, flat]).requires_grad_()
    tokens = logits.detach().topk(5, dim=-1).indices[:, 4]
    found = log_prob(logits, tokens, 0.7, 0.9)
    shares = [cut(row.detach(), 0.7, 0.9)[t] for row, t in zip(logits, tokens, strict=True)]
    inside = torch.stack(shares) > 0
    assert 0 < int((~inside).sum()) <= 3
    torch.testing.assert_close(
        found.detach()[inside], torch.stack(shares)[inside].log(), rtol=1e-5, atol=1e-5
    )
    (gradient,) = torch.autograd.grad(found[inside].sum(), logits)
    # d log q(t) / d z is (onehot(t) - q) / T over the nucleus.
    for row in inside.nonzero().flatten().tolist():
        wanted = -cut(logits[row].detach(), 0.7, 0.9)
        wanted[tokens[row]] += 1
        torch.testing.assert_close(gradient[row], wanted / 0.7, rtol=1e-4, atol=1e-6)
