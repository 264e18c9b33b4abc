#!/usr/bin/env python3
"""`memcirc verify` under the study's name; the same options (--help lists them)."""

import sys

from memcirc.cli import main

sys.exit(main(["verify", *sys.argv[1:]]))
