"""What users do with Azure's SDK, step by step, as a script of theirs: `mayfly exec -- python steps.py ANSWERS SAMPLES`.

Nothing in it knows of Mayfly. Each step that raises is written down with its reason, and the rest goes on.
"""

import contextlib
import io
import json
import re
import sys
import warnings
from pathlib import Path
from urllib.request import urlopen

warnings.simplefilter("ignore")

import refusals  # noqa: E402
import samples  # noqa: E402
from asked import IMAGE, NAME, answers, kept, ml, passed, plain, printed, step, texts  # noqa: E402
from azure.ai.ml import Input, MLClient, Output, command, dsl, load_component, load_job  # noqa: E402
from azure.ai.ml.entities import AmlCompute, Data, Environment, Model  # noqa: E402
from azure.ai.ml.exceptions import JobException  # noqa: E402
from azure.core.exceptions import ResourceNotFoundError  # noqa: E402
from azure.identity import DefaultAzureCredential  # noqa: E402
from watched import operations  # noqa: E402


@step("workspaces.get")
def _() -> None:
    found = ml.workspaces.get(NAME)
    assert found.location == "local" and found.mlflow_tracking_uri.startswith("https://127.0.0.1:")


@step("jobs.create_or_update: code, a local file, an output")
def _() -> None:
    job = command(
        code="./project",
        command="python train.py ${{inputs.rows}} ${{outputs.scores}}",
        inputs={"rows": Input(type="uri_file", path="rows.csv")},
        outputs={"scores": Output(type="uri_folder")},
        environment=Environment(image=IMAGE),
        experiment_name="first",
        tags={"team": "blue"},
    )
    kept["job"] = ml.jobs.create_or_update(job).name


@step("jobs.stream")
def _() -> None:
    assert "training on 3 rows" in printed(lambda: ml.jobs.stream(kept["job"]))
    assert ml.jobs.get(kept["job"]).status == "Completed"


@step("jobs.stream of a job that has ended")
def _() -> None:
    assert "training on 3 rows" in printed(lambda: ml.jobs.stream(kept["job"]))


@step("jobs.download: logs and the artifact root")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["job"], download_path="got"))
    assert Path("got/artifacts/outputs/model.txt").read_text() == "a model"
    assert "training on 3 rows" in Path("got/artifacts/user_logs/std_log.txt").read_text()


@step("jobs.download: a named output")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["job"], output_name="scores", download_path="got"))
    assert Path("got/named-outputs/scores/scores.txt").read_text() == "0.5"


@step("jobs.download: all of a job's named outputs")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["job"], all=True, download_path="all"))
    assert Path("all/named-outputs/scores/scores.txt").read_text() == "0.5"
    assert Path("all/artifacts/outputs/model.txt").read_text() == "a model"


@step("jobs.create_or_update: the same code is not sent again")
def _() -> None:
    job = command(code="./project", command="ls", environment=Environment(image=IMAGE))
    kept["second"] = ml.jobs.create_or_update(job).name


@step("jobs.list")
def _() -> None:
    assert {one.name for one in ml.jobs.list()} >= {kept["job"], kept["second"]}


@step("jobs.archive and jobs.restore")
def _() -> None:
    ml.jobs.archive(kept["job"])
    assert kept["job"] not in {one.name for one in ml.jobs.list()}
    ml.jobs.restore(kept["job"])
    assert kept["job"] in {one.name for one in ml.jobs.list()}


@step("jobs.create_or_update of a job that is there: its tags")
def _() -> None:
    job = ml.jobs.get(kept["job"])
    job.tags = {"team": "green"}
    ml.jobs.create_or_update(job)
    assert ml.jobs.get(kept["job"]).tags["team"] == "green"


@step("jobs.show_services, and the web view: a page of this server")
def _() -> None:
    ml.jobs.show_services(kept["job"])
    page = ml.jobs.get(kept["job"]).studio_url
    assert page.startswith("http://127.0.0.1:") and kept["job"] in urlopen(page).read().decode(), page
    web = re.search("Web View: (.*)", printed(lambda: ml.jobs.stream(kept["job"])))
    assert web is not None and web[1].startswith(page.partition("?")[0]), web


@step("jobs.stream of a job that fails")
def _() -> None:
    name = ml.jobs.create_or_update(command(command="exit 3", environment=Environment(image=IMAGE))).name
    try:
        printed(lambda: ml.jobs.stream(name))
    except JobException as error:
        assert "exit status 3" in str(error)
    assert ml.jobs.get(name).status == "Failed"


@step("jobs.begin_cancel")
def _() -> None:
    name = ml.jobs.create_or_update(command(command="sleep 300", environment=Environment(image=IMAGE))).name
    ml.jobs.begin_cancel(name).result()
    ended = ml.jobs.get(name)
    assert ended.status == "Canceled" and ended.properties["mayfly.error"].startswith("Canceled by"), ended
    assert "Canceled by" in printed(lambda: ml.jobs.stream(name))


@step("jobs.get of none")
def _() -> None:
    try:
        ml.jobs.get("no_such_job")
    except ResourceNotFoundError:
        return
    raise AssertionError("it was found")


@step("environments: registered, the next version, found, archived")
def _() -> None:
    first = ml.environments.create_or_update(Environment(name="mine", image=IMAGE))
    second = ml.environments.create_or_update(Environment(name="mine", image="library/python:3"))
    assert (first.version, second.version) == ("1", "2")
    assert ml.environments.get("mine", label="latest").version == "2"
    optional = "echo one $[[--two ${{inputs.two}}]] $[[--three ${{inputs.three}}]]"
    inputs = {"two": Input(type="number", optional=True), "three": 3}
    asked = command(command=optional, inputs=inputs, environment="azureml:mine@latest")
    made = ml.jobs.create_or_update(asked)
    assert "'two'" in made.properties["mayfly.notes"] and made.environment.endswith("mine:2"), made
    ml.environments.archive("mine", version="2")
    assert [one.version for one in ml.environments.list("mine")] == ["1"]


@step("data: a local file, the next version, latest")
def _() -> None:
    made = ml.data.create_or_update(Data(name="rows", path="rows.csv", type="uri_file"))
    assert made.version == "1" and ml.data.get("rows", label="latest").version == "1"
    assert [one.name for one in ml.data.list()] == ["rows"]


@step("models: from a local file and from a job")
def _() -> None:
    ml.models.create_or_update(Model(name="local", path="project/train.py"))
    path = f"azureml://jobs/{kept['job']}/outputs/artifacts/paths/outputs/model.txt"
    assert ml.models.create_or_update(Model(name="trained", path=path)).version == "1"
    assert ml.models.get("trained", version="1").job_name == kept["job"]


PIPELINE = """
type: pipeline
inputs:
  rows: {type: uri_file, path: rows.csv}
  rate: 0.5
outputs:
  scores: {type: uri_folder}
settings: {default_compute: azureml:serverless}
jobs:
  train:
    type: command
    code: project
    command: >-
      python train.py ${{inputs.rows}} ${{outputs.scores}} && cp outputs/model.txt ${{outputs.scores}}/ &&
      echo ${{inputs.rate}} > ${{outputs.scores}}/rate
    environment: {image: library/python:latest}
    inputs: {rows: "${{parent.inputs.rows}}", rate: "${{parent.inputs.rate}}"}
    outputs: {scores: "${{parent.outputs.scores}}"}
    limits: {timeout: 300}
  score:
    type: command
    component: azureml:score_model:1
    inputs: {model: "${{parent.jobs.train.outputs.scores}}"}
"""


@step("pipelines: built inline of command(), a component's file and a nested pipeline")
def _() -> None:
    train = command(
        code="./project",
        command="python train.py ${{inputs.rows}} ${{outputs.model}} && cp outputs/model.txt ${{outputs.model}}/",
        inputs={"rows": Input(type="uri_file"), "rate": 0.1},
        outputs={"model": Output(type="uri_folder")},
        environment=Environment(image=IMAGE),
    )
    score = load_component("project/score.yml")

    @dsl.pipeline()
    def inner(model: Input, threshold: float = 0.25):
        return {"report": score(model=model, threshold=threshold).outputs.report}

    @dsl.pipeline(name="whole", compute="serverless")
    def whole(rows: Input, rate: float = 0.2):
        trained = train(rows=rows, rate=rate)
        trained.environment_variables = {"SEEN": "yes"}
        scored = score(model=trained.outputs.model, note="it")
        scored.set_limits(timeout=300)
        deep = inner(model=trained.outputs.model)
        return {"report": scored.outputs.report, "deep": deep.outputs.report}

    job = ml.jobs.create_or_update(whole(rows=Input(type="uri_file", path="rows.csv")), experiment_name="first")
    kept["pipeline"] = job.name


@step("pipelines: jobs.stream and jobs.list of its children")
def _() -> None:
    said = printed(lambda: ml.jobs.stream(kept["pipeline"]))
    assert "deep/score_model is" in said and "The pipeline is Completed" in said, said.replace("\n", " ")
    children = {one.display_name: one.name for one in ml.jobs.list(parent_job_name=kept["pipeline"])}
    assert set(children) == {"trained", "scored", "deep"}
    assert ml.jobs.get(children["scored"]).status == "Completed"
    assert "training on 3 rows" in printed(lambda: ml.jobs.stream(children["trained"]))
    assert set(ml.jobs.get(kept["pipeline"]).jobs) == {"trained", "scored", "deep"}


@step("pipelines: jobs.download of its outputs, one and all")
def _() -> None:
    printed(lambda: ml.jobs.download(kept["pipeline"], output_name="deep", download_path="one"))
    printed(lambda: ml.jobs.download(kept["pipeline"], all=True, download_path="whole"))
    found = {str(one.relative_to("whole")): one for one in Path("whole/named-outputs").rglob("*") if one.is_file()}
    reports = {name.split("/")[1]: one.read_text() for name, one in found.items()}
    assert reports == {"deep": "a modelabove 0.25\n", "report": "a modelabove 0.5 noting it\n"}, reports
    assert texts("one") == [reports["deep"]], texts("one")


@step("pipelines: of a file, with a registered component")
def _() -> None:
    assert ml.components.create_or_update(load_component("project/score.yml")).version == "1"
    Path("pipeline.yml").write_text(PIPELINE, encoding="utf-8")
    name = ml.jobs.create_or_update(load_job("pipeline.yml")).name
    printed(lambda: ml.jobs.stream(name))
    printed(lambda: ml.jobs.download(name, output_name="scores", download_path="filed"))
    assert Path("filed/named-outputs/scores/rate").read_text() == "0.5\n"


@step("pipelines: one that fails names the step")
def _() -> None:
    broken = command(command="echo too late; exit 4", environment=Environment(image=IMAGE))

    @dsl.pipeline(compute="serverless")
    def failing():
        broken()

    name = ml.jobs.create_or_update(failing()).name
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            ml.jobs.stream(name)
    except JobException as error:
        assert "exit status 4" in str(error), str(error)
    assert "| too late" in said.getvalue(), said.getvalue()
    assert ml.jobs.get(name).status == "Failed"


@step("registries: of a folder, listed, read and used")
def _() -> None:
    ours = MLClient(credential=DefaultAzureCredential(), registry_name="ours")
    kinds = (ours.environments, ours.components, ours.models, ours.data)
    there = [[one.name for one in kind.list()] for kind in kinds]
    assert there == [["base"], ["score_model"], ["net"], ["rows"]], there
    assert ours.models.get("net", version="3").version == "3" and ours.environments.get("base", label="latest").image
    score = ours.components.get("score_model", version="1")
    assert score.id == "azureml://registries/ours/components/score_model/versions/1"

    @dsl.pipeline(compute="serverless")
    def scoring(model: Input):
        return {"report": score(model=model).outputs.report}

    model = Input(type="uri_folder", path=ours.models.get("net", version="3").id)
    name = ml.jobs.create_or_update(scoring(model=model)).name
    printed(lambda: ml.jobs.stream(name))
    printed(lambda: ml.jobs.download(name, output_name="report", download_path="shared"))
    assert texts("shared") == ["weightsabove 0.5\n"], texts("shared")
    try:
        ours.models.get("nets", version="1")
    except ResourceNotFoundError:
        return
    raise AssertionError("it was found")


@step("registries: azureml, the curated environments")
def _() -> None:
    azureml = MLClient(credential=DefaultAzureCredential(), registry_name="azureml")
    assert {"sklearn-1.5", "minimal"} <= {one.name for one in azureml.environments.list()}
    assert azureml.environments.get("sklearn-1.5", label="latest").version == "1"


@step("compute: made, listed, used, deleted")
def _() -> None:
    ml.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2", max_instances=4)).result()
    assert [one.name for one in ml.compute.list()] == ["cpu"]
    job = command(command="true", environment=Environment(image=IMAGE), compute="cpu")
    ml.jobs.create_or_update(job)
    ml.compute.begin_delete("cpu").result()


@step("compute.list_sizes and list_usage")
def _() -> None:
    assert list(ml.compute.list_sizes()) and list(ml.compute.list_usage())


@step("datastores.get_default and list")
def _() -> None:
    assert ml.datastores.get_default().name == "workspaceblobstore"
    assert list(ml.datastores.list())


import upkeep  # noqa: E402, F401 - its steps come after these

sampled = samples.run(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
refused = refusals.reasons(plain)
doors = {name: "passes" if name in passed else refused.get(name, "") for name in sorted(operations(plain))}
found = {"steps": answers, "samples": sampled, "operations": doors}
Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
