"""Between which dates an entry of a record can lie; any other date is none."""

from __future__ import annotations

from datetime import datetime
from typing import Final

EARLIEST: Final = datetime(1850, 1, 1)
DAYS_AHEAD: Final = 366  # a planned date may lie in the future, not further
