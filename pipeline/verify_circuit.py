#!/usr/bin/env python3
"""`memcirc verify` under the study's name; the same options (--help lists them)."""

from environment import run

run("verify")
