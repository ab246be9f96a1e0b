"""``python -m tasks STAGE``: run one stage, or ``settings``. What ``dvc.yaml`` calls."""

import os
import sys
import traceback

from falcon.env import apply

USAGE = "usage: python -m tasks STAGE"


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 2 a fault of the user's, 3 a failed check, 130 or 143 interrupted."""
    apply()
    from falcon.errors import INTERRUPTED, UserError, machine_fault
    from tasks.support.lifetime import end_with_owner
    from tasks.support.params import write_run_settings
    from tasks.support.stage import run_stage
    from tasks.support.workspace import STAGES, Workspace

    end_with_owner()
    try:
        if len(arguments) != 1:
            raise UserError(f"{USAGE}.", hint=f"Stages: {', '.join(STAGES)}.")
        if arguments[0] == "settings":
            write_run_settings(Workspace.here())
        else:
            run_stage(arguments[0])
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
