#!/usr/bin/env python3
"""`memcirc score` under the study's name; the same options (--help lists them)."""

import sys

from memcirc.cli import main

sys.exit(main(["score", *sys.argv[1:]]))
