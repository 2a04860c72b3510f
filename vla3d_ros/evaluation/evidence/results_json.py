"""The results for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from vla3d_ros.evaluation.evidence.page import PageFacts
from vla3d_ros.evaluation.evidence.results import Evidence


def results_json(evidence: Evidence, facts: PageFacts) -> str:
    """Return everything as JSON text. Rates and differences are fractions of 1, times seconds, intervals 95 %."""
    plan = evidence.plan
    content = {
        "plan": asdict(plan),
        "is_complete": evidence.is_complete,
        "cells": [
            {
                "variant": variant,
                "variation": variation,
                **asdict(found.rate),
                "failures": dict(found.failures),
                "median_success_time_s": found.success_time_s,
                "wall_s": found.wall_s,
            }
            for (variant, variation), found in evidence.cells.items()
        ],
        "differences": [{**asdict(one), "difference": one.difference} for one in evidence.differences],
        "verdicts": [asdict(verdict) for verdict in evidence.verdicts],
        "spatial": {name: counts.to_json() for name, counts in facts.spatial.items()},
        "live": [asdict(live) for live in facts.live],
        "identities": dict(facts.identities),
        "sessions": list(facts.sessions),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
