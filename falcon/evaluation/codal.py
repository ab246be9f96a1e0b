"""CODAL-Bench: answers to instructions, marked by a judge from 1 to 10 beside a reference.

A score is the mean mark of a preference; the total is the mean of the preferences. Marks of
different judges do not compare, so the judge's name and version are stored with every score. An
answer of the judge without a mark is a fault: it is counted and left out. The benchmark's own
script counts it as 0, as ``faults_are_zero`` does.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.critics import Critic
from falcon.errors import CriticFault, UserError
from falcon.evaluation.chunks import ChunkStore, Row, digest
from falcon.evaluation.codal_prompts import VERSION, question_of, rating_of, task_of
from falcon.evaluation.intervals import Interval, bootstrap, mean_of_means
from falcon.files import write_whole
from falcon.problems.codal import PREFERENCES, Instruction

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import PolicySettings
    from falcon.generation.generator import Generator
    from falcon.monitor import Monitor
    from falcon.prompts.encode import PromptEncoder

MAX_NEW_TOKENS = 1024
_CHUNK = 8  # instructions written, or judged, between two saves
RESPONSES, SCORES = "responses.parquet", "scores.json"


@dataclass(frozen=True)
class Plan:
    """The instructions and the model under test. ``adapter``: a PEFT folder, with its digest."""

    policy: PolicySettings
    instructions: tuple[Instruction, ...]
    adapter: Path | None = None
    adapter_digest: str = ""
    max_new_tokens: int = MAX_NEW_TOKENS
    batch_size: int = 8


def spread_evenly(instructions: Sequence[Instruction], each: int) -> list[Instruction]:
    """The first ``each`` instructions of every preference (0: all), in their order."""
    counts: dict[str, int] = {}
    kept = []
    for instruction in instructions:
        counts[instruction.preference] = counts.get(instruction.preference, 0) + 1
        if not each or counts[instruction.preference] <= each:
            kept.append(instruction)
    return kept


def references_of(instructions: Sequence[Instruction], model: str) -> tuple[str, dict[str, str]]:
    """The reference model and its response to each instruction by id; ``model`` "": the only one.
    Raises UserError if there are several, and if it lacks a response."""
    models = sorted({name for each in instructions for name in each.references})
    if not model and len(models) != 1:
        raise UserError(
            f"references of {len(models)} models: {', '.join(models) or 'none'}.",
            hint="Name one with --reference.",
        )
    chosen = model or models[0]
    lacking = [each.id for each in instructions if chosen not in each.references]
    if lacking:
        raise UserError(
            f"no response of `{chosen}` to {lacking[0]} and {len(lacking) - 1} more.",
            hint=f"The set has references of: {', '.join(models) or 'none'}.",
        )
    return chosen, {each.id: each.references[chosen] for each in instructions}


def respond(plan: Plan, work: Path, monitor: Monitor) -> list[Row]:
    """Greedy responses, one row an instruction. Finished ones are kept in ``work``, so that an
    interrupted run goes on with the rest. Raises UserError for a model that is absent."""
    parts = [plan.instructions[i : i + _CHUNK] for i in range(0, len(plan.instructions), _CHUNK)]
    basis = [VERSION, plan.policy.model_dump(mode="json"), plan.adapter_digest, plan.max_new_tokens]
    keys = [digest([basis, [[p.id, p.preference, p.text] for p in part]]) for part in parts]
    store = ChunkStore(work)
    missing = [(k, part) for k, part in zip(keys, parts, strict=True) if k not in store]
    if missing:
        from falcon.generation.make import open_generator

        generator, take_adapter = open_generator(plan.policy)
        if plan.adapter is not None:
            take_adapter(plan.adapter)
        with monitor.progress("respond", sum(len(part) for _, part in missing)) as bar:
            for key, part in missing:
                store.write(key, _written(generator, plan, part))
                bar.advance(len(part))
    return [row for key in keys for row in store.read(key)]


def _written(generator: Generator, plan: Plan, part: Sequence[Instruction]) -> list[Row]:
    from falcon.generation.completion import Draws, Sampling, Weights

    encoder = generator.prompts
    texts = [_prompt(encoder, each) for each in part]
    prompts = [encoder.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    sampling = Sampling(0.0, 1.0, plan.max_new_tokens, plan.batch_size)
    weights = Weights(use_adapter=plan.adapter is not None)
    rows = generator.generate(prompts, Draws(sampling), weights=weights)
    return [
        {
            "id": each.id,
            "preference": each.preference,
            "instruction": each.text,
            "response": completion.text,
            "finished": completion.finished,
        }
        for each, (completion,) in zip(part, rows, strict=True)
    ]


def _prompt(encoder: PromptEncoder, instruction: Instruction) -> str:
    task = task_of(instruction.preference, instruction.text)
    if not encoder.form.chat:
        return f"{task}\n\n"
    # An empty system turn, as in the benchmark: without one a template may add its own.
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": task}]
    template = encoder.tokenizer.apply_chat_template
    return str(template(turns, tokenize=False, add_generation_prompt=True))


def judge(
    rows: Sequence[Row], references: dict[str, str], critic: Critic, monitor: Monitor
) -> list[Row]:
    """The rows with ``judgement``, ``rating`` (None for a fault) and ``fault``. The critic stores
    its answers itself, so after an interruption only the missing ones are asked for."""
    judged: list[Row] = []
    with monitor.progress("judge", len(rows)) as bar:
        for first in range(0, len(rows), _CHUNK):
            part = rows[first : first + _CHUNK]
            questions = [
                question_of(r["preference"], r["instruction"], references[r["id"]], r["response"])
                for r in part
            ]
            for row, answer in zip(part, critic.ask(questions), strict=True):
                judged.append(row | _marked(answer))
            bar.advance(len(part))
    return judged


def _marked(answer: str | CriticFault) -> Row:
    if isinstance(answer, CriticFault):
        return {"judgement": "", "rating": None, "fault": str(answer)}
    rating = rating_of(answer)
    fault = "" if rating is not None else "no rating from 1 to 10 in the judgement"
    return {"judgement": answer, "rating": rating, "fault": fault}


def score(
    rows: Sequence[Row], *, confidence: float = 0.95, seed: int = 0, faults_are_zero: bool = False
) -> dict[str, Any]:
    """Mean marks with intervals, by preference and in all. ``value`` is None for a preference all
    of whose judgements failed, and in all if there is such a preference."""
    marks = {
        name: _marks([r for r in rows if r["preference"] == name], faults_are_zero)
        for name in PREFERENCES
        if any(r["preference"] == name for r in rows)
    }
    scores: dict[str, Any] = {
        "preferences": {
            name: {
                **_shown(bootstrap(m, confidence=confidence, seed=seed) if m else None),
                "instructions": sum(r["preference"] == name for r in rows),
                "faults": sum(r["preference"] == name and r["rating"] is None for r in rows),
            }
            for name, m in marks.items()
        }
    }
    total = None
    if marks and all(marks.values()):  # no list of marks is empty
        total = mean_of_means(list(marks.values()), confidence=confidence, seed=seed)
    return scores | {"all": _shown(total), "faults_are_zero": faults_are_zero}


def _marks(rows: Sequence[Row], faults_are_zero: bool) -> list[float]:
    marks = (r["rating"] for r in rows)
    return [float(m or 0) for m in marks if m is not None or faults_are_zero]


def _shown(interval: Interval | None) -> dict[str, float | None]:
    return vars(interval).copy() if interval else dict.fromkeys(("value", "low", "high"))


def table_of(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as they are stored."""
    import pandas as pd

    return pd.DataFrame(list(rows)).astype({"rating": "Int64"})  # whole numbers, or missing


def write(rows: Sequence[Row], scores: dict[str, Any], out: Path) -> None:
    """Both files, each whole or not at all."""
    packed = io.BytesIO()
    table_of(rows).to_parquet(packed, index=False)
    write_whole(out / RESPONSES, packed.getvalue())
    text = json.dumps(scores, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / SCORES, text.encode())


def read(out: Path) -> tuple[list[Row], dict[str, Any]]:
    """Stored responses and scores. Raises UserError when there are none."""
    import pandas as pd

    file, scores_file = out / RESPONSES, out / SCORES
    if not (file.is_file() and scores_file.is_file()):
        raise UserError(f"{out}: no responses to judge.", hint="Run it without --rescore.")
    columns = ["id", "preference", "instruction", "response", "finished"]
    rows = pd.read_parquet(file, columns=columns).to_dict("records")
    scores: dict[str, Any] = json.loads(scores_file.read_text(encoding="utf-8"))
    return [{str(k): v for k, v in row.items()} for row in rows], scores
