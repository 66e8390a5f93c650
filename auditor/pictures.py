"""The cases shown in the report, kept beside the results: pixels and raw maps in one file, names and boxes in another."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError
from .evidence import Picture
from .ledger import publish

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ARRAYS, INDEX = Path("arrays") / "pictures.npz", Path("arrays") / "pictures.json"


def save(run: Path, pictures: Sequence[Picture]) -> None:
    """Write `arrays/pictures.npz` and, last, `arrays/pictures.json`; the same pictures give the same bytes."""
    import numpy as np

    arrays: dict[str, npt.NDArray[Any]] = {}
    index: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures):
        arrays[f"pixels_{number}"] = np.asarray(picture.pixels, np.uint8)
        maps: list[dict[str, str]] = []
        for attribution, by_model in picture.maps.items():
            for model, values in by_model.items():
                array = f"map_{number}_{len(maps)}"
                arrays[array] = np.asarray(values, np.float32)
                maps.append({"attribution": attribution, "model": model, "array": array})
        boxes = [[float(edge) for edge in box] for box in picture.boxes]
        told: dict[str, Any] = {"kind": picture.kind, "words": picture.words} if picture.kind else {}
        if picture.unit is not None:
            others = [[float(edge) for edge in box] for box in picture.other_boxes]
            told |= {"unit": picture.unit, "threshold": picture.threshold, "other_boxes": others}
        index.append(
            {
                "case": picture.case,
                "class": picture.class_name,
                "boxes": boxes,
                "pixels": f"pixels_{number}",
                "maps": maps,
                **told,
            }
        )
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    publish(run / ARRAYS, file.getvalue())
    publish(run / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


def load(run: Path) -> list[Picture]:
    """The pictures of a run, in the order they were saved; none where none were kept. Raises OutputError on a broken pair."""
    if not (run / INDEX).is_file():
        return []
    import numpy as np

    try:
        index = json.loads((run / INDEX).read_text(encoding="utf-8"))
        with np.load(run / ARRAYS, allow_pickle=False) as arrays:
            return [_picture(row, arrays) for row in index]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{run / ARRAYS}: {type(error).__name__}: {error}; it does not belong to {INDEX.name}: "
            "delete both to report without pictures"
        ) from error


def _picture(row: dict[str, Any], arrays: Any) -> Picture:
    maps: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for entry in row["maps"]:
        maps.setdefault(entry["attribution"], {})[entry["model"]] = arrays[entry["array"]]
    return Picture(
        row["case"], row["class"], _boxes(row["boxes"]), arrays[row["pixels"]], maps, row.get("kind", ""), row.get("words", ""),
        row.get("unit"), row.get("threshold"), _boxes(row.get("other_boxes", ())),
    )  # fmt: skip


def _boxes(rows: Iterable[Any]) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(left), float(top), float(right), float(bottom)) for left, top, right, bottom in rows)
