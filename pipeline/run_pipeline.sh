#!/usr/bin/env bash
# The whole pipeline. Without options: the embedded default; with options: any model and data (`memcirc run --help`).
source "$(dirname "$0")/environment.sh"
if [ $# -eq 0 ]; then exec memcirc demo; fi
exec memcirc run "$@"
