"""One side of a comparison in a process of its own, so that its CPU time and peak memory are its own.

Run as: python measure.py SIDE NETWORK IMAGES THREADS [OPTION]; prints one JSON line. Sides: `plain` is the eager inference loop
that a user would write (contiguous float32, no_grad); `audit` is everything `auditor run` measures for one model; the others are
that with fewer analyses, and `reference` is the published procedure of the dissection in our own words. `cpu` is everything
after the images are decoded; `dissection` is the part of it that thresholds, keeping, counting and writing the counts took,
on both sides without loading the network and without its forward passes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

HERE = Path(__file__).resolve().parent
LISTED = ", ".join(f"finding {number}" for number in range(14))
MODELS = {
    "resnet50": f"{{use: torchvision, architecture: resnet50, checkpoint: null, strategy: bce, classes: [{LISTED}]}}",
    "t_densenet": f"{{use: t_densenet, checkpoint: null, strategy: bce, classes: [{LISTED}]}}",
    "resnet50-layer3": "{use: torchvision, architecture: resnet50, checkpoint: null, strategy: bce, layers: {attribution: layer3}, "
    f"classes: [{LISTED}]}}",
}
ANALYSES = {
    "audit": "[performance, alignment, {use: dissection, quantile: %s}]",
    "gradcam": "[performance, alignment]",
    "dissection": "[{use: dissection, quantile: %s}]",
}


def plan_of(network: str, images: int, analyses: str, folder: Path) -> Any:
    """The plan of an audit of one untrained network."""
    from auditor import config, planning
    from auditor.registry import Registry

    audit = folder / "audit.yaml"
    audit.write_text(
        f"title: benchmark\ndataset: {{use: smooth, images: {images}}}\nmodels: [{MODELS[network]}]\nreference: bce\n"
        f"analyses: {analyses}\nplugins: ['{HERE / 'bench_plugin.py'}']\nreport: {{formats: [html], images: false}}\n"
    )
    read = config.read(audit)
    return planning.make(read, Registry(read.plugins, folder))


def stored(plan: Any, folder: Path) -> Any:
    """The pixel store with every chunk decoded: decoding is the same work for both sides and is left out."""
    from auditor.pixels import PixelStore

    store = PixelStore(folder / "pixels", plan.dataset, plan.samples, plan.chunk)
    for chunk in range(plan.chunks):
        store.get(plan.models[0].loader.preprocessing, chunk)
    return store


def plain(plan: Any, store: Any) -> None:
    """What a user would write to get predictions."""
    from auditor.imaging import normalise

    model = plan.models[0]
    network = model.loader.load().eval()
    lens = model.loader.preprocessing
    with torch.no_grad():
        for chunk in range(plan.chunks):
            pixels = store.get(lens, chunk).stored
            for start in range(0, len(pixels), 16):
                network(normalise(pixels[start : start + 16], lens)).sigmoid().numpy()


def audited(plan: Any, store: Any, folder: Path) -> float:
    """What `auditor run` does for one model, ledger included; the CPU time of the units that look twice: the dissection."""
    from auditor import passes
    from auditor.ledger import Ledger

    watch = Watch()
    ledger = Ledger(folder / "ledger.db")
    with pytest.MonkeyPatch.context() as patch:
        for step in ("_begin", "_observe_and_keep", "second_look"):
            patch.setattr(passes._ModelPass, step, watch.around(getattr(passes._ModelPass, step)))
        passes.run(plan, plan.models[0], ledger, store, folder / "arrays", lambda *_: None, strict=True)
    ledger.close()
    return watch.spent


class Watch:
    """Adds up the CPU time of some calls."""

    def __init__(self) -> None:
        self.spent = 0.0

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def timed(*given: Any) -> Any:
            start = time.process_time()
            found = step(*given)
            self.spent += time.process_time() - start
            return found

        return timed


def reference(plan: Any, store: Any, quantile: float) -> float:
    """Dissection as published, batch of 2; the CPU time of all but the forward passes.

    Every channel upsampled to the image, channels first and copied, one torch.quantile per channel over the batch, a float32
    mask, the mask as 0 or 255 in uint8, cut to the union of the image's boxes, contours channel by channel, once per image
    (the published procedure enters the count under each label).
    """
    import cv2

    from auditor.imaging import normalise

    model = plan.models[0]
    network = model.loader.load().eval()
    kept: list[torch.Tensor] = []
    network.get_submodule(model.layers.dissection).register_forward_hook(lambda *parts: kept.append(parts[2]))
    lens = model.loader.preprocessing
    pixels = store.get(lens, 0).stored[: len(plan.samples)]

    def count(maps: torch.Tensor, samples: Any) -> list[int]:
        images, channels = maps.shape[:2]
        flat = torch.nn.functional.interpolate(maps, (224, 224), mode="bilinear").permute(1, 0, 2, 3).reshape(channels, -1)
        active = (flat >= torch.quantile(flat, 1 - quantile, dim=1, keepdim=True)).to(torch.float32)
        masks = (active.reshape(channels, images, 224, 224).permute(1, 0, 2, 3).numpy() * 255.0).astype(np.uint8)
        found = []
        for image, sample in zip(masks, samples, strict=True):
            region = np.zeros((224, 224), np.uint8)
            for box in sample.boxes:
                region[int(box.top * 224) : int(box.bottom * 224), int(box.left * 224) : int(box.right * 224)] = 1
            contours = [cv2.findContours(each * region, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0] for each in image]
            found.append(sum(map(len, contours)))
        return found

    watch = Watch()
    with torch.no_grad():
        for start in range(0, len(pixels), 2):
            kept.clear()
            network(normalise(pixels[start : start + 2], lens))
            watch.around(count)(kept[0], plan.samples[start : start + 2])
    return watch.spent


def main() -> None:
    """Measure one side."""
    side, network, images, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    quantile = float(sys.argv[5]) if len(sys.argv) > 5 else 0.04
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        analyses = ANALYSES.get(side, ANALYSES["audit"])
        plan = plan_of(network, images, analyses % quantile if "%s" in analyses else analyses, folder)
        store = stored(plan, folder)
        if side in ANALYSES:  # compiled kernels come from the disk cache; the first process of a machine fills it
            warm = plan_of(network, 4, analyses % quantile if "%s" in analyses else analyses, folder)
            audited(warm, stored(warm, folder / "warm"), folder / "warm")
        cpu, wall, dissection = time.process_time(), time.perf_counter(), 0.0
        if side == "plain":
            plain(plan, store)
        elif side == "reference":
            dissection = reference(plan, store, quantile)
        else:
            dissection = audited(plan, store, folder)
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "dissection": dissection}
    spent["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main()
