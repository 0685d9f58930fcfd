"""What public examples call of `azureml.core`, over MLflow's REST API: standard library only, any Python from 3.8 on.

It stands last on a job's path, so that the real package, where an environment has it, comes first. Outside a job
`Run.get_context()` gives an offline run that prints what it is told, as the real one does.
"""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

VERSION = "1.60.0"
__version__ = VERSION


def _call(method, path, content=None, data=None):
    url = os.environ["MLFLOW_TRACKING_URI"].rstrip("/") + path
    headers = {"Authorization": "Bearer " + os.environ.get("MLFLOW_TRACKING_TOKEN", "")}
    if method == "GET" and content:
        url += "?" + urllib.parse.urlencode(content)
    elif content is not None:
        data = json.dumps(content).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=900) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            words = error.read().decode(errors="replace")
        try:
            words = json.loads(words)["message"]
        except (ValueError, KeyError, TypeError):
            pass
        raise RuntimeError(f"MLflow refused it ({error.code}): {words}") from None
    return json.loads(text) if text[:1] in (b"{", b"[") else {}


def _mlflow(method, operation, content):
    return _call(method, "/api/2.0/mlflow/" + operation, content)


class Workspace:
    """The workspace that the job runs in."""

    def __init__(self, subscription_id=None, resource_group=None, workspace_name=None, **_):
        self.subscription_id = subscription_id or os.environ.get("AZUREML_ARM_SUBSCRIPTION", "")
        self.resource_group = resource_group or os.environ.get("AZUREML_ARM_RESOURCEGROUP", "")
        self.name = workspace_name or os.environ.get("AZUREML_ARM_WORKSPACE_NAME", "")

    @classmethod
    def from_config(cls, *_, **__):
        return cls()

    @classmethod
    def get(cls, name=None, subscription_id=None, resource_group=None, **_):
        return cls(subscription_id, resource_group, name)

    def get_mlflow_tracking_uri(self):
        return os.environ.get("MLFLOW_TRACKING_URI", "")


class Experiment:
    def __init__(self, workspace=None, name=None, **_):
        self.workspace = workspace or Workspace()
        self.name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")


class Run:
    """The job's run in MLflow; `id` is the job's name, as in Azure ML."""

    def __init__(self, run, name=None):
        self._run = run
        self.id = self.name = name or run
        self.experiment = Experiment()
        self.input_datasets = {}
        self.output_datasets = {}

    @classmethod
    def get_context(cls, allow_offline=True, **_):
        run = os.environ.get("AZUREML_MLFLOW_RUN_ID") or os.environ.get("MLFLOW_RUN_ID")
        if run and os.environ.get("MLFLOW_TRACKING_URI"):
            return cls(run, os.environ.get("AZUREML_RUN_ID"))
        if not allow_offline:
            raise RuntimeError("There is no job here, so there is no run.")
        return _OfflineRun()

    @property
    def parent(self):
        parent = self.get_tags().get("mlflow.parentRunId")
        return Run(parent) if parent else None

    # --- writing

    def log(self, name, value, description="", step=None):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            try:
                value = float(value)
            except (TypeError, ValueError):
                self.tag(name, value)
                return
        self._metrics([self._metric(name, value, step)])

    def log_list(self, name, value, description=""):
        self._metrics([self._metric(name, one, step) for step, one in enumerate(value)])

    def log_row(self, name, description=None, **columns):
        self._metrics([self._metric(name + "." + key, value) for key, value in columns.items()])

    def log_table(self, name, value, description=""):
        points = []
        for key, column in value.items():
            many = column if isinstance(column, (list, tuple)) else [column]
            points += [self._metric(name + "." + str(key), one, step) for step, one in enumerate(many)]
        self._metrics(points)

    def log_image(self, name, path=None, plot=None, description=""):
        if plot is not None:
            path = os.path.join("outputs", name + ".png")
            os.makedirs("outputs", exist_ok=True)
            plot.savefig(path)
        if path is None:
            raise ValueError("log_image needs a path or a plot.")
        self.upload_file("images/" + name + os.path.splitext(path)[1], path)

    def tag(self, key, value=None):
        self._write("set-tag", {"key": str(key), "value": "" if value is None else str(value)})

    def set_tags(self, tags):
        for key, value in tags.items():
            self.tag(key, value)

    def add_properties(self, properties):
        self.set_tags(properties)

    def upload_file(self, name, path_or_stream, **_):
        if hasattr(path_or_stream, "read"):
            self._put(name, path_or_stream.read())
            return
        with open(path_or_stream, "rb") as file:
            self._put(name, file, os.path.getsize(path_or_stream))

    def upload_folder(self, name, path, **_):
        for parent, _folders, files in os.walk(path):
            for file in files:
                whole = os.path.join(parent, file)
                inside = os.path.relpath(whole, path).replace(os.sep, "/")
                self.upload_file(name.rstrip("/") + "/" + inside, whole)

    def flush(self, timeout_seconds=300):
        """Nothing waits here."""

    def complete(self, **_):
        """The job's end is the run's end."""

    def fail(self, error_details=None, **_):
        if error_details:
            self.tag("error", error_details)

    # --- reading

    def get_metrics(self, name=None, **_):
        found = {}
        for one in self._data().get("metrics", []):
            if name is None or one["key"] == name:
                asked = {"run_id": self._run, "metric_key": one["key"], "max_results": 25000}
                points = _mlflow("GET", "metrics/get-history", asked).get("metrics", [])
                values = [float(point["value"]) for point in points]
                found[one["key"]] = values[0] if len(values) == 1 else values
        return found

    def get_tags(self):
        return {tag["key"]: tag["value"] for tag in self._data().get("tags", [])}

    def get_properties(self):
        return self.get_tags()

    def get_details(self):
        return {"runId": self.id, "status": "Running", "properties": {}, "inputDatasets": [], "outputDatasets": []}

    def get_status(self):
        return "Running"

    def get_file_names(self):
        answer = _mlflow("GET", "artifacts/list", {"run_id": self._run})
        return [file["path"] for file in answer.get("files", [])]

    def _data(self):
        return _mlflow("GET", "runs/get", {"run_id": self._run})["run"]["data"]

    # --- how

    def _metric(self, name, value, step=None):
        now = int(time.time() * 1000)
        number = float(value)
        told = number if number - number == 0 else str(number).replace("inf", "Infinity").replace("nan", "NaN")
        return {"key": str(name), "value": told, "timestamp": now, "step": int(step or 0)}

    def _metrics(self, metrics):
        for start in range(0, len(metrics), 1000):
            self._write("log-batch", {"metrics": metrics[start : start + 1000]})

    def _write(self, operation, content):
        _mlflow("POST", "runs/" + operation, dict(content, run_id=self._run))

    def _put(self, name, data, size=None):
        root = _mlflow("GET", "artifacts/list", {"run_id": self._run})["root_uri"]
        folder = root[len("mlflow-artifacts:/") :].strip("/")
        path = "/api/2.0/mlflow-artifacts/artifacts/" + urllib.parse.quote(folder + "/" + name.lstrip("/"))
        url = os.environ["MLFLOW_TRACKING_URI"].rstrip("/") + path
        headers = {
            "Authorization": "Bearer " + os.environ.get("MLFLOW_TRACKING_TOKEN", ""),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(data) if size is None else size),
        }
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method="PUT"), timeout=900) as answer:
            answer.read()


class _OfflineRun(Run):
    """Says what it is told."""

    def __init__(self):
        Run.__init__(self, "OfflineRun_" + str(int(time.time())))
        self._metrics_kept = {}

    def _metrics(self, metrics):
        for one in metrics:
            self._metrics_kept.setdefault(one["key"], []).append(float(one["value"]))
            print("Attempted to log scalar metric {}:\n{}".format(one["key"], one["value"]))

    def _write(self, operation, content):
        print("Offline: {} {}".format(content.get("key", operation), content.get("value", "")))

    def _put(self, name, data, size=None):
        print(f"Offline: the file {name} is not uploaded.")

    def get_metrics(self, name=None, **_):
        kept = self._metrics_kept
        return {k: v[0] if len(v) == 1 else v for k, v in kept.items() if name in (None, k)}

    def get_tags(self):
        return {}

    def get_file_names(self):
        return []


class Model:
    """A registered model of the workspace."""

    def __init__(self, workspace=None, name=None, version=None, id=None, **_):
        if id and not name:
            name, _colon, version = id.partition(":")
        self.workspace = workspace or Workspace()
        self.name = name
        self.version = version or self._latest(name)
        self.id = f"{name}:{self.version}"

    @staticmethod
    def _latest(name):
        asked = {"filter": "name = '{}'".format(name.replace("'", "")), "max_results": 1000}
        found = _mlflow("GET", "model-versions/search", asked).get("model_versions", [])
        if not found:
            raise RuntimeError(f"There is no model '{name}' in this workspace.")
        return max(int(one["version"]) for one in found)


class Dataset:
    """Not kept here: jobs get their data as inputs."""

    @classmethod
    def get_by_name(cls, *_, **__):
        raise RuntimeError("azureml.core.Dataset is not available here; declare the data as an input of the job.")

    get_by_id = get_by_name
