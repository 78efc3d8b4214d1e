"""`python -m simlab`, the same as the command `simlab`."""

import sys

from simlab.cli import main

sys.exit(main())
