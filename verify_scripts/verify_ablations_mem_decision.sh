#!/usr/bin/env bash
source "$(dirname "$0")/../pipeline/environment.sh"
exec memcirc verify --preset ablations_mem_decision "${1:-runs/demo}"
