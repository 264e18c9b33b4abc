#!/usr/bin/env bash
# A Pile subset or local files -> windows of token ids: `memcirc prepare` under the study's name.
source "$(dirname "$0")/environment.sh"
exec memcirc prepare "$@"
