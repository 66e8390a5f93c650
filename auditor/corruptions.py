"""Changes of a picture that happen in a clinic, each with its strength and what it stands for (docs/methods.md G.1).

They act on grey values in 0..1 before a network's normalisation and on its input grid, so that one strength is one share of the
picture for every network. What is drawn (noise, sides) is drawn per image: all networks of one input size see the same picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .intensity import Draws


@dataclass(frozen=True)
class Corruption:
    """One change: `words` for a reader, `reading` what it stands for.

    `act` is a function of `intensity`, or with `moves` one of `warps` that says which place shows which; `strength` are its arguments.
    """

    name: str
    words: str
    reading: str
    act: str
    strength: Mapping[str, float]
    moves: bool = False

    def changed(self, pictures: Tensor, draws: Draws) -> Tensor:
        """The pictures [n, C, H, W] in 0..1 under this change; `draws` are fresh generators, one per picture."""
        from . import intensity, warps

        if self.moves:
            return warps.warped(pictures, self.warp(draws, pictures.shape[2], pictures.shape[3]))
        found: Tensor = getattr(intensity, self.act)(pictures, draws, **self.strength)
        return found

    def warp(self, draws: Draws, height: int, width: int) -> Tensor:
        """Which place of the changed picture shows which of the original [n, 2, 3]; for changes that move places."""
        from . import warps

        found: Tensor = getattr(warps, self.act)(draws, height, width, **self.strength)
        return found


CORRUPTIONS: Mapping[str, Corruption] = {
    one.name: one
    for one in (
        Corruption(
            "brighter", "brighter (gamma 0.8)", "Another display curve or exposure class of the console: the middle greys are lighter.",
            "gamma", {"exponent": 0.8},
        ),
        Corruption("darker", "darker (gamma 1.25)", "The same the other way: the middle greys are darker.", "gamma", {"exponent": 1.25}),
        Corruption(
            "narrow_window", "narrower window (contrast 1.25)", "A window four fifths as wide about middle grey; both ends are clipped.",
            "window", {"contrast": 1.25},
        ),
        Corruption(
            "wide_window", "wider window (contrast 0.8)", "A window a quarter wider about middle grey: a flatter picture.",
            "window", {"contrast": 0.8},
        ),
        Corruption(
            "noise", "quantum noise (5 % in white)",
            "Less dose: noise with a standard deviation of 0.05 where fewest quanta arrive (white) and of 0.005 in black.",
            "quantum_noise", {"deviation": 0.05},
        ),
        Corruption(
            "blur", "blur (0.4 % of the width)", "A coarser detector, a larger focal spot or motion: a Gaussian of about 1.5 mm on a chest film.",
            "blur", {"share": 0.004},
        ),
        Corruption(
            "low_resolution", "half the resolution", "An export with half the rows and columns, scaled up again.",
            "lower_resolution", {"share": 0.5},
        ),
        Corruption(
            "jpeg", "JPEG (quality 50)", "Lossy storage or sending, in 8 bits, at the size that the network sees.", "jpeg", {"quality": 50},
        ),
        Corruption(
            "rotation", "rotated by 5 degrees", "A patient who does not stand straight; left or right is drawn per image.",
            "turned", {"degrees": 5.0}, moves=True,
        ),
        Corruption(
            "shift", "shifted by 4 %", "A patient who is not centred: 4 % of both sides, the direction drawn per image.",
            "shifted", {"share": 0.04}, moves=True,
        ),
        Corruption(
            "crop", "cropped by 4 %", "Tighter collimation: 4 % cut off every side and the rest scaled up.",
            "cropped", {"share": 0.04}, moves=True,
        ),
    )
}  # fmt: skip
"""{name: the change}, in the order of the report."""


def pick(names: Iterable[str]) -> list[Corruption]:
    """The changes of these names; KeyError for one that is not known."""
    return [CORRUPTIONS[name] for name in names]


def words(name: str) -> str:
    """A change for a reader; its name where it is not one of ours."""
    return CORRUPTIONS[name].words if name in CORRUPTIONS else name.replace("_", " ")
