"""The records of a command: where they come from, and where training stands in them."""

from __future__ import annotations

import itertools
import os
import stat

from monolith_cli.errors import ConfigError

RECORDS_END = "__records_end__"
_numbers = itertools.count()
