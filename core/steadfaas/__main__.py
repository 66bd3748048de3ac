"""`python -m steadfaas` is the `steadfaas` command."""

from __future__ import annotations

import sys

from steadfaas.cli import main

if __name__ == "__main__":
    sys.exit(main())
