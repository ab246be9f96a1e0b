#!/bin/sh
# The tracking server with its registry: SQLite and a folder under state/, on loopback.
# Runs use it where MLFLOW_TRACKING_URI=http://127.0.0.1:PORT is set.
#   mlflow/server.sh [PORT]              one machine
#   MLFLOW_BACKEND=postgresql://... MLFLOW_ARTIFACTS=s3://... MLFLOW_HOST=0.0.0.0 mlflow/server.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
port=${1:-5000}
host=${MLFLOW_HOST:-127.0.0.1}
backend=${MLFLOW_BACKEND:-sqlite:///$root/state/mlflow.db}
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
if ! "$python" -c "import socket,sys; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((sys.argv[1], int(sys.argv[2])))" "$host" "$port" 2>/dev/null; then
    echo "falcon: port $port on $host is in use. Give another one: mlflow/server.sh $((port + 1))" >&2
    exit 2
fi
mkdir -p "$root/state/mlartifacts"
cd "$root/state"
export MLFLOW_DISABLE_TELEMETRY=true
# First alone: two processes that find an old or empty database would both change its tables.
"$python" -m mlflow db upgrade "$backend" >/dev/null 2>&1 || {
    echo "falcon: MLflow cannot set up $backend" >&2
    exit 2
}
exec "$python" -m mlflow server --backend-store-uri "$backend" \
    --artifacts-destination "${MLFLOW_ARTIFACTS:-$root/state/mlartifacts}" \
    --host "$host" --port "$port" --workers 1
