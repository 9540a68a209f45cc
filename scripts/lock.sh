#!/bin/sh
# Writes the locks: one file for every platform and every Python from 3.11 on, hashes for all files.
# Known versions stay; `scripts/lock.sh --upgrade` takes the newest. The dev lock follows the runtime's.
set -eu
cd "$(dirname "$0")/.."

# The lock is of the public index, whatever mirror or folder of wheels this machine prefers.
unset UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX UV_INDEX_URL UV_NO_INDEX

for name in requirements requirements-dev requirements-clients requirements-instructor \
    tests/agents/requirements-aider; do
    .venv/bin/uv --no-config pip compile "$@" \
        --quiet --universal --python-version 3.11 --generate-hashes --no-build \
        --custom-compile-command 'make lock' \
        "$name.in" --output-file "$name.txt" >/dev/null
done
