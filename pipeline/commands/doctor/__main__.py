"""`python -m pipeline.commands.doctor`."""

import sys

from pipeline.commands.doctor import main

sys.exit(main())
