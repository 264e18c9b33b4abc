#!/usr/bin/env bash
source "$(dirname "$0")/../pipeline/environment.sh"
exec memcirc verify --preset ground_truth "${1:-runs/demo}"
