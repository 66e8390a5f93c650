"""The stamp on what was made with an explanation method that failed a sanity check."""

from __future__ import annotations

from collections import defaultdict

from auditor import Control, Evidence

from ._reading import title


def stamps(evidence: Evidence) -> dict[str, list[str]]:
    """{attribution: a sentence per check that it failed, with the networks, and what was found on the first of them}."""
    together: dict[tuple[str, str], list[Control]] = defaultdict(list)
    for control in evidence.controls:
        if control.outcome == "failed":
            together[control.attribution, control.name].append(control)
    found: dict[str, list[str]] = defaultdict(list)
    for (attribution, check), failed in together.items():
        where = ", ".join(control.model for control in failed)
        on = f"on {failed[0].model} " if len(failed) > 1 else ""
        found[attribution].append(f"{title(attribution)} failed its sanity check ({check}) for {where}: {on}{failed[0].says}")
    return dict(found)
