"""``python -m benchmarks...`` of version 0.1: says where its parts are now."""

import sys

sys.exit(
    "falcon: benchmarks/ is now perf/ (speed: python -m perf.NAME) and conformance/ "
    "(agreement with official graders: python -m conformance)."
)
