#!/usr/bin/env bash
source "$(dirname "$0")/../pipeline/environment.sh"
exec memcirc verify --preset mem_decision_cross "${1:-runs/demo}"
