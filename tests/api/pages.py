"""Pages of the console as tests read them: their texts and links, and what makes them hard to use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from tests.api.visitors import Answer

_VOID = {"meta", "link", "input", "img", "br", "hr"}
_FIELDS = {"input", "select", "textarea"}


@dataclass(kw_only=True)
class Element:
    """An element with its attributes; `text` is all that stands in it."""

    name: str
    attributes: Mapping[str, str]
    above: "Element | None"
    parts: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text, with single blanks."""
        return " ".join("".join(part if isinstance(part, str) else f" {part.text} " for part in self.parts).split())

    def all(self, name: str = "", /, **attributes: str) -> list["Element"]:
        """The elements in it of a name (any without one) and with these attributes, in order."""
        return [e for e in self._below() if name in {"", e.name} and attributes.items() <= e.attributes.items()]

    def one(self, name: str, /, **attributes: str) -> "Element":
        """The only such element in it."""
        (found,) = self.all(name, **attributes)
        return found

    def _below(self) -> Iterator["Element"]:
        for part in self.parts:
            if isinstance(part, Element):
                yield part
                yield from part._below()


class Page(HTMLParser):
    """A page that was answered; it must be HTML under the console's policy, and free of `faults`."""

    def __init__(self, answer: Answer, *, status: int = 200) -> None:
        super().__init__()
        assert answer.status == status, answer.body
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        self.root = self._at = Element(name="", attributes={}, above=None)
        self.feed(answer.body.decode())
        self.close()
        assert self._at is self.root, f"{self._at.name} is not closed"
        assert faults(self.root) == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        made = Element(name=tag, attributes={name: value or "" for name, value in attrs}, above=self._at)
        self._at.parts.append(made)
        if tag not in _VOID:
            self._at = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add an element that has no end, as SVG writes them."""
        self._at.parts.append(Element(name=tag, attributes={n: v or "" for n, v in attrs}, above=self._at))

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        assert self._at.name == tag, f"{self._at.name} ends with {tag}"
        assert self._at.above is not None
        self._at = self._at.above

    def handle_data(self, data: str) -> None:
        """Add a text."""
        self._at.parts.append(data)

    @property
    def title(self) -> str:
        """Its heading."""
        return self.root.one("h1").text

    @property
    def text(self) -> str:
        """What stands below its heading."""
        return self.root.one("main").text

    @property
    def wrong(self) -> str:
        """What it says is wrong, empty for nothing."""
        return " ".join(element.text for element in self.root.all(role="alert"))

    def links(self) -> Sequence[str]:
        """Where its links lead."""
        return [element.attributes["href"] for element in self.root.all("a")]

    def rows(self, number: int = 0) -> list[list[str]]:
        """The texts of a table's cells, without its head."""
        body = self.root.all("tbody")[number]
        return [[e.text for e in row.all() if e.name in {"td", "th"}] for row in body.all("tr")]


def faults(root: Element) -> list[str]:
    """What would make a page hard to use without a mouse or eyes, or what its policy would not let work."""
    return [*_landmarks(root), *_headings(root), *_fields(root), *_tables(root), *_pictures(root), *_forbidden(root)]


def _landmarks(root: Element) -> Iterator[str]:
    for name in ("main", "h1", "title", "header", "footer"):
        shown = [e for e in root.all(name) if e.above and e.above.name not in {"svg", "g", "a", "rect", "circle"}]
        if len([e for e in shown if name != "title" or (e.above and e.above.name == "head")]) != 1:
            yield f"not one {name}"
    if root.one("html").attributes.get("lang") != "en":
        yield "no language"
    first = root.one("body").all("a")[0].attributes["href"]
    if first != "#main" or not root.all("main", id="main"):
        yield "no link that skips to the content"
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    yield from (f"the id {each} stands twice" for each in {each for each in ids if ids.count(each) > 1})


def _headings(root: Element) -> Iterator[str]:
    levels = [int(e.name[1]) for e in root.all() if e.name in {"h1", "h2", "h3", "h4"}]
    for before, after in zip([0, *levels], levels, strict=False):
        if after > before + 1:
            yield f"a leap from heading {before} to {after}"


def _fields(root: Element) -> Iterator[str]:
    labels = {e.attributes.get("for", "") for e in root.all("label")}
    ids = {e.attributes["id"] for e in root.all() if "id" in e.attributes}
    for element in root.all():
        given = element.attributes
        if element.name in _FIELDS and given.get("type") != "hidden":
            if given.get("id", "") not in labels and not given.get("aria-label"):
                yield f"no label: {given}"
            if unknown := set(given.get("aria-describedby", "").split()) - ids:
                yield f"described by {unknown}"
        if element.name in {"a", "button"} and not (element.text or given.get("aria-label")):
            yield f"no words: {element.name} {given}"
        if int(given.get("tabindex", "0")) > 0:
            yield f"an order of its own: {given}"


def _tables(root: Element) -> Iterator[str]:
    for table in root.all("table"):
        if not any(e.text for e in table.all("caption")):
            yield "a table without a caption"
        if any("scope" not in e.attributes for e in table.all("th")):
            yield "a head of a table that does not say of what"


def _pictures(root: Element) -> Iterator[str]:
    ids = {e.attributes["id"] for e in root.all() if "id" in e.attributes}
    for picture in root.all("svg"):
        if (
            picture.attributes.get("aria-hidden") != "true"
            and not set(picture.attributes.get("aria-labelledby", "none").split()) <= ids
        ):
            yield "a picture without words"
    yield from ("an image without alt" for e in root.all("img") if "alt" not in e.attributes)


def _forbidden(root: Element) -> Iterator[str]:
    for element in root.all():
        if element.name == "style" or (element.name == "script" and element.text):
            yield f"{element.name} within the page"
        for name, value in element.attributes.items():
            if name == "style" or name.startswith("on"):
                yield f"an attribute {name}"
            if name in {"src", "href", "action"} and not value.startswith(("/", "#")):
                yield f"{name} leads to {value}"
