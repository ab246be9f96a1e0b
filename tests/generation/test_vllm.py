"""The suite of all generators for a real vLLM: ``make test-vllm``, which installs it apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from falcon.generation.completion import Draws, Weights
from falcon.generation.connection import Connection
from falcon.generation.local import LocalGenerator
from falcon.generation.server import ServerGenerator
from falcon.policy.policy import Policy
from falcon.prompts.characters import Characters
from falcon.prompts.encode import PromptEncoder
from falcon.prompts.forms import FORMS
from tests.generation.generator_suite import GREEDY, Subject, every_check
from tests.generation.servers import vllm_server
from tests.models import load_tiny, own_weights, stir, tiny_causal
from tests.training.setups import make_settings, run_training

PYTHON = os.environ.get("VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="needs vLLM: make test-vllm"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Its kernels want heads of at least 32.
    return tiny_causal(tmp_path_factory.mktemp("vllm") / "model", chat=True, width=128, spread=0.1)


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with vllm_server(PYTHON, model, model.parent) as address:
        yield address


@pytest.fixture
def policy(model: Path) -> Policy:
    made = load_tiny(model)
    stir(made)
    return made


def generator(url: str, policy: Policy) -> ServerGenerator:
    made = ServerGenerator(Connection(url), "tiny", policy.prompts, policy)
    assert made.dialect.name == "vllm"
    return made


@every_check
@pytest.mark.parametrize("use_adapter", [True, False], ids=["meta", "bare"])
def test_conforms(
    check: Callable[[Subject], None], use_adapter: bool, url: str, policy: Policy
) -> None:
    check(Subject(generator(url, policy), policy, Weights(use_adapter=use_adapter)))


def test_each_task_writes_with_its_own_weights(url: str, policy: Policy) -> None:
    subject = Subject(generator(url, policy), policy)
    own = Weights(own_weights(policy, 3), (2, 0, 1, 2))
    found = subject.generator.generate(subject.prompts, Draws(GREEDY), weights=own)
    wanted = LocalGenerator(policy).generate(subject.prompts, Draws(GREEDY), weights=own)
    assert [c.ids for (c,) in found] == [c.ids for (c,) in wanted]
    assert found != subject.write(Draws(GREEDY))
    models = Connection(url).get("/v1/models")["data"]
    assert not [each["id"] for each in models if each["id"].startswith("falcon-")]


def test_an_adapter_of_a_folder_is_put_there(url: str, policy: Policy, tmp_path: Path) -> None:
    subject = Subject(generator(url, policy), policy)
    policy.save(tmp_path / "adapter")
    server = ServerGenerator(Connection(url), "tiny", policy.prompts)
    server.adopt(tmp_path / "adapter")
    prompts = subject.prompts
    assert server.generate(prompts, Draws(GREEDY)) == subject.write(Draws(GREEDY))
    bare = Weights(use_adapter=False)
    assert server.generate(prompts, Draws(GREEDY), weights=bare) != subject.write(Draws(GREEDY))


def test_its_own_template_gives_what_ids_give(url: str, policy: Policy) -> None:
    turn = {"role": "user", "content": "Add two numbers."}
    text = policy.tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
    bare = Weights(use_adapter=False)
    ids = generator(url, policy).generate([policy.encode(text)], Draws(GREEDY), weights=bare)
    without = ServerGenerator(
        Connection(urljoin(url, "/")), "tiny", PromptEncoder(Characters(), FORMS["chat-open"], 4000)
    )
    prompt = Characters()(turn["content"])["input_ids"]
    ((found,),) = without.generate([prompt], Draws(GREEDY))
    assert found.ids == ids[0][0].ids


def test_training_writes_with_it(
    url: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*_: object, **__: object) -> None:
        raise AssertionError("the server is to write")

    monkeypatch.setattr(LocalGenerator, "generate", not_here)
    settings = make_settings(model, policy={"server": url}, train={"steps": 2})
    result, experiences = run_training(tmp_path, settings)
    assert (tmp_path / "out" / "policy" / "adapter_model.safetensors").is_file()
    assert result.curves.is_file()
    assert {e.origin.step for e in experiences} == {0, 1}
