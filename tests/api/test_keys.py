"""Keys that are missing, altered, expired, or somebody else's: refused, whichever of Mayfly's doors they are tried at."""

from __future__ import annotations

import base64
import os

import httpx
import pytest
from azure_client import WS as AZURE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.kit.errors import Denied, Forbidden, MayflyError
from mayfly.services import jobs, submit
from mayfly.services.accesstokens import MANAGEMENT, AccessTokens, Holder
from mayfly.services.assignments import attempt_subject
from mayfly.services.sealing import Sealing
from mayfly.services.tokens import Principal, Tokens
from mayfly.testing.agent import parts_of
from mayfly.testing.serving import House
from mayfly.testing.world import HERE

SECRET = b"a secret of thirty-two bytes, or more"
TOKENS = Tokens(SECRET)
RESOURCE = "https://management.azure.com"
FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SUBJECTS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


def access(house: House, holder: Holder) -> httpx.Client:
    world = house.stage.world
    told = AccessTokens(world.tokens).issue(holder, RESOURCE, frozenset(), world.clock.now())
    return house.client(headers={"Authorization": f"Bearer {told.text}"})


def test_an_access_token_of_a_job_ends_with_it(house: House) -> None:
    world = house.stage.world
    job = submit.submit(world, "ann", HERE, house.stage.submission(name="one"))[0].job.id
    house.stage.turn()
    (part,) = parts_of(world, job, 1)
    with access(house, Holder(Principal("user", "ann"), attempt=attempt_subject(part.fence))) as client:
        assert client.get(AZURE).status_code == 200
        jobs.cancel(world, HERE, "one", "ann", "")
        answer = client.get(AZURE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TokenExpired")
    part.tell(part.released())


def test_a_managed_identity_stays_in_its_workspace(house: House) -> None:
    with access(house, Holder(Principal("user", "mayfly@default"), workspace="sub/rg/ws")) as client:
        assert client.get(AZURE).status_code == 200
        answer = client.get(f"{AZURE}-other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "IdentityOfAWorkspace")


def test_what_was_sealed_for_one_opens_for_no_other() -> None:
    sealed = Sealing(SECRET).seal({"key": "value"}, "ws_1/datastore")
    assert Sealing(SECRET).unseal(sealed, "ws_1/datastore") == {"key": "value"}
    for secret, owner in ((SECRET, "ws_2/datastore"), (SECRET, "ws_1/other"), (os.urandom(32), "ws_1/datastore")):
        with pytest.raises(Forbidden) as refused:
            Sealing(secret).unseal(sealed, owner)
        assert refused.value.code == "SecretUnreadable" and "value" not in refused.value.message


@FEW
@given(SUBJECTS, st.sampled_from(["user", "node", "attempt", "pages"]), st.data())
def test_a_token_with_one_other_letter_is_nobodys(subject: str, kind: str, data: st.DataObject) -> None:
    good = TOKENS.issue(Principal(kind, subject))
    assert TOKENS.verify(good) == Principal(kind, subject)
    at = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.characters(codec="utf-8", exclude_characters=good[at]))
    try:
        found = TOKENS.verify(good[:at] + letter + good[at + 1 :])
    except Denied:
        return
    assert found == Principal(kind, subject), "another spelling of the same, at most"


@FEW
@given(st.text(max_size=200))
def test_what_is_no_token_is_denied(text: str) -> None:
    with pytest.raises(Denied):
        TOKENS.verify(text)


@FEW
@given(st.binary(max_size=200))
def test_a_token_that_somebody_else_signed_is_denied(subject: bytes) -> None:
    middle = base64.urlsafe_b64encode(subject).rstrip(b"=").decode()
    stranger = Tokens(b"some other secret of thirty-two bytes").issue(Principal("user", "ann")).split(".")
    for token in (f"mfu.{middle}.{stranger[2]}", ".".join(stranger)):
        with pytest.raises(Denied):
            TOKENS.verify(token)


@FEW
@given(st.data())
def test_an_access_token_with_one_other_letter_is_denied(data: st.DataObject) -> None:
    made = AccessTokens(TOKENS)
    good = made.issue(Holder(Principal("user", "ann")), RESOURCE, frozenset(), 1_700_000_000_000).text  # type: ignore[arg-type]
    at = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.characters(codec="ascii", exclude_characters=good[at]))
    with pytest.raises(MayflyError):
        made.verify(good[:at] + letter + good[at + 1 :], frozenset({MANAGEMENT}), 1_700_000_000_001)  # type: ignore[arg-type]


def test_nobody_reads_or_writes_in_the_name_of_another_node(house: House) -> None:
    """A node with a good token of its own, at each door that takes the name of an attempt."""
    world = house.stage.world
    job = submit.submit(world, "ann", HERE, house.stage.submission(name="one"))[0].job.id
    house.stage.turn()
    (part,) = parts_of(world, job, 1)
    fence = f"job={job}&attempt=1&epoch=1&rank=0"
    with house.client("node", "node_stranger") as stranger:
        for path, status in (
            (f"/agent/v1/logs?{fence}&file=user_logs/x.txt&offset=0", 404),
            (f"/agent/v1/tracking?{fence}&offset=0", 403),
        ):
            answer = stranger.post(path, content=b"{}\n")
            assert answer.status_code == status and "x.txt" not in answer.text
        for method, path in (
            ("GET", f"/agent/v1/data/read?{fence}&input=i&version=1"),
            ("GET", "/agent/v1/identity?resource=https://management.azure.com"),
            ("GET", "/agent/v1/mlflow/api/2.0/mlflow/runs/get?run_id=1"),
        ):
            answer = stranger.request(method, path, headers={"Mayfly-Attempt": f"{job}/1"})
            assert answer.status_code in (403, 404), (path, answer.text)
    assert world.logs.files(job, 1) == []
    jobs.cancel(world, HERE, "one", "ann", "")
    part.tell(part.released())
