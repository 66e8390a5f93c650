"""How names and numbers are written in everything a reader sees."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

SPELT = {
    "auroc": "AUROC",
    "iobb": "IoBB",
    "ior": "IoR",
    "iou": "IoU",
    "cbl": "CBL",
    "cbl excess": "CBL excess",
    "disjoint lift": "Log lift of disjoint concepts",
    "disjoint excess": "Excess of disjoint concepts",
    "disjoint others": "In other patients' boxes",
    "disjoint excess per channel": "Excess per active channel",
    "unique lift": "Log lift of unique concepts",
    "unique excess": "Excess of unique concepts",
    "unique others": "In other patients' boxes",
    "unique excess per channel": "Excess per active channel",
    "published detectors by chance": "Published rule, by chance",
    "published detectors": "Detectors by the published rule",
    "controlled detectors by chance": "Controlled, by chance",
    "kappa loc": "κ localisation",
    "kappa auc": "κ of pixel AUC",
    "kappa pointing": "κ of the pointing game",
    "pixel auc": "Pixel AUC",
    "ece": "ECE",
    "ece by chance": "ECE by chance",
    "usual place": "Evidence at the usual place",
    "abstained": "Abstained maps",
    "ap": "AP",
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "brier": "Brier score",
    "probability": "Mean predicted probability",
}
"""Names of metrics, attributions and parts of such names that are not simply spelt with blanks and a capital."""

WHOLES = {
    "(macro)": "Mean over classes", "(head)": "Common classes (head)", "(medium)": "Less common (medium)",
    "(tail)": "Rare classes (tail)", "(image)": "All findings of an image", "(model)": "Network as a whole",
}  # fmt: skip
"""What the pseudo classes stand for."""
NOISE = 1e-6
"""Nothing smaller is a measurement: scores are single precision, which is as coarse as 1e-7, and counts are far above."""
LEAST_P = 0.001


def visible(text: object, keep: str = "\n") -> str:
    r"""Text in NFC with control, direction and other unseen characters spelt out.

    >>> visible("Pneu\u202emonia")
    'Pneu\\u202emonia'
    """
    shown = [
        letter if letter in keep or not unicodedata.category(letter).startswith("C") else _spelt(letter) for letter in str(text)
    ]
    return unicodedata.normalize("NFC", "".join(shown))


def clean_label(text: object, limit: int = 80) -> str:
    """A name that is safe to print: `visible`, on one line, at most `limit` characters.

    >>> clean_label("a" * 90) == "a" * 79 + "…"
    True
    """
    line = " ".join(visible(text, keep="").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def absence(reason: object, limit: int = 200) -> str:
    """The words that stand where a number cannot, or where it is withheld.

    >>> absence("2 positives"), absence("not estimable (0 positives)"), absence("fewer than 5 patients: not shared")
    ('not estimable (2 positives)', 'not estimable (0 positives)', 'fewer than 5 patients: not shared')
    """
    words = clean_label(reason or "no reason given", limit)
    return words if words.startswith("not estimable") or words.endswith(": not shared") else f"not estimable ({words})"


def how_many(number: int, noun: str) -> str:
    """A count with its noun, in the singular or the plural.

    >>> how_many(1, "strategy"), how_many(0, "class"), how_many(2, "strategy"), how_many(1200, "box"), how_many(3, "epoch")
    ('1 strategy', '0 classes', '2 strategies', '1,200 boxes', '3 epochs')
    """
    return f"{number:,} {_noun(number, noun)}"


def named(noun: str, names: Sequence[str]) -> str:
    """Names after what they are names of.

    >>> named("strategy", ["bce"]), named("strategy", ["bce", "focal"])
    ('strategy bce', 'strategies bce, focal')
    """
    return f"{_noun(len(names), noun)} {', '.join(names)}"


def _noun(number: int, noun: str) -> str:
    if number == 1:
        return noun
    if noun.endswith("y") and noun[-2] not in "aeou":
        return f"{noun[:-1]}ies"
    hissing = noun.endswith(("s", "x", "ch", "sh")) and noun != "epoch"
    return f"{noun}es" if hissing else f"{noun}s"


def figure(value: float) -> str:
    """A number as a table shows it: three decimals below ten, three figures above, a true minus; less than `NOISE` is 0.

    >>> figure(0.81249), figure(-12.345), figure(562.0), figure(0.00004), figure(3), figure(-1e-8)
    ('0.812', '−12.3', '562', '0.00004', '3', '0.000')
    """
    size = _audible(value)
    if isinstance(value, int) or (size >= 100 and float(value).is_integer()):
        text = f"{size:,.0f}"
    elif 0 < size < 0.0005:
        text = f"{size:.{-math.floor(math.log10(size))}f}"
    else:
        text = f"{size:.3f}" if size < 10 else f"{size:.1f}" if size < 100 else f"{size:.0f}"
    return ("−" if value < 0 and text.strip("0.") else "") + text


def signed(value: float) -> str:
    """`figure` with its sign, as differences are shown.

    >>> signed(0.0123), signed(0.0)
    ('+0.012', '0.000')
    """
    return ("+" if value > 0 and figure(value).strip("0.") else "") + figure(value)


def rounded(value: float) -> str:
    """A number inside a sentence: three figures, without needless zeros or an exponent; less than `NOISE` is 0.

    >>> rounded(0.012345), rounded(1234.5), rounded(-0.5), rounded(0), rounded(-2.5e-9)
    ('0.0123', '1,230', '−0.5', '0', '0')
    """
    size = _audible(value)
    if not size:
        return "0"
    short = float(f"{size:.2e}")
    decimals = max(2 - math.floor(math.log10(short)), 0)
    text = f"{short:,.{decimals}f}"
    return ("−" if value < 0 else "") + (text.rstrip("0").rstrip(".") if decimals else text)


def p_value(p: float) -> str:
    """A p-value; one below 0.001 says no more than that.

    >>> p_value(0.0123), p_value(2e-9), p_value(1.0)
    ('0.012', '<\\xa00.001', '1.000')
    """
    return f"<\u00a0{LEAST_P}" if p < LEAST_P else figure(float(p))


def p_said(p: float) -> str:
    """The same inside a sentence.

    >>> p_said(0.0123), p_said(2e-9)
    ('p = 0.012', 'p <\\xa00.001')
    """
    return f"p {p_value(p)}" if p < LEAST_P else f"p = {p_value(p)}"


def title(name: str) -> str:
    """A metric's or attribution's name as a heading.

    >>> title("iobb"), title("average_precision"), title("cam")
    ('IoBB', 'Average precision', 'CAM')
    """
    if (spaced := name.replace("_", " ")) in SPELT:
        return SPELT[spaced]
    words = [SPELT.get(word, word) for word in spaced.split()]
    text = " ".join(words) or name
    return text if words and words[0] in SPELT.values() else text[:1].upper() + text[1:]


def spoken(name: str) -> str:
    """The same inside a sentence.

    >>> spoken("average_precision"), spoken("auroc"), spoken("kappa_loc")
    ('average precision', 'AUROC', 'κ localisation')
    """
    text = title(name)
    return text if any(letter.isupper() for letter in text[1:]) else text[:1].lower() + text[1:]


def class_title(name: str) -> str:
    """A class, or what a pseudo class stands for, as a heading.

    >>> class_title("(macro)"), class_title("Mass")
    ('Mean over classes', 'Mass')
    """
    return WHOLES.get(name, name)


def class_spoken(name: str) -> str:
    """The same inside a sentence.

    >>> class_spoken("(macro)"), class_spoken("Mass")
    ('mean over classes', 'Mass')
    """
    return WHOLES[name][0].lower() + WHOLES[name][1:] if name in WHOLES else name


def _audible(value: float) -> float:
    """The size of a number, 0 where it is only what rounding left of one."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that a report can show; say why it is missing")
    return abs(value) if abs(value) >= NOISE else 0


def _spelt(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
