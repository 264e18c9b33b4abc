#!/usr/bin/env python3
"""`memcirc discover` under the study's name; the same options (--help lists them)."""

import sys

from memcirc.cli import main

sys.exit(main(["discover", *sys.argv[1:]]))
