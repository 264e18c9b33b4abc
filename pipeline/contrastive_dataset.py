#!/usr/bin/env python3
"""`memcirc pairs` under the study's name; the same options (--help lists them)."""

from environment import run

run("pairs")
