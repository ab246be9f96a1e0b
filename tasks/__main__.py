"""``python -m tasks STAGE``: run one stage. What ``dvc.yaml`` calls."""

import logging
import os
import sys
import traceback

from falcon.env import apply

USAGE = "usage: python -m tasks STAGE"


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 2 a fault of the user's, 3 a failed check, 130 or 143 interrupted."""
    apply()
    _print_warnings()
    from falcon.errors import INTERRUPTED, UserError, machine_fault
    from tasks.support.lifetime import end_with_owner
    from tasks.support.workspace import STAGES

    end_with_owner()
    try:
        if len(arguments) != 1:
            raise UserError(f"{USAGE}.", hint=f"Stages: {', '.join(STAGES)}.")
        _run(arguments[0])
    except UserError as fault:
        if os.environ.get("FALCON_DEBUG") == "1":
            traceback.print_exc()
        sys.stderr.write(f"falcon: {fault}\n")
        return fault.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("falcon: interrupted\n")
        return INTERRUPTED
    except Exception as fault:
        full = machine_fault(fault)
        if full is None:
            raise
        sys.stderr.write(f"falcon: {full}\n")
        return full.exit_code
    return 0


def _print_warnings() -> None:
    """Print our own warnings in a form by which the run's console knows them."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger("falcon").addHandler(handler)


def _run(name: str) -> None:
    """Run a stage; ``settings`` and ``code`` come before them all and are no work to record."""
    from tasks.support.temporary_copy import take_handover
    from tasks.support.workspace import Workspace

    take_handover(Workspace.here())
    if name == "settings":
        from tasks.support.params import write_run_settings

        write_run_settings(Workspace.here())
    elif name == "code":
        from tasks.support.stage_code import write_stage_code

        write_stage_code(Workspace.here())
    else:
        from tasks.support.stage import run_stage

        run_stage(name)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    from tasks.support.processes import leave_exit_code

    leave_exit_code(exit_code)
    sys.exit(exit_code)
