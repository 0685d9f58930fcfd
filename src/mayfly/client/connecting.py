"""Finding the server that a command talks to: a remote one that was configured, else the embedded one, started if need be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mayfly import __version__
from mayfly.client import embedded
from mayfly.client.doors import Doors, Place
from mayfly.client.home import ServerRecord, read_record, state_folder
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Conflict, Denied, Invalid, MayflyError, Unavailable
from mayfly.transfer.http import Retry, Session, Timeouts

_PING = Timeouts(connect=2.0, read=20.0)
_USER_AGENT = f"mayfly-cli/{__version__}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says about servers."""

    folder: Path
    environ: Mapping[str, str]
    server: str = ""
    autostart: bool = True

    @property
    def remote(self) -> bool:
        return bool(self.server)


def read_settings(environ: Mapping[str, str]) -> Settings:
    return Settings(
        folder=state_folder(environ),
        environ=environ,
        server=environ.get("MAYFLY_SERVER", "").strip(),
        autostart=environ.get("MAYFLY_AUTOSTART", "1").strip().lower() not in ("0", "false", "no", "off"),
    )


def connect(settings: Settings, place: Place, clock: Clock, notice: Callable[[str], None]) -> Doors:
    """The doors of a server that answers and is of our version.

    Raises Unavailable `ServerNotRunning` (autostart is off), `ServerUnreachable`; Denied `TokenMissing`; Conflict
    `VersionMismatch`; and what `embedded.ensure` raises.
    """
    if settings.remote:
        return _remote(settings, place)
    return Doors(open_session(local(settings, clock, notice)), place)


def local(settings: Settings, clock: Clock, notice: Callable[[str], None]) -> ServerRecord:
    """The embedded server, started if need be. Raises as `connect`."""
    record = embedded.find(settings.folder, answers)
    if record is None:
        if not settings.autostart:
            raise _not_running(settings.folder)
        started = embedded.ensure(
            settings.folder, settings.environ, clock, answers, options=("--automatic",), notice=notice
        )
        record = started.record
    embedded.check_version(record)
    return record


def running(settings: Settings, place: Place) -> Doors:
    """As `connect`, but starts nothing and takes a server of any version: for `status` and `down`.
    Raises Unavailable `ServerNotRunning`."""
    if settings.remote:
        return _remote(settings, place, any_version=True)
    record = embedded.find(settings.folder, answers)
    if record is None:
        raise _not_running(settings.folder)
    return Doors(open_session(record), place)


def is_up(settings: Settings) -> bool:
    """Whether there is a server to be asked, as far as that can be told without asking."""
    return settings.remote or ((record := read_record(settings.folder)) is not None and record.alive())


def was_stopped(settings: Settings) -> bool:
    """Whether the embedded server was stopped on purpose: it takes its record away, a killed one leaves it."""
    return not settings.remote and read_record(settings.folder) is None


def answers(record: ServerRecord) -> bool:
    """Whether the server of the record answers, and takes its folder's token."""
    try:
        with open_session(record, timeouts=_PING, retry=Retry(attempts=1)) as session:
            session.get("/mayfly/v1/server")
    except Unavailable as error:
        return error.code == "ServerSilent"
    except Denied:
        return False
    except MayflyError:
        return True
    return True


def open_session(record: ServerRecord, *, timeouts: Timeouts = Timeouts(), retry: Retry = Retry()) -> Session:
    """Raises Unavailable `TokenUnreadable`."""
    try:
        token = record.token()
    except OSError as error:
        raise Unavailable(
            "TokenUnreadable",
            f"The server's token cannot be read: {error.strerror or error} ({record.token_file}).",
            remedy="Run the command as the user who started the server, or set MAYFLY_HOME to a folder of your own.",
        ) from error
    return Session(record.url, token, timeouts=timeouts, retry=retry, user_agent=_USER_AGENT)


def _remote(settings: Settings, place: Place, *, any_version: bool = False) -> Doors:
    session = Session(settings.server, _remote_token(settings.environ), user_agent=_USER_AGENT)
    doors = Doors(session, place, remote=not _on_this_machine(settings.server))
    version = str(doors.server().get("version", ""))
    if version != __version__ and not any_version:
        raise Conflict(
            "VersionMismatch",
            f"The server at {session.base_url} is Mayfly {version or 'of an unknown version'}, this command is "
            f"{__version__}.",
            remedy=f"Install the server's version beside this command: pip install mayfly-ml=={version}",
        )
    return doors


def _remote_token(environ: Mapping[str, str]) -> str:
    if token := environ.get("MAYFLY_TOKEN", "").strip():
        return token
    if not (file := environ.get("MAYFLY_TOKEN_FILE", "").strip()):
        raise Denied(
            "TokenMissing",
            "MAYFLY_SERVER is set, but no token for it.",
            remedy="Set MAYFLY_TOKEN_FILE to the file that holds the token, or MAYFLY_TOKEN to the token.",
        )
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid("TokenUnreadable", f"MAYFLY_TOKEN_FILE={file} cannot be read: {reason}.") from error


def _on_this_machine(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def _not_running(folder: Path) -> Unavailable:
    return Unavailable(
        "ServerNotRunning",
        f"No Mayfly server runs for {folder}.",
        remedy="Start one: mayfly up --detach",
    )
