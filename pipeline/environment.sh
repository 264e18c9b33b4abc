# Sourced by the scripts: put the checkout's own environment first, where `make demo` or `make test` has made one.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ -x "$root/.venv/bin/memcirc" ]; then PATH="$root/.venv/bin:$PATH"; fi
command -v memcirc >/dev/null || { echo "memcirc is not installed: run 'make demo' once, or 'pip install .'" >&2; exit 2; }
