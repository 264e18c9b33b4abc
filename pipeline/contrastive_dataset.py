#!/usr/bin/env python3
"""`memcirc pairs` under the study's name; the same options (--help lists them)."""

import sys

from memcirc.cli import main

sys.exit(main(["pairs", *sys.argv[1:]]))
