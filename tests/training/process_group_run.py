"""One process of trainings that several share. Run by a test, as a process.

What a refused one says is written to ``refused-RANK`` in its folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from falcon.errors import UserError
from tests.training.setups import make_settings, run_training

if __name__ == "__main__":
    model, root = Path(sys.argv[1]), Path(sys.argv[2])
    rank = os.environ["RANK"]
    for name, changes in json.loads(sys.argv[3]).items():
        try:
            run_training(
                root / name / f"process-{rank}",
                make_settings(model, **changes),
                checkpoints=root / name / "checkpoints",
                run_id="shared",
            )
        except UserError as fault:
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"refused-{rank}").write_text(str(fault))
