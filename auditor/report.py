"""Evidence in, pages out: one HTML file that needs nothing else, and a tagged PDF of the same content."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from . import __version__, paper
from .errors import ConfigError, MissingLibrary, OutputError, PluginError, nearest
from .evidence import Evidence, read
from .ledger import publish
from .observers import ask
from .wording import absence, clean_label, figure, how_many, signed, visible

if TYPE_CHECKING:
    import jinja2

    from .section import Section

CLOCK = "SOURCE_DATE_EPOCH"
LONG_AGO = datetime(1980, 1, 1)
"""The date of attachments: the same evidence gives the same bytes."""

log = logging.getLogger("auditor")

FORMATS = ("html", "pdf")
POLICY = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
PAGE_ONE = 20
"""Sections up to this order stand before the contents: a reader who opens the report sees what it found."""
DEEPEST, WIDEST = 100, 1000
"""Elements within one another, and columns or rows under one cell, that a section may write; far more would not print."""
FONTS = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_TO_A_PART = re.compile(r'<a href="#(part-[\w-]+)">(.*?)</a>', re.DOTALL)
VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
FORBIDDEN = frozenset(
    ["script", "iframe", "object", "embed", "link", "meta", "base", "form", "input", "button", "style", "audio", "video"]
)


class Failure(NamedTuple):
    """A section that could not be made."""

    section: str
    error: str


class Rendered(NamedTuple):
    """What was written, by format, and the sections that could not be made."""

    files: dict[str, Path]
    failures: list[Failure]


def render(run_folder: Path, formats: Iterable[str] = FORMATS, registry: Any = None) -> Rendered:
    """Write report.html, then report.pdf, into a run folder from what is in it.

    A failed section leaves a box in its place; a failed PDF leaves the HTML. Raises ConfigError on an unknown format,
    OutputError when there are no results, MissingLibrary when the PDF cannot be made on this machine.
    """
    wanted = list(formats)
    for name in wanted:
        if name not in FORMATS:
            raise ConfigError(f"report format {name!r}: it is html or pdf{nearest(name, FORMATS)}")
    results = run_folder / "results.json"
    if not results.is_file():
        raise OutputError(f"{results} is not there; `auditor run` writes it at the end of an audit")
    evidence = read(run_folder)
    if registry is None:
        from .registry import Registry

        registry = Registry((), run_folder)
    sections = registry.all("sections").values()
    html, failures = render_html(
        evidence, sections, prepare=lambda env: ask(registry.hook, "prepare_environment", environment=env)[1]
    )
    for failure in failures:
        log.warning("section %s failed: %s", failure.section, failure.error)
    written: dict[str, Path] = {}
    if "html" in wanted:
        publish(run_folder / "report.html", html.encode("utf-8"))
        written["html"] = run_folder / "report.html"
    if "pdf" in wanted:
        write_pdf(html, run_folder / "report.pdf", results.read_text(encoding="utf-8"))
        written["pdf"] = run_folder / "report.pdf"
    return Rendered(written, failures)


def render_html(
    evidence: Evidence,
    sections: Iterable[type[Section]],
    prepare: Callable[[jinja2.Environment], Sequence[str]] | None = None,
) -> tuple[str, list[Failure]]:
    """The whole report as one HTML page, and the sections that failed; the same evidence gives the same bytes.

    Sections stand in their `order`, then by name, and can be linked to as `#part-NAME`. One that raises, or writes markup that a report must not hold, is replaced
    by a box that says so. One that comes out blank is left out.
    """
    environment = new_environment()
    failures = [Failure("prepare_environment", what) for what in (prepare(environment) if prepare else ())]
    parts: list[dict[str, Any]] = []
    for section in sorted(sections, key=lambda section: (section.order, section.name)):
        try:
            body = section_body(environment, section, evidence)
            error = None
        except Exception as problem:  # a section is a stranger's code; whatever it raises, the others are still told
            error = f"{type(problem).__name__}: {problem}"
            body = Markup("")
            failures.append(Failure(section.name, error))
        if error or body.strip():
            place = {"id": _anchor(section.name, parts), "front": section.order <= PAGE_ONE}
            parts.append({**place, "title": section.title, "body": body, "error": error})
    there = {str(part["id"]) for part in parts}
    for part in parts:
        part["body"] = _without_dead_links(str(part["body"]), there)
    page = whole_page(
        environment,
        "report.html",
        title=evidence.audit.get("title") or "Interpretability audit",
        parts=parts,
        failures=failures,
        version=evidence.audit.get("tool") or __version__,
    )
    return page, failures


def whole_page(environment: jinja2.Environment, template: str, **context: Any) -> str:
    """A page that needs nothing beside it: our style, our script and no other, and of our fonts the letters that it uses."""
    script = _template("report.js").read_text(encoding="utf-8")
    page = environment.get_template(template).render(
        policy=POLICY.format(digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        script=Markup(f"<script>{script}</script>"),
        style=Markup(_template("report.css").read_text(encoding="utf-8")),
        fonts=Markup("<!--fonts-->"),
        **context,
    )
    return page.replace("<!--fonts-->", _font_faces("".join(sorted(set(page)))), 1)


def new_environment() -> jinja2.Environment:
    """Where sections are rendered: everything is escaped, a missing name is an error, and so is printing None or NaN."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(str(_template("."))),
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters.update(absence=absence, clean_label=clean_label, figure=figure, how_many=how_many, signed=signed)
    return environment


def section_body(environment: jinja2.Environment, section: type[Section], evidence: Evidence) -> Markup:
    """One section rendered and checked; raises whatever the section raises, or PluginError for forbidden markup."""
    template = (
        environment.from_string(section.template)
        if "<" in section.template
        else environment.get_template(f"sections/{section.template}")
    )
    body = template.render(**section().context(evidence))
    check = _Check()
    check.feed(body)
    check.finish()
    return Markup(body)


def write_pdf(html: str, path: Path, results_json: str | None = None) -> None:
    """Write the report as a tagged PDF (PDF/UA-1) with bookmarks and page numbers, `results.json` attached.

    Only data: URIs are read; anything else that the page asks for is an error, also where WeasyPrint would carry on. What
    `paper.shorten` leaves to the HTML is named in its place.
    """
    weasyprint = _weasyprint()
    from weasyprint.text.fonts import FontConfiguration

    fetcher = _embedded_only()
    document = weasyprint.HTML(string=html, url_fetcher=fetcher, base_url=None)
    paper.shorten(document.etree_element)
    attachments = []
    if results_json is not None:
        attachments.append(
            weasyprint.Attachment(
                string=results_json,
                name="results.json",
                description="All numbers of this report",
                created=LONG_AGO,
                modified=LONG_AGO,
            )
        )
    try:
        with _fonts_without_a_date():
            data = document.write_pdf(
                pdf_variant="pdf/ua-1", attachments=attachments, font_config=FontConfiguration(), custom_metadata=False
            )
    except weasyprint.urls.FatalURLFetchingError as error:
        raise OutputError(f"{path}: {error}") from None
    if fetcher.denied:
        raise OutputError(f"{path}: the report asks for {clean_label(fetcher.denied[0])}; a report holds all it needs")
    publish(path, data)


def _embedded_only() -> Any:
    """A fetcher that answers data: URIs and nothing else, and remembers what it denied: inside SVG, WeasyPrint swallows even
    the fatal error."""
    from weasyprint.urls import FatalURLFetchingError, URLFetcher

    class EmbeddedOnly(URLFetcher):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(allowed_protocols={"data"}, allow_redirects=False, fail_on_errors=True)
            self.denied: list[str] = []

        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.lower().startswith("data:"):
                self.denied.append(url)
                raise FatalURLFetchingError(f"the report asks for {clean_label(url)}; a report holds all it needs")
            return super().fetch(url, headers)

    return EmbeddedOnly()


def _weasyprint() -> Any:
    """WeasyPrint, without its side effect: importing it lets Pillow take half a file for a whole image, in the whole process."""
    from PIL import ImageFile

    whole_files_only = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import weasyprint
    except (ImportError, OSError) as error:
        raise MissingLibrary(
            f"the PDF needs WeasyPrint and its system libraries ({clean_label(error)}): apt-get install libpango-1.0-0 "
            "libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig; `auditor doctor` checks them; report.html needs none of them"
        ) from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = whole_files_only
    return weasyprint


@contextmanager
def _fonts_without_a_date() -> Iterator[None]:
    """Where HarfBuzz's subsetter is absent fontTools cuts the fonts, and writes the time into them unless it is told one."""
    before = os.environ.get(CLOCK)
    os.environ[CLOCK] = before or "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CLOCK]


def _anchor(name: str, parts: Sequence[dict[str, Any]]) -> str:
    """`part-NAME`, in letters that an address may hold; a second section of the same letters is numbered."""
    plain = f"part-{re.sub(r'[^A-Za-z0-9_]+', '-', name)}"
    taken = {part["id"] for part in parts}
    return plain if plain not in taken else f"{plain}-{len(parts) + 1}"


def _without_dead_links(body: str, there: Set[str]) -> Markup:
    """A checked body in which a link to a section that was left out is plain words."""
    return Markup(_TO_A_PART.sub(lambda link: link[0] if link[1] in there else link[2], body))


def _template(name: str) -> Path:
    return Path(str(files("auditor_templates"))) / name


def _printable(value: Any) -> Any:
    """What `{{ value }}` prints: text with unseen characters spelt out; None and NaN are mistakes of the template."""
    if value is None or (isinstance(value, float) and value != value):
        raise ValueError(f"a template prints {value}; absence is told by its reason, never as a value")
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)


def _font_faces(letters: str) -> Markup:
    faces = "".join(
        f"@font-face{{font-family:'Report Sans';font-weight:{weight};src:url(data:font/ttf;base64,{_font(file, letters)})}}"
        for weight, file in FONTS.items()
    )
    return Markup(faces)


@lru_cache(maxsize=8)
def _font(name: str, letters: str) -> str:
    """The glyphs that the page uses, in base64: 20 kB instead of 750."""
    from fontTools import subset  # type: ignore[import-untyped]

    options = subset.Options(
        hinting=False, layout_features=["kern"], notdef_outline=True, recalc_timestamp=False, drop_tables=["FFTM"]
    )
    font = subset.load_font(io.BytesIO((_template("fonts") / name).read_bytes()), options)
    worker = subset.Subsetter(options)
    worker.populate(text=letters + "…•−–0123456789")
    worker.subset(font)
    file = io.BytesIO()
    subset.save_font(font, file, options)
    return base64.b64encode(file.getvalue()).decode("ascii")


class _Check(HTMLParser):
    """Refuses what a section must not write: scripts and forms, event handlers, addresses outside the page, open elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self._open.append(tag)
        if len(self._open) > DEEPEST:
            raise PluginError(f"the section nests elements more than {DEEPEST} deep")

    def handle_startendtag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        if tag in FORBIDDEN:
            raise PluginError(f"the section writes <{tag}>, which a report must not hold")
        for name, value in attributes:
            address = (value or "").strip().lower()
            if name.startswith("on"):
                raise PluginError(f"the section writes the event handler {name}, which a report must not hold")
            inside = ("#",) if tag == "a" else ("#", "data:image/")
            if name in ("href", "src", "xlink:href", "action", "srcset", "poster") and not address.startswith(inside):
                raise PluginError(f"the section links to {clean_label(address)!r}; a report links only within itself")
            if name in ("colspan", "rowspan") and not (address.isdecimal() and len(address) < 5 and int(address) <= WIDEST):
                raise PluginError(f"the section writes {name}={clean_label(address, 20)!r}; it is a number up to {WIDEST}")
            if name == "style" and "url(" in address:
                raise PluginError("the section loads something in a style; a report holds all it needs")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            raise PluginError(f"the section closes <{tag}> where it is not open")

    def finish(self) -> None:
        """Everything opened has been closed."""
        self.close()
        if self._open:
            raise PluginError(f"the section leaves <{self._open[-1]}> open")
