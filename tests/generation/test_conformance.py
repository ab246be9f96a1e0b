"""The suite of all generators, for the one of this process and for ``transformers serve``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from falcon.generation.completion import Weights
from falcon.generation.connection import Connection
from falcon.generation.local import LocalGenerator
from falcon.generation.server import ServerGenerator
from falcon.policy.policy import Policy
from tests.generation.generator_suite import Subject, every_check
from tests.generation.servers import transformers_server


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@every_check
def test_the_generator_of_this_process(check: Callable[[Subject], None], policy: Policy) -> None:
    check(Subject(LocalGenerator(policy), policy))


@every_check
def test_transformers_serve(
    check: Callable[[Subject], None], chat: Policy, folders: dict[str, Path], url: str
) -> None:
    generator = ServerGenerator(Connection(url), str(folders["chat"]), chat.prompts)
    assert generator.dialect.name == "transformers"
    bare = Weights(use_adapter=False)
    check(Subject(generator, chat, bare, ids=False, log_probs=False))
