"""A section is one part of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .evidence import Evidence


class Section:
    """A title, a template, and what the template is given.

    `template` is a file name in the templates folder, or the text of a Jinja template itself (anything with a `<`), so
    that a section fits in one file. `order` says where it stands: page one up to 20, data 30, reference standard 40, networks 50,
    discrimination 60, calibration 70, maps 80, controls 90, inner representation 100, shortcuts 110, subgroups 120, failures 130,
    limits 140, oversight 150, methods 160, reproduction 170, changes 180, checklists 190. Values are escaped; a section sees only the evidence: no images, no models.

    Optional attributes: `data-class` on a row or figure, and `data-overall` on rows over all classes, tell the page's filter what
    they are about; `data-joined` keeps a row with the one above; `data-paper="skip"` leaves an element out of the PDF, with a note.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    template: ClassVar[str]
    order: ClassVar[int] = 135

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """The variables of the template."""
        raise NotImplementedError
