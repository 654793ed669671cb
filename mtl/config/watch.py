"""What the service watches after a promotion."""

from __future__ import annotations

from pydantic import Field

from mtl.config.rollback import RollbackConfig
from mtl.config.section import Section


class WatchConfig(Section):
    """Drift: whether new rows and logged requests still look like the champion's training data. No part of any run's
    identity."""

    drift: bool = Field(
        True,
        description="Whether new rows and logged requests are compared with the champion's training data. If they "
        "differ, that is an alarm.",
    )
    drift_auc: float = Field(
        0.6,
        ge=0.5,
        lt=1,
        description="An alarm needs a domain classifier whose area under the ROC curve is above this. Texts "
        "that are alike have 0.5.",
    )
    drift_p: float = Field(
        0.01,
        ge=0.002,
        le=0.1,
        description="An alarm also needs a permutation p-value below this. With few texts, the area is often far from "
        "0.5 by chance.",
    )
    drift_texts: int = Field(
        500, ge=50, le=2000, description="Largest number of texts of each task and side that are compared: a sample."
    )
    drift_days: int = Field(7, ge=1, le=366, description="Days of logged requests that are compared, up to now.")
    retrain_on_drift: bool = Field(
        False, description="Whether check-data starts a retrain when it finds drift, once a week for each champion."
    )
    rollback: RollbackConfig = Field(
        RollbackConfig(), description="When a champion that serves its users worse is rolled back automatically."
    )
