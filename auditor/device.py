"""Where to compute, and that it computes the same every time."""

from __future__ import annotations

from .errors import ConfigError


def choose_device(wanted: str) -> str:
    """`auto` is CUDA where there is one; asking for CUDA where there is none is an error, not a fallback."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("--device cuda: no CUDA device is available here; use --device cpu or auto")
    if available:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return "cuda" if available and wanted != "cpu" else "cpu"
