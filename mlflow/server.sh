#!/bin/sh
# The tracking server with its registry: SQLite and a folder under state/, on loopback.
# Runs use it where MLFLOW_TRACKING_URI=http://127.0.0.1:PORT is set.
#   mlflow/server.sh [PORT]              one machine
#   MLFLOW_BACKEND=postgresql://... MLFLOW_ARTIFACTS=s3://... MLFLOW_HOST=0.0.0.0 mlflow/server.sh
# Under other names than this machine's own: MLFLOW_SERVER_ALLOWED_HOSTS=tracker.example.org:5000
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
cd "$root"
exec "$python" -m tasks.support.mlflow_server "$@"
