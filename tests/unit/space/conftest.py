"""The kit's modules lie beside each other and are imported by their own names, as in a Space."""

from __future__ import annotations

import sys

from tests.support.space import KIT

sys.path.append(str(KIT))
