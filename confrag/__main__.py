"""``python -m confrag``."""

import sys

from confrag.cli import main

sys.exit(main())
