"""`python -m unbraid` is the command `unbraid`."""

import sys

from unbraid.cli import main

sys.exit(main())
