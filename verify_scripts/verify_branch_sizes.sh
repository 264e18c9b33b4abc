#!/usr/bin/env bash
source "$(dirname "$0")/../pipeline/environment.sh"
exec memcirc verify --preset branch_sizes "${1:-runs/demo}"
