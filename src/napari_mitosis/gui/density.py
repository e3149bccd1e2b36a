"""Interim."""

from __future__ import annotations

from scipy.stats import chi2


def density_interval(count: int, area_mm2: float) -> tuple[float, float]:
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low) / area_mm2, float(chi2.ppf(0.975, 2 * count + 2)) / 2 / area_mm2
