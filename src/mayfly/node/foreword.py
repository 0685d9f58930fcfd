"""Runs first in an interpreter that is made ahead of its job, while that sets itself up (`node/ahead.py`).

It imports what the job's script will import first, says what it noticed meanwhile, and waits. Then it puts the job's own
surroundings in place and is gone: the interpreter goes on to read the script, as if it had just begun. Nothing but the standard
library of the job's own Python, whichever that is; a few lines before it say IMPORTS, HERE and OWN.

What it says is a line of three parts with tabs between: why it cannot be used ('' when it can), the modules that are there, and
which variables were asked for. It is the job's user who says it.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    IMPORTS: "tuple[tuple[str, tuple[str, ...]], ...]" = ()
    HERE: "tuple[str, ...]" = ()
    """Files that brought us here, which whoever starts later must not find."""
    OWN = 0
    """How many words of the command are the interpreter's."""

_GATE, _READY = 8, 9
_OOM = "/proc/self/oom_score_adj"


class _Witness:
    """What of its surroundings an import looked at, though the job's will be others."""

    def __init__(self):
        self.asked = set()
        self.listed = False
        self._kind: Any = type(os.environ)
        self._item, self._iter = self._kind.__getitem__, self._kind.__iter__

    def __enter__(self):
        def item(mapping, key):
            self.asked.add(os.fsdecode(key) if isinstance(key, (str, bytes)) else "?")
            return self._item(mapping, key)

        def listing(mapping):
            self.listed = True
            return self._iter(mapping)

        self._kind.__getitem__, self._kind.__iter__ = item, listing
        return self

    def __exit__(self, *_):
        self._kind.__getitem__, self._kind.__iter__ = self._item, self._iter


def wait():
    """Returns once the job may run."""
    try:
        for place in (*HERE, __cached__):
            try:
                os.unlink(place)
            except FileNotFoundError:
                pass
        oom = _exchange(_OOM, b"1000")
        with _Witness() as witness:
            why = _import()
        if not why and witness.listed:
            why = "an import looks at all variables"
        if not why and _has_children():
            why = "an import starts a process"
        roots = sorted({name.partition(".")[0] for name in list(sys.modules) if type(name) is str})
        asked = sorted(name for name in witness.asked if name.isidentifier())
        _say(_GATE, "\t".join([why.replace("\t", " ").replace("\n", " "), ",".join(roots), ",".join(asked)]) + "\n")
        mark, folder, count, *words = _heard().split(b"\0")
        argv = [os.fsdecode(word) for word in words[: int(count)]]
        os.chdir(folder)  # the same place, at which the job's own files are now
        _surround(words[int(count) :])
        sys.argv[1:] = argv[1 + OWN :]
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = argv
        _be_called(argv, mark)
        _exchange(_OOM, oom)
        del sys.modules[__name__]
        os.write(_READY, b"\n")
        if not os.read(_GATE, 1):
            os._exit(125)
        os.close(_GATE)
        os.close(_READY)
    except BaseException as error:
        os.write(2, f"The prepared start has failed: {error!r}\n".encode("utf-8", "replace"))
        os._exit(125)


def _import():
    """Why what was asked for is not there; '' when it is."""
    if any(finder.find_spec("sitecustomize", None) for finder in sys.meta_path):
        return "its Python has a sitecustomize of its own"
    for module, names in IMPORTS:
        try:
            __import__(module, fromlist=names)
        except BaseException as error:
            return f"importing {module} fails: {error!r}"
    return ""


def _has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _surround(lines):
    """The job's variables, and no others."""
    wanted = dict(line.split(b"=", 1) for line in lines)
    for name in list(os.environb):
        if name not in wanted:
            del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def _be_called(argv, mark):
    """Be seen as what a plain start would be: by the words of the command, and by the job's mark."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    begin, end, room = int(fields[45]), int(fields[46]), int(fields[47])
    with open("/proc/self/environ", "rb") as file:
        variables = file.read()
    at = variables.find(b"MAYFLY_ROOM=")
    length = variables.find(b"\0", at) - at
    title = b" ".join(os.fsencode(word) for word in argv)[: end - begin - 2]
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(title.ljust(end - begin - 1, b"\0") + b".")
        if at >= 0 and len(mark) <= length:
            memory.seek(room + at)
            memory.write(mark.ljust(length, b"\0"))


def _exchange(place, value):
    """The file's value until now."""
    try:
        with open(place, "r+b", buffering=0) as file:
            before = file.read().strip()
            file.write(value)
        return before
    except OSError:
        return b"0"


def _say(descriptor, text):
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(descriptor, data) :]


def _heard():
    """A number in a line, and as many bytes."""
    head = b""
    while not head.endswith(b"\n"):
        part = os.read(_GATE, 1)
        if not part:
            os._exit(125)
        head += part
    length, data = int(head), b""
    while len(data) < length:
        part = os.read(_GATE, length - len(data))
        if not part:
            os._exit(125)
        data += part
    return data
