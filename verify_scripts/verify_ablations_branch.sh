#!/usr/bin/env bash
source "$(dirname "$0")/../pipeline/environment.sh"
exec memcirc verify --preset ablations_branch "${1:-runs/demo}"
