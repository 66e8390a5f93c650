"""Patients set apart: the same ones for every network, every run and every analysis that asks for the same share."""

from __future__ import annotations

import hashlib


def apart(patient: str, share: float) -> bool:
    """Whether a patient belongs to the share of all patients that something is fitted or chosen on, by a hash of the name."""
    place = int.from_bytes(hashlib.sha256(f"calibration|{patient}".encode()).digest()[:7], "big") / 2**56
    return place < share
