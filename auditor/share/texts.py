"""Words that leave the house: sentences of ours without names and paths, and of a stranger's exception its type alone."""

from __future__ import annotations

import builtins
import getpass
import os
import re
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from .. import errors

UNSAID = "its message is not shared"
OF_A_PLUGIN = "the reason is in a plugin's own words, which are not shared"
STRANGE = "an exception of a plugin"
_FAILED = re.compile(
    r"(?P<lead>(?:failed(?: on the training images)?|the training images could not be measured|"
    r"the network cannot be drawn again): )?(?P<type>(?!failed\b)[A-Za-z_]\w*): .*",
    re.DOTALL,
)
_NO_ANSWER = re.compile(r"(?P<lead>failed: )?(?P<code>[\w:-]+)(?P<rest>: no usable answer for \d+ of \d+ images)")
_RAISED = re.compile(r"(?P<said>.*) \((?P<type>[A-Za-z_]\w*): .*\)", re.DOTALL)
_PATH = re.compile(r"\S*(?:/|\\)[^\s'\"]+|~\S+")
_FILE = re.compile(
    r"[^\s'\"/]+\.(?:png|jpe?g|tiff?|dcm|csv|tsv|xml|py|pth?|ckpt|safetensors|np[yz]|ya?ml|json|gz|zip|txt|db|html|pdf)\b", re.I
)
_QUOTED = re.compile(r"(?<!\w)['\"]([^'\"\n]{1,200})['\"](?!\w)")
_COUNTED = re.compile(r"(?<![\w.,])(?<!fewer than )[1-4](?= (?:of [\d,]+ )?(?:labels?|boxes|box|images?|patients?|cases?)\b)")
_GENERAL = re.compile(
    r"not estimable(?: in any class| \((?:0 positives|0 negatives|n = \d+|no finite value or interval)\))?|"
    r"fewer than \d+ (?:(?:positive or negative|positive|negative) )?patients: (?P<who>.*)|"
    r"[\d,]+ of [\d,]+ (?:cases|classes|resamples) (?:left out|dropped): (?P<what>.*)|"
    r"no patient differs: (?:no interval|the interval rests on how many they are)"
)
_ENDS = ("interval not reliable", "no value in every network", "a class had no positives or no negatives", "not shared")
_TOKEN = re.compile(r"[\w.\-]+")
_OURS = frozenset({"audit.yaml", "results.json", "model.json", "report.html", "plan.json"})
_CODE = re.compile(
    r"(?:missing|header|frames|photometric|permission|not-an-image|orientation|syntax|decoder|shape|range|nonfinite(?:-\w+)?|"
    r"(?:cap|decode|path|mode):[A-Za-z0-9-]{1,24})"
)  # fmt: skip
SHORTEST = 4
"""Letters of a name that is looked for in sentences; a shorter one could be any number or word."""


class Texts:
    """`names` are what must not be said, each with what stands for it; `known` the words that may be, whatever they are names of."""

    def __init__(self, names: Mapping[str, str], known: Collection[str]) -> None:
        self._names = {name: stand_in for name, stand_in in {**_places(), **names}.items() if len(name) >= SHORTEST}
        self._known = frozenset(known)
        self._parts = {part for name in known for part in name.split()}
        self._spelt = [name for name in self._names if not _TOKEN.fullmatch(name)]

    def ours(self, text: str) -> str:
        """A sentence of ours, in which a path or a name may have been quoted.

        >>> Texts({"film-17": "a1"}, ()).ours("film-17 in /data/x.png is like no film-18")
        'a1 in (path) is like no film-18'
        """
        text = _QUOTED.sub(lambda found: found[0] if found[1] in self._known else "(text)", self.title(text))
        text = _PATH.sub(lambda found: found[0] if found[0].strip(",;:.()") in self._parts else "(path)", text)
        return _FILE.sub(lambda found: found[0] if found[0] in _OURS else "(file)", text)

    def title(self, text: str) -> str:
        """A title, which is shared on purpose, without the names that must not be said."""
        for name in self._spelt:
            text = text.replace(name, self._names[name])
        return _TOKEN.sub(lambda found: self._word(found[0]), text)

    def note(self, text: str) -> str:
        """A sentence of ours without a count of so few that they are somebody.

        >>> Texts({}, ()).note("3 labels 'Smith' are not among the classes")
        'fewer than 5 labels (text) are not among the classes'
        """
        return without_few(self.ours(text))

    def reason(self, text: str) -> str:
        """Why something is missing or failed; of what was raised, the type.

        >>> Texts({}, ()).reason("failed: ValueError: Smith is not a number")
        'failed: ValueError (its message is not shared)'
        """
        if found := _NO_ANSWER.fullmatch(text):
            return f"{found['lead'] or ''}{code(found['code'])}{found['rest']}"
        if found := _FAILED.fullmatch(text):
            return f"{found['lead'] or ''}{exception(found['type'])} ({UNSAID})"
        if found := _RAISED.fullmatch(text):
            return f"{self.note(found['said'])} ({exception(found['type'])}; {UNSAID})"
        return self.note(text)

    def of_a_stranger(self, text: str, declared: Collection[str]) -> str:
        """What stands in the place of a number of a plugin's analysis: what auditor says of any analysis, or what the plugin declares.

        >>> Texts({}, {"Mass"}).of_a_stranger("fewer than 20 patients: Mass", ()), Texts({}, ()).of_a_stranger("Smith moved", ())
        ('fewer than 20 patients: Mass', "the reason is in a plugin's own words, which are not shared")
        """
        if text in declared or text.startswith("failed") or all(self._is_general(part) for part in text.split("; ")):
            return self.reason(text)
        return OF_A_PLUGIN

    def _is_general(self, text: str) -> bool:
        found = _GENERAL.fullmatch(text)
        ends = re.split(r", |: ", found["who"] or found["what"] or "") if found else ["nothing"]
        return all(end in _ENDS or end in self._known or not end for end in ends)

    def may_be_said(self, word: str) -> bool:
        """Whether this is a name that is shared on purpose: of a class, a network, a metric."""
        return word in self._known

    def _word(self, word: str) -> str:
        bare = word.rstrip(".-")
        if bare in self._known or bare not in self._names:
            return word
        return self._names[bare] + word[len(bare) :]


def without_few(text: str) -> str:
    """A sentence without a count of so few that they are somebody; a limit is no count.

    >>> without_few("2 of 12 cases left out; fewer than 2 patients")
    'fewer than 5 of 12 cases left out; fewer than 2 patients'
    """
    return _COUNTED.sub("fewer than 5", text)


def exception(name: str) -> str:
    """A type that Python or auditor has; a plugin's own says who wrote it."""
    found = getattr(builtins, name, None) or getattr(errors, name, None)
    known = isinstance(found, type) and issubclass(found, BaseException)
    return name if known or name in ("OutOfMemoryError", "UnidentifiedImageError") else STRANGE


def code(reason: str) -> str:
    """The short code under which an image was set aside, if it is one of ours.

    >>> code("decode:truncated"), code("error:KeyError"), code("Smith has moved")
    ('decode:truncated', 'error:KeyError', 'other')
    """
    kind, _, name = reason.partition(":")
    if kind == "error":
        return f"error:{exception(name).replace(STRANGE, 'other')}"
    return reason if _CODE.fullmatch(reason) else "other"


def _places() -> dict[str, str]:
    """What this machine and its user are called."""
    found = {socket.gethostname(): "(host)", os.environ.get("HOME", ""): "(path)", os.environ.get("USER", ""): "(user)"}
    found[str(Path.cwd())] = "(path)"
    with suppress(OSError, KeyError):  # a user without a name
        found[getpass.getuser()] = "(user)"
    return {name: stand_in for name, stand_in in found.items() if name not in ("root", "user", "localhost", "audit", "auditor")}
