#!/usr/bin/env bash
# The pipeline of run.sh on made-up ratings, or on a ratings file: demo.sh [RATINGS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/monolith-demo.XXXXXX")
if [ $# -gt 0 ]; then
  ratings=$1
else
  ratings=$work/ratings.dat
  python=$here/../../.venv/bin/python
  [ -x "$python" ] || python=python3
  "${MONOLITH_PYTHON:-$python}" "$here/generate.py" "$ratings"
fi
"$here/run.sh" "$ratings" "$work"
