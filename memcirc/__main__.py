"""``python -m memcirc`` is the ``memcirc`` command."""

import sys

from memcirc.cli import main

sys.exit(main())
