"""Options of a command as a record: its fields are the arguments and options of the command."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

R = TypeVar("R")


def takes(record: type[R]) -> Callable[[Callable[[R], None]], Callable[..., None]]:
    """Make a typer command of a function that takes one dataclass ``record``.

    Fields are annotated as parameters of a command are: ``Annotated[int, typer.Option(...)]``.
    """
    hints = get_type_hints(record, include_extras=True)  # extras: typer's part of Annotated
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,  # so that one without a default may follow others
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(record)  # type: ignore[arg-type]
    ]

    def decorate(function: Callable[[R], None]) -> Callable[..., None]:
        @wraps(function)  # the name and the docstring are the command's
        def command(**values: Any) -> None:
            function(record(**values))

        # What typer reads; `wraps` has copied those of the function.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {name: hints[name] for name in hints}
        return command

    return decorate


class Tested(Protocol):
    """Options that name what is scored."""

    @property
    def model(self) -> str: ...

    @property
    def server(self) -> str: ...

    @property
    def adapter(self) -> Path | None: ...

    @property
    def rescore(self) -> bool: ...


def model_of(o: Tested) -> str:
    """The model that is scored: ``--model``, else the one that the adapter's folder names; "": the
    settings' own."""
    if o.model or o.server or o.adapter is None or o.rescore:
        return o.model
    from falcon.policy.peft_files import base_of

    return base_of(o.adapter)
