#!/usr/bin/env bash
# Everything that has to hold before a change is merged. The last line is pytest's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/lint.sh
exec .venv/bin/pytest "$@" </dev/null
