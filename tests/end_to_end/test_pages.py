"""MLflow's pages, opened by a link that works once."""

from __future__ import annotations

import httpx
import pytest

from mayfly.testing.embedded import HELLO, Make

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

LOG = (
    'curl -sf "$MLFLOW_TRACKING_URI/api/2.0/mlflow/runs/log-metric" -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN"'
    ' -d "{\\"run_id\\":\\"$MLFLOW_RUN_ID\\",\\"key\\":\\"loss\\",\\"value\\":0.5,\\"timestamp\\":1,\\"step\\":1}"'
    ' -H "Content-Type: application/json"'
)


def test_pages_open_signed_in_for_one_workspace_and_change_nothing(fresh: Make) -> None:
    one = fresh()
    one.start()
    name = one.post({**HELLO, "command": LOG})
    assert one.wait(name, "Completed", 120)["metrics"] == {"loss": 0.5}
    url = one.call("POST", f"/jobs/{name}/web", {})["url"]
    base = url.partition("/tracking/")[0]
    with httpx.Client(timeout=120) as browser, httpx.Client() as stranger:
        entered = browser.get(url)
        page, _, run = entered.headers["location"].partition("#")
        cookie = entered.headers["set-cookie"].lower()
        assert (entered.status_code, "httponly" in cookie, "samesite=strict" in cookie) == (303, True, True)
        assert stranger.get(url).status_code == 401  # it worked once
        assert stranger.get(base + page).status_code == 401
        first = browser.get(base + page)
        assert "MLflow" in first.text
        assert (
            "mlflow.workflowType" in first.text
        )  # MLflow's own key, whose value is "training" from the first visit on
        run_id = run.split("/runs/")[1].partition("/")[0]
        api = f"{base}{page}ajax-api/2.0/mlflow"
        found = browser.get(f"{api}/runs/get", params={"run_id": run_id}).json()["run"]
        assert found["info"]["run_id"] == run_id
        assert found["data"]["metrics"][0]["value"] == 0.5
        info = browser.get(f"{base}{page}ajax-api/3.0/mlflow/server-info").json()
        assert info["workspaces_enabled"] is False
        experiment = found["info"]["experiment_id"]
        search = browser.post(f"{api}/runs/search", json={"experiment_ids": [experiment]})
        assert [one["info"]["run_id"] for one in search.json()["runs"]] == [run_id]
        tag = {"run_id": run_id, "key": "a", "value": "b"}
        assert browser.post(f"{api}/runs/set-tag", json=tag).status_code == 403
        foreign = {"Origin": "http://evil.example"}
        assert browser.post(f"{api}/runs/search", json={}, headers=foreign).status_code == 403
        assert browser.get(f"{base}/tracking/ws_other/", follow_redirects=False).status_code == 401
        jar = {"mayfly_pages": browser.cookies["mayfly_pages"]}
        assert httpx.get(f"{base}/tracking/ws_other/", cookies=jar).status_code == 401
        assert httpx.get(f"{base}/mayfly/v1/server", cookies=jar).status_code == 401
