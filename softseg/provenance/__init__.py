"""Where each file comes from: written beside it, and checked later."""

from softseg.provenance.checking import Checked, Finding, verify
from softseg.provenance.records import (
    MANIFEST,
    complete,
    now,
    record_folder,
    record_of,
    record_step,
    sign,
    signed,
)
from softseg.provenance.software import made_by

__all__ = [
    "MANIFEST",
    "Checked",
    "Finding",
    "complete",
    "made_by",
    "now",
    "record_folder",
    "record_of",
    "record_step",
    "sign",
    "signed",
    "verify",
]
