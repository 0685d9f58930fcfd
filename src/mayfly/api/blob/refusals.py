"""How a failure is told to clients of Azure's blob service: a header with its code, and XML."""

from __future__ import annotations

from mayfly.api.blob.call import Answer
from mayfly.api.problems import BLOB_STATUS, status_of
from mayfly.kit.errors import MayflyError
from mayfly.wire import blob as wire


def refusal(error: MayflyError, **headers: str) -> Answer:
    status = BLOB_STATUS.get(error.code, status_of(error))
    if status == 304:
        return Answer(status, {"x-ms-error-code": "ConditionNotMet"})
    said = f"{error} {error.remedy}" if error.remedy else str(error)
    told = {"x-ms-error-code": error.code, "Content-Type": "application/xml", **headers}
    return Answer(status, told, wire.failure(error.code, said))
