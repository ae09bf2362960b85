#!/bin/sh
# Builds a .mar from files that are in no registry: ./build.sh --help
#
# A thin door to `ms archive`; a model of the registry is built by `ms build`.
set -eu

if command -v ms >/dev/null 2>&1; then
    exec ms archive "$@"
fi
script=$(readlink -f -- "$0") # it may be called through a link
checkout=$(CDPATH='' cd -- "$(dirname -- "$script")/.." && pwd)
python="$checkout/.venv/bin/python" # as `make setup` has it
[ -x "$python" ] || python=python3
export PYTHONPATH="$checkout/tools${PYTHONPATH:+:$PYTHONPATH}"
if ! "$python" -c 'import blake3, jsonschema, tqdm, urllib3, yaml' 2>/dev/null; then
    echo "ms: neither ms nor what it needs is installed" >&2
    echo "hint: pip install $checkout" >&2
    exit 3
fi
exec "$python" -m model_servers archive "$@"
