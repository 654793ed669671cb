from __future__ import annotations

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # shared machines stall; a slow draw is no failure
settings.load_profile("no deadline")
