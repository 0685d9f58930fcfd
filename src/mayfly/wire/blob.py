"""Shapes of Azure's blob service: lists, block lists and failures in XML, times as HTTP writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid

VERSION = "2021-12-02"
PROPERTIES = {
    "content-type": "Content-Type",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-md5": "Content-MD5",
    "content-disposition": "Content-Disposition",
    "cache-control": "Cache-Control",
}
"""What a blob may be told of itself: as a request's `x-ms-blob-…` says it, and as answers do."""

_NEVER = Millis(0)
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FIRST_LINE = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
_MOST_BLOCKS = 50_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob of a list; with `size` None a prefix that stands for several."""

    name: str
    size: int | None = None
    etag: str = ""
    created_at: Millis = _NEVER
    modified_at: Millis = _NEVER
    headers: Mapping[str, str] | None = None
    metadata: Mapping[str, str] | None = None


def moment(moment: Millis) -> str:
    return format_datetime(datetime.fromtimestamp(moment // 1000, UTC), usegmt=True)


def millis(text: str) -> Millis:
    """Raises Invalid `InvalidHeaderValue`."""
    try:
        return Millis(int(parsedate_to_datetime(text).timestamp() * 1000))
    except ValueError as error:
        raise Invalid("InvalidHeaderValue", f"'{text[:60]}' is no time as HTTP writes it.") from error


def failure(code: str, message: str) -> bytes:
    return f"{_DECLARATION}<Error><Code>{escape(code)}</Code><Message>{_text(message)}</Message></Error>".encode()


def blob_list(
    address: str,
    container: str,
    asked: Mapping[str, str],
    found: Iterable[Listed],
    next_marker: str,
) -> bytes:
    """`asked`: prefix, marker, maxresults and delimiter, those that were given."""
    parts = [
        f"{_DECLARATION}<EnumerationResults ServiceEndpoint={quoteattr(address)} ContainerName={quoteattr(container)}>"
    ]
    for key, tag in (
        ("prefix", "Prefix"),
        ("marker", "Marker"),
        ("maxresults", "MaxResults"),
        ("delimiter", "Delimiter"),
    ):
        if key in asked:
            parts.append(_name(tag, asked[key]))
    parts.append("<Blobs>")
    for one in found:
        if one.size is None:
            parts.append(f"<BlobPrefix>{_name('Name', one.name)}</BlobPrefix>")
        else:
            parts.append(f"<Blob>{_name('Name', one.name)}{_properties(one)}</Blob>")
    parts.append(f"</Blobs><NextMarker>{escape(next_marker)}</NextMarker></EnumerationResults>")
    return "".join(parts).encode()


def _properties(one: Listed) -> str:
    headers = one.headers or {}
    told = "".join(f"<{tag}>{_text(headers[key])}</{tag}>" for key, tag in PROPERTIES.items() if key in headers)
    if "content-type" not in headers:
        told = f"<Content-Type>application/octet-stream</Content-Type>{told}"
    metadata = ""
    if one.metadata is not None:
        metadata = "".join(f"<{key}>{_text(value)}</{key}>" for key, value in one.metadata.items())
        metadata = f"<Metadata>{metadata}</Metadata>"
    return (
        f"<Properties><Creation-Time>{moment(one.created_at)}</Creation-Time>"
        f"<Last-Modified>{moment(one.modified_at)}</Last-Modified><Etag>{escape(one.etag)}</Etag>"
        f"<Content-Length>{one.size}</Content-Length>{told}<BlobType>BlockBlob</BlobType>"
        "<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
        "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>false</ServerEncrypted>"
        f"</Properties>{metadata}"
    )


def _name(tag: str, text: str) -> str:
    if _ODD.search(text):
        return f'<{tag} Encoded="true">{quote(text)}</{tag}>'
    return f"<{tag}>{_text(text)}</{tag}>"


def _text(text: str) -> str:
    return escape(_ODD.sub("?", text), {"\r": "&#13;"})


def block_list(data: bytes) -> list[tuple[str, str]]:
    """(where to look: Committed, Uncommitted or Latest; name) of each block, in order. Raises Invalid
    `InvalidXmlDocument`, `BlockListTooLong`."""
    try:
        text = _FIRST_LINE.sub("", data.decode("utf-8-sig"))
        if "<!" in text:
            raise Invalid("InvalidXmlDocument", "A block list has no document type.")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise Invalid("InvalidXmlDocument", f"The block list is no XML: {error}.") from error
    found = [(one.tag, one.text or "") for one in root]
    if root.tag != "BlockList" or any(tag not in ("Committed", "Uncommitted", "Latest") for tag, _ in found):
        raise Invalid("InvalidXmlDocument", "The body is <BlockList> of <Latest>, <Committed> and <Uncommitted>.")
    if len(found) > _MOST_BLOCKS:
        raise Invalid("BlockListTooLong", f"A blob has at most {_MOST_BLOCKS} blocks.")
    return found


def blocks(committed: Sequence[tuple[str, int]] | None, uncommitted: Sequence[tuple[str, int]] | None) -> bytes:
    """Which blocks there are: name and size. None: not asked for."""
    parts = [f"{_DECLARATION}<BlockList>"]
    for tag, some in (("CommittedBlocks", committed), ("UncommittedBlocks", uncommitted)):
        if some is not None:
            inner = "".join(f"<Block><Name>{escape(name)}</Name><Size>{size}</Size></Block>" for name, size in some)
            parts.append(f"<{tag}>{inner}</{tag}>")
    return "".join((*parts, "</BlockList>")).encode()
