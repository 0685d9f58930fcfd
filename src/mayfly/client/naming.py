"""Names for a shell that completes a command line: quick, silent, and from a server that runs already."""

from __future__ import annotations

from contextlib import suppress

from mayfly.client.connecting import Settings, open_session
from mayfly.client.doors import Doors, Place
from mayfly.client.home import read_record
from mayfly.kit.errors import MayflyError
from mayfly.transfer.http import Retry, Timeouts

_MOST = 200
_PATIENCE = Timeouts(connect=0.2, read=1.0)


def names(settings: Settings, place: Place, kind: str, begun: str) -> list[str]:
    """Those that begin so, newest first; [] where no server answers at once. Starts nothing. `kind`: job, datastore, or
    an asset's."""
    record = None if settings.remote else read_record(settings.folder)
    if record is None or not record.alive():
        return []
    with suppress(MayflyError), open_session(record, timeouts=_PATIENCE, retry=Retry(attempts=1)) as session:
        doors = Doors(session, place)
        if kind == "datastore":
            found = doors.datastores()
        else:
            found = doors.jobs(limit=_MOST, which="all") if kind == "job" else doors.assets(kind, limit=_MOST)
        return [one["name"] for one in found if one["name"].startswith(begun)]
    return []
