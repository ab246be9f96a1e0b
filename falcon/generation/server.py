"""Server: completions by any server of OpenAI's interface (vLLM, SGLang, llama.cpp, others).

Every sample is a request of its own with a seed of its own, so it depends neither on how many there
are nor on what stands beside it, where the server keeps its seeds. Servers read an equal prompt
once. Prompts go as token ids where the server takes them, else as their text; without a tokenizer
here, as a user turn to its chat endpoint. Log-probabilities are kept only where they are those at
temperature 1 without a nucleus; training computes its own anyway.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.generation.completion import META_WEIGHTS, Completion, Draws, End, Weights
from falcon.generation.connection import Connection, Unanswered
from falcon.generation.dialect import Dialect, recognise
from falcon.generation.generator import SILENT, Listener
from falcon.generation.lora_endpoint import on_server, written
from falcon.prompts.characters import Characters

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy
    from falcon.prompts.encode import PromptEncoder
    from falcon.prompts.forms import Form

TRIES = 3
"""How often a sample is asked for whose answer holds none."""


@dataclass(frozen=True)
class _Asked:
    """One sample: the model at the server, the prompt, and what ends it."""

    model: str
    prompt: Sequence[int]
    stop: tuple[str, ...]
    seed: int


class ServerGenerator:
    """Writes with ``model`` at a server.

    ``policy`` is the same model in this process, whose adapters are put on the server (vLLM);
    without one the server's own weights write, or those of a folder (:meth:`adopt`). Raises
    UserError where no server answers.
    """

    def __init__(
        self, server: Connection, model: str, prompts: PromptEncoder, policy: Policy | None = None
    ) -> None:
        self.server = server
        self.model = model
        self.prompts = prompts
        self.policy = policy
        self.dialect: Dialect = recognise(server)
        self._adopted: Path | None = None

    def ask(self, form: Form) -> None:
        """From now on problems are put to the model in this form."""
        self.prompts = replace(self.prompts, form=form)

    def adopt(self, folder: Path | None) -> None:
        """From now on the adapter in ``folder`` is the meta weights (None: there is none)."""
        self._adopted = folder

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Draws,
        *,
        weights: Weights = META_WEIGHTS,
        stops: Sequence[tuple[str, ...]] = (),
        listener: Listener = SILENT,
    ) -> list[list[Completion]]:
        """``draws.samples`` completions for each prompt (token ids), in order.

        Raises UserError where the server refuses a request, and where samples are missing: it
        names how many.
        """
        places = [(i, k) for i in range(len(prompts)) for k in range(draws.samples)]
        done: dict[tuple[int, int], Completion] = {}
        faults: list[Exception] = []

        def work(asked: _Asked) -> Completion | None:
            try:
                return None if faults else self._one(asked, draws)
            except Exception as fault:  # the first one ends it all
                faults.append(fault)
                raise

        at_once = min(draws.sampling.batch_size, self.dialect.at_once or draws.sampling.batch_size)
        with self._models(weights, len(prompts)) as models, ThreadPoolExecutor(at_once) as pool:
            own = [tuple(each) for each in stops] or [draws.sampling.stop] * len(prompts)
            asked = {
                pool.submit(work, _Asked(models[i], prompts[i], own[i], _seed(draws, i, k))): (i, k)
                for i, k in places
            }
            try:
                for future in as_completed(asked):
                    if (completion := future.result()) is not None:
                        done[asked[future]] = completion
                        listener.on_tokens(completion.tokens + (completion.end == "end"))
                        listener.on_completion(*asked[future], completion)
            except Unanswered as fault:
                raise UserError(
                    f"{self.server.shown}: {len(places) - len(done)} of {len(places)} samples are "
                    f"missing: {fault}.",
                    hint="Look at the server's log, then give the same command again.",
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)
        return [[done[i, k] for k in range(draws.samples)] for i in range(len(prompts))]

    def _one(self, asked: _Asked, draws: Draws) -> Completion:
        """One sample, asked for again where the answer holds none. Raises Unanswered."""
        path, body = self._request(asked, draws)
        for left in reversed(range(TRIES)):
            answer = self.server.post(path, body)
            try:
                return self._completion(answer, asked, draws)
            except Unanswered:
                if not left:
                    raise
                time.sleep(0.5 * (TRIES - left))
        raise AssertionError("unreachable")

    def _request(self, asked: _Asked, draws: Draws) -> tuple[str, dict[str, Any]]:
        """The path and the body of a request for one sample."""
        dialect, tokenizer = self.dialect, self.prompts.tokenizer
        body = {"model": asked.model, **dialect.fields(draws.sampling, asked.stop, asked.seed)}
        if isinstance(tokenizer, Characters):
            body["messages"] = [{"role": "user", "content": tokenizer.decode(asked.prompt)}]
            return "/v1/chat/completions", body | ({"logprobs": True} if draws.log_probs else {})
        if draws.log_probs:
            body["logprobs"] = 1
        ids = list(asked.prompt)
        body["prompt"] = ids if dialect.reads_ids else _text(tokenizer, ids)
        return "/v1/completions", body | dict(dialect.of_text)

    def _completion(self, answer: Any, asked: _Asked, draws: Draws) -> Completion:
        """The sample in an answer. Raises Unanswered where there is none."""
        try:
            choice = answer["choices"][0]
            text = choice["text"] if "text" in choice else choice["message"]["content"]
            finish = choice["finish_reason"]
            used = (answer.get("usage") or {}).get("completion_tokens")
        except (LookupError, TypeError, AttributeError):
            raise Unanswered("an answer without a choice") from None
        ids = choice.get("token_ids")
        if not isinstance(text, str) or finish not in ("stop", "length"):
            raise Unanswered(f"an answer that ended by `{finish}`")
        if not (text or ids or used):
            raise Unanswered("an empty answer")
        reason = choice.get("stop_reason", choice.get("matched_stop"))
        stopped = isinstance(reason, str) or any(stop in text for stop in asked.stop)
        end: End = "stop" if stopped else "length" if finish == "length" else "end"
        tokenizer = self.prompts.tokenizer
        here = not isinstance(tokenizer, Characters)
        end_id = count = None
        if isinstance(ids, list) and ids:
            if end == "end":
                *ids, end_id = ids
            if here:
                text = _decoded(tokenizer, ids)
        else:
            count = used - (end == "end") if isinstance(used, int) and used else None
            if here:  # the text's tokens, which may be others than those that were drawn
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                end_id = tokenizer.eos_token_id if end == "end" else None
        made = Completion(tuple(ids or ()), text, end, end_id, count=count)
        known = self.dialect.raw_log_probs or (
            draws.sampling.temperature == draws.sampling.top_p == 1
        )
        found = _log_probs(choice) if draws.log_probs and known else ()
        same = len(found) == len(made.drawn)
        return Completion(made.ids, text, end, end_id, found if same else (), count)

    @contextmanager
    def _models(self, weights: Weights, prompts: int) -> Iterator[list[str]]:
        """The name at the server of the weights that write each prompt."""
        if weights.fast:
            tasks = weights.tasks or range(prompts)
            own = sorted(set(tasks))
            assert self.policy is not None, "fast weights are those of a policy"
            with (
                written(self.policy, [_of_task(weights.fast, task) for task in own]) as folders,
                on_server(self.server, folders) as names,
            ):
                name = dict(zip(own, names, strict=True))
                yield [name[task] for task in tasks]
        elif weights.use_adapter and self.policy is not None:
            with (
                written(self.policy, [self.policy.bank.meta()]) as folders,
                on_server(self.server, folders) as names,
            ):
                yield names * prompts
        elif weights.use_adapter and self._adopted is not None:
            with on_server(self.server, [self._adopted]) as names:
                yield names * prompts
        else:
            yield [self.model] * prompts


def _seed(draws: Draws, prompt: int, sample: int) -> int:
    # 31 bits: the most that every server takes.
    numbers = f"{draws.seed}/{draws.stream(prompt)}/{sample}"
    return int.from_bytes(hashlib.sha256(numbers.encode()).digest()[:4]) >> 1


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    keep = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    return str(tokenizer.decode(list(ids), **keep))


def _text(tokenizer: Any, ids: list[int]) -> str:
    """A prompt's text, without the begin token where the server's tokenizer puts it there."""
    first = tokenizer.bos_token_id
    if first is not None and ids[:1] == [first] == tokenizer("a")["input_ids"][:1]:
        ids = ids[1:]
    return _decoded(tokenizer, ids)


def _of_task(pairs: Pairs, task: int) -> Pairs:
    return {name: (a[task], b[task]) for name, (a, b) in pairs.items()}


def _log_probs(choice: dict[str, Any]) -> tuple[float, ...]:
    """The log-probability of each token of a choice, or nothing where they are not whole."""
    found = choice.get("logprobs") or {}
    rows = found.get("token_logprobs")
    if rows is None:
        rows = [row.get("logprob") for row in found.get("content") or ()]
    return tuple(rows) if all(isinstance(value, float | int) for value in rows) else ()
