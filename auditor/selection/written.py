"""What a selection leaves: selection.csv for those who label, selection.html to look at, mine.json with everything."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..dataset import Dataset, Sample
from ..errors import Unreadable
from ..export import safe_cell
from ..identity import options
from ..ledger import publish
from ..model import Preprocessing
from ..pixels import read_prepared
from ..plan import PlannedModel
from . import cost, sheet
from .choose import Selection, probabilities
from .config import MinePlan
from .query import Seen, Target

if TYPE_CHECKING:
    from .embed import Embedded
    from .mine import Pool

CSV, PAGE, RECORD = "selection.csv", "selection.html", "mine.json"
PICTURES = 400
"""Chosen images with a picture on the contact sheet; the table and the CSV hold all of them."""
EXAMPLES = 12
"""Query images of each class with a picture."""
THUMB = 112
SCHEMA = 1

Row = dict[str, Any]


def rows(pool: Sequence[Sample], query: Sequence[Sample], found: Selection, seen: Seen, targets: Sequence[Target]) -> list[Row]:
    """A row per chosen image, best first: id, rank, class, gain, fill, the nearest query image, and the score of every class."""
    import torch

    chosen = torch.tensor([choice.row for choice in found.choices], device=seen.logits.device)
    scores = probabilities(seen.logits[chosen], targets)
    columns = [t.output for t in targets] if targets[0].head == "softmax" else None
    table = scores[:, 0, columns] if columns is not None else scores[:, :, 0]
    return [
        {
            "rank": rank, "id": pool[choice.row].id, "patient": pool[choice.row].patient, "class": choice.target, "gain": choice.gain,
            "fill": choice.fill, "nearest": query[choice.nearest].id, "similarity": choice.similarity,
            "scores": dict(zip([t.name for t in targets], values, strict=True)),
        }
        for rank, (choice, values) in enumerate(zip(found.choices, table.tolist(), strict=True), 1)
    ]  # fmt: skip


def about(
    plan: MinePlan, model: PlannedModel, pool: Pool, query: Embedded, targets: Sequence[Target], found: Selection, device: str,
    messages: Sequence[str],
) -> Row:  # fmt: skip
    """Everything that the selection rests on, without a path or a host."""
    config = plan.config
    needed = cost.memory(
        len(pool.rows), pool.embedded.features.shape[1], max(len(t.rows) for t in targets), config.budget, config.function
    )
    return {
        "schema": SCHEMA, "tool": __version__, "title": config.title,
        "settings": {"function": config.function, "kernel": config.kernel, "eta": config.eta, "budget": config.budget, "seed": config.seed, "batch": config.batch, "device": device},
        "model": {
            "id": model.id, "use": plan.loader.name, "options": options(plan.loader), "digest": model.digest, "head": plan.loader.head,
            "audit": plan.audited.evidence.audit["title"] if plan.audited else None,
        },
        "pool": {
            "use": plan.pool.name, "options": options(plan.pool), "listed": pool.listed, "free": len(pool.rows),
            "left_out": [entry._asdict() for entry in pool.left_out],
            "quarantined": [{"id": name, "reason": why} for name, why in pool.embedded.quarantined],
        },
        "query": {
            "use": plan.query.name, "options": options(plan.query), "images": len(query.samples),
            "quarantined": [{"id": name, "reason": why} for name, why in query.quarantined],
            "classes": [
                {**{k: v for k, v in asdict(t).items() if k != "rows"}, "ids": [query.samples[row].id for row in t.rows]} for t in targets
            ],
        },
        "memory_bytes": needed, "messages": list(messages),
    }  # fmt: skip


def thumbnails(wanted: Iterable[tuple[Dataset, Sample]], lens: Preprocessing) -> dict[tuple[str, str], str]:
    """{(data set, id): a small picture as a data: address}; an image that cannot be read again has none."""
    found = {}
    for dataset, sample in wanted:
        try:
            pixels, _ = read_prepared(dataset, sample, lens)
        except Unreadable:
            continue
        found[dataset.name, sample.id] = _picture(pixels)
    return found


def _picture(pixels: Any) -> str:
    from PIL import Image

    eight = (pixels >> 8).astype(np.uint8)
    image = Image.fromarray(eight[0] if len(eight) == 1 else np.moveaxis(eight, 0, -1))
    image = image.resize((THUMB, THUMB), Image.Resampling.LANCZOS) if max(image.size) > THUMB else image
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def publish_all(out: Path, record: Row, chosen: Sequence[Row], thumbs: Mapping[tuple[str, str], str]) -> dict[str, Path]:
    """Write the CSV, the contact sheet and, last, the record."""
    publish(out / CSV, as_csv(chosen).encode("utf-8"))
    publish(out / PAGE, sheet.render(record, chosen, thumbs).encode("utf-8"))
    whole = {**record, "selection": list(chosen)}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    publish(out / RECORD, f"{text}\n".encode())
    return {"csv": out / CSV, "html": out / PAGE, "json": out / RECORD}


def as_csv(chosen: Sequence[Row]) -> str:
    """The selection as a table; a cell that has no value is empty."""
    out = io.StringIO()
    names = list(chosen[0]["scores"]) if chosen else []
    table = csv.writer(out, lineterminator="\n")
    table.writerow(
        ["rank", "id", "patient", "class", "gain", "fill", "nearest", "similarity", *(f"score {name}" for name in names)]
    )
    for row in chosen:
        cells = [row[key] for key in ("rank", "id", "patient", "class", "gain", "fill", "nearest", "similarity")]
        table.writerow([_cell(value) for value in [*cells, *(row["scores"][name] for name in names)]])
    return out.getvalue()


def _cell(value: object) -> object:
    """As a spreadsheet takes it: nothing for None, six digits of a number, and no text that it would run as a formula."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, int) else safe_cell(value)
