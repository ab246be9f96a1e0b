"""Decision: ``gate.json``, and whether it is about the results that lie there now."""

from typing import Any

from falcon.errors import UserError
from tasks.support.dvc_files import entry_hash, lock, out_hash
from tasks.support.files import path_md5, read_json
from tasks.support.workspace import Workspace


def read_gate(space: Workspace) -> dict[str, Any]:
    """``gate.json``. Raises UserError when the gate stage has not run."""
    hint = "Run `falcon run` or `dvc repro gate`."
    return dict(read_json(space.output("gate") / "gate.json", hint=hint))


def require_unchanged(space: Workspace, decision: dict[str, Any]) -> None:
    """Raise UserError unless the decision is about exactly the present results.

    Compares the gate file with ``dvc.lock``, every stage's entry, and the policy's files.
    """
    hint = "Run `falcon run` again."
    entries = lock(space.root)
    file = space.output("gate") / "gate.json"
    if out_hash(space.root, "gate", "outputs/gate/gate.json") != path_md5(file):
        raise UserError(f"{file} is not the one that DVC saw the gate stage make.", hint=hint)
    for name, judged in decision["stages"].items():
        if name not in entries or entry_hash(entries[name]) != judged:
            raise UserError(
                f"the gate judged another result of `{name}` than the present one.", hint=hint
            )
    policy = space.output("train") / "policy"
    if not policy.is_dir() or path_md5(policy) != decision["policy"]:
        raise UserError(f"{policy} is not the policy that the gate judged.", hint=hint)
