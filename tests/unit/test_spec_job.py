from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mayfly.kit.errors import Fault, Invalid
from mayfly.kit.expressions import references, render
from mayfly.spec import job as spec
from mayfly.spec.job import parse, render_literal
from mayfly.spec.normal import definition_digest, normalised
from mayfly.spec.paths import LocalPath, Refers, local, refers

BASE = {"command": "echo hello", "environment": {"image": "library/python:latest"}}


def made(text: str) -> dict[str, Any]:
    return {**BASE, **(yaml.safe_load(text) or {})}


def faults(definition: dict[str, Any]) -> tuple[Fault, ...]:
    with pytest.raises(Invalid) as raised:
        parse(definition)
    return raised.value.all_faults()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type: command",
        "type: Command",
        "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "$schema: nonsense",
        "status: Completed\nid: /subscriptions/x\ncreation_context: {created_by: me}\nlog_files: {}\nparameters: {}",
        "name: train-1_a\ndisplay_name: My job\nexperiment_name: e\ndescription: d",
        "tags: {a: b, c: null}\nproperties: {a: b}",
        "compute: local",
        "compute: serverless",
        "compute: azureml:serverless",
        "compute: azureml:cpu-cluster",
        "inputs: {}\noutputs: {}",
        "inputs:\noutputs:\nresources:\ncode:\nlimits:\ntags:\nservices:",
        "inputs: {a: 1, b: 0.5, c: true, d: text, e: {value: 3}}",
        "inputs: {a: {path: ./data}, b: {type: uri_file, path: ./x.csv, mode: download}}",
        "inputs: {a: {type: UriFolder, path: ./data, mode: RoMount}}",
        "inputs: {type: uri_file, iris_csv: 'https://example.com/iris.csv'}\ncommand: run ${{inputs.iris_csv}}",
        "outputs: {o: , p: {mode: upload}, q: {type: uri_file}, r: {type: uri_folder, mode: rw_mount}}",
        "outputs: {o: {mode: mount}}",
        "outputs: {o: {path: 'azureml://datastores/workspaceblobstore/paths/azureml/${{name}}/${{output_name}}/'}}",
        "outputs: {o: {path: 'azureml://datastores/${{default_datastore}}/paths/azureml/${{ name }}/o'}}",
        "environment: azureml:AzureML-sklearn-1.5@latest",
        "environment: azureml:mine:3",
        "environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
        "environment: {image: x, conda_file: {dependencies: [python=3.11]}, name: n, version: 3, description: d, os_type: Linux}",
        "resources: {instance_count: 2, instance_type: Standard_E4s_v3, shm_size: 1g, docker_args: [--x], locations: [e]}",
        "resources: {instance_count: '2'}",
        "resources: {instance_count: 2.0, properties: {a: {b: c}}, max_instance_count: 4}",
        "queue_settings: {job_tier: Spot, priority: High}",
        "queue_settings: {job_tier: STANDARD}",
        "queue_settings: {job_tier: null}",
        "limits: {timeout: 3600}",
        "limits: {timeout: '30'}",
        "distribution: {type: pytorch}",
        "distribution: {type: PyTorch, process_count_per_instance: 4}",
        "distribution: {type: TensorFlow, worker_count: 3, parameter_server_count: 1}",
        "identity: {type: user_identity}",
        "identity: {type: UserIdentity}",
        "identity: {type: managed, client_id: x}",
        "identity: {type: AMLToken}",
        "services: {s: {type: ssh, ssh_public_keys: k, nodes: all}, t: {job_service_type: tensor_board, log_dir: x, endpoint: y}}",
        "environment_variables: {A: 1, B: true, C: null, D: x}",
        "command: 'a ${{ inputs.a }} $HOME ${HOME} $(ls) ${{outputs.b}}'\ninputs: {a: 1}\noutputs: {b: }",
        "parent_job_name: p",
    ],
)
def test_what_azure_takes_is_taken(text: str) -> None:
    job = parse(made(text))
    assert len(definition_digest(normalised(job, {}))) == 64


@pytest.mark.parametrize(
    ("text", "code", "pointer", "words"),
    [
        ("foo: 1", "UnknownKey", "/foo", "Valid keys"),
        ("comand: x", "UnknownKey", "/comand", "'command'"),
        ("instance_count: 2", "UnknownKey", "/instance_count", "'resources'"),
        ("instace_type: x", "UnknownKey", "/instace_type", "'instance_type'"),
        ("resources: {instance_cout: 2}", "UnknownKey", "/resources/instance_cout", "'instance_count'"),
        ("inputs: {a: {typ: uri_file, path: x}}", "UnknownKey", "/inputs/a/typ", "'type'"),
        ("outputs: {a: {mod: upload}}", "UnknownKey", "/outputs/a/mod", "'mode'"),
        ("environment: {image: x, conda: y}", "UnknownKey", "/environment/conda", "conda_file"),
        ("limits: {timout: 3}", "UnknownKey", "/limits/timout", "'timeout'"),
        ("distribution: {type: pytorch, worker_count: 2}", "UnknownKey", "/distribution/worker_count", "process_count"),
        ("distribution: {type: pytorch, process_count: 2}", "UnknownKey", "/distribution/process_count", ""),
        ("services: {s: {tpe: ssh}}", "UnknownKey", "/services/s/tpe", "'type'"),
        ("command: 3", "WrongType", "/command", "quotes"),
        ("command: [a]", "WrongType", "/command", "a list"),
        ("command: ''", "InvalidValue", "/command", "empty"),
        ("command: null", "MissingKey", "/command", "missing"),
        ("environment: null", "MissingKey", "/environment", "missing"),
        ("environment: 3", "WrongType", "/environment", ""),
        ("environment: {}", "EnvironmentInvalid", "/environment", "image"),
        ("environment: sklearn-1.5", "EnvironmentInvalid", "/environment", "azureml:sklearn-1.5@latest"),
        ("environment: {image: 3}", "WrongType", "/environment/image", ""),
        ("environment: {image: x, conda_file: [a]}", "WrongType", "/environment/conda_file", ""),
        ("name: a b", "InvalidValue", "/name", "letters"),
        ("name: -a", "InvalidValue", "/name", "letters"),
        ("name: ../up", "InvalidValue", "/name", "letters"),
        ("name: 3", "WrongType", "/name", "quotes"),
        ("name: " + "a" * 256, "InvalidValue", "/name", "255"),
        ("tags: {a: 1}", "WrongType", "/tags/a", "quotes"),
        ("tags: [a]", "WrongType", "/tags", "a list"),
        ("resources: gpu", "WrongType", "/resources", "'gpu'"),
        ("resources: {instance_count: 0}", "InvalidValue", "/resources/instance_count", "at least 1"),
        ("resources: {instance_count: -2}", "InvalidValue", "/resources/instance_count", "at least 1"),
        ("resources: {instance_count: 1.5}", "WrongType", "/resources/instance_count", "whole"),
        ("resources: {instance_count: true}", "WrongType", "/resources/instance_count", "whole"),
        ("resources: {instance_count: many}", "WrongType", "/resources/instance_count", "whole"),
        ("resources: {instance_count: 4, max_instance_count: 2}", "InvalidValue", "/resources/max_instance_count", ""),
        ("resources: {shm_size: 2x}", "InvalidValue", "/resources/shm_size", "2g"),
        ("resources: {shm_size: 0g}", "InvalidValue", "/resources/shm_size", "greater"),
        ("resources: {shm_size: 3}", "WrongType", "/resources/shm_size", "2g"),
        ("limits: {timeout: -1}", "InvalidValue", "/limits/timeout", "at least"),
        ("limits: {timeout: soon}", "WrongType", "/limits/timeout", "whole"),
        ("queue_settings: {job_tier: spott}", "InvalidValue", "/queue_settings/job_tier", "'spot'"),
        ("queue_settings: {priority: 3}", "InvalidValue", "/queue_settings/priority", "low"),
        ("distribution: {}", "MissingKey", "/distribution/type", "pytorch"),
        ("distribution: {type: pytorh}", "InvalidValue", "/distribution/type", "'pytorch'"),
        ("distribution: pytorch", "WrongType", "/distribution", "type: pytorch"),
        (
            "distribution: {type: tensorflow, parameter_server_count: 2}",
            "InvalidValue",
            "/distribution/parameter_server_count",
            "nodes",
        ),
        ("identity: {type: robot}", "InvalidValue", "/identity/type", "managed"),
        ("inputs: [1]", "WrongType", "/inputs", "a list"),
        ("inputs: {a: [1]}", "WrongType", "/inputs/a/value", "a list"),
        ("inputs: {a: {type: number, value: 3}}", "UnknownKey", "/inputs/a/type", "'a: 3'"),
        ("inputs: {a: null}", "MissingKey", "/inputs/a", "no value"),
        ("inputs: {a: {type: uri_file}}", "MissingKey", "/inputs/a/path", "missing"),
        ("inputs: {a: {type: urifile2, path: x}}", "InvalidValue", "/inputs/a/type", "uri_file"),
        ("inputs: {path: 1}", "NameClashes", "/inputs/path", "path_input"),
        ("inputs: {HOME: 1}", "NameClashes", "/inputs/HOME", "environment variable"),
        ("outputs: {pwd: }", "NameClashes", "/outputs/pwd", "environment variable"),
        ("outputs: {default: }", "NameClashes", "/outputs/default", "by itself"),
        ("inputs: {'a b': 1}", "NameInvalid", "/inputs/a b", "letters"),
        ("inputs: {'a/b': 1}", "NameInvalid", "/inputs/a~1b", "letters"),
        ("outputs: {'../x': }", "NameInvalid", "/outputs/..~1x", "letters"),
        ("inputs: {1a: 1}", "NameInvalid", "/inputs/1a", "letters"),
        ("inputs: {a: {path: x, mode: upload}}", "ModeInvalid", "/inputs/a/mode", "ro_mount"),
        ("inputs: {a: {path: x, mode: eval_mount}}", "ModeInvalid", "/inputs/a/mode", "download"),
        ("inputs: {a: {path: x, mode: fast}}", "InvalidValue", "/inputs/a/mode", ""),
        ("outputs: {a: {mode: ro_mount}}", "ModeInvalid", "/outputs/a/mode", "rw_mount"),
        ("outputs: {a: {mode: direct}}", "ModeInvalid", "/outputs/a/mode", "rw_mount"),
        ("outputs: {a: ./x}", "WrongType", "/outputs/a", "'./x'"),
        ("outputs: {a: {path: ./x}}", "OutputPathInvalid", "/outputs/a/path", "download"),
        ("command: x ${{inputs.a}}", "InputUndefined", "/command", "Add 'a'"),
        ("command: x ${{inputs.dat}}\ninputs: {data: 1}", "InputUndefined", "/command", "${{inputs.data}}"),
        ("command: x ${{outputs.a}}", "OutputUndefined", "/command", "Add 'a'"),
        ("command: x ${{input.a}}\ninputs: {a: 1}", "ExpressionUndefined", "/command", "${{inputs.a}}"),
        ("command: x ${{search_space.lr}}", "ExpressionUndefined", "/command", "inputs"),
        ("command: x ${{inputs.a + 1}}", "ExpressionInvalid", "/command", "reference"),
        ("command: x ${{inputs.a", "ExpressionInvalid", "/command", "closed"),
        ("code: '${{inputs.a}}'", "ExpressionMisplaced", "/code", ""),
        ("environment_variables: {a: [1]}", "WrongType", "/environment_variables/a", "a list"),
        ("environment_variables: {'a=b': 1}", "NameInvalid", "/environment_variables/a=b", "variable"),
        ("type: pipeline", "JobTypeNotSupported", "/type", "pipeline"),
        ("type: sweep", "JobTypeNotSupported", "/type", "command and pipeline run"),
        ("type: parallel", "JobTypeNotSupported", "/type", "pipeline"),
        ("type: comand", "JobTypeUnknown", "/type", "'command'"),
        ("type: 3", "JobTypeUnknown", "/type", "Unsupported job type: 3"),
    ],
)
def test_one_mistake_is_one_clear_fault(text: str, code: str, pointer: str, words: str) -> None:
    (fault,) = faults(made(text))
    assert (fault.code, fault.pointer) == (code, pointer)
    assert words in f"{fault.message} {fault.remedy}"
    assert fault.message.endswith((".", ")"))


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        ("inputs: {a: {path: 'git+https://h/r'}}", "RemoteInputNotSupportedYet", "/inputs/a/path"),
        ("code: azureml:code:1", "CodeReferenceNotSupportedYet", "/code"),
        ("code: git+https://example.com/r", "CodeReferenceNotSupportedYet", "/code"),
        ("code: https://example.com/r", "CodeReferenceNotSupportedYet", "/code"),
        ("distribution: {type: mpi, process_count_per_instance: 2}", "MpiNotSupportedYet", "/distribution/type"),
        ("distribution: {type: Ray, port: 6379}", "RayNotSupportedYet", "/distribution/type"),
        (
            "environment: {build: {path: https://example.com/r.git}}",
            "BuildContextNotSupportedYet",
            "/environment/build/path",
        ),
        ("environment: {image: x, os_type: Windows}", "WindowsNotSupportedYet", "/environment/os_type"),
    ],
)
def test_what_would_change_the_result_is_refused_by_name(text: str, code: str, pointer: str) -> None:
    (fault,) = faults(made(text))
    assert (fault.code, fault.pointer) == (code, pointer)
    assert fault.remedy


def test_all_faults_come_at_once() -> None:
    found = faults(
        yaml.safe_load(
            "{comand: x, environment: {imag: x}, inputs: {bb: 1, a: {typ: uri_file, path: x}}, foo: 2,"
            " resources: {instance_count: 0}, command: 'e ${{inputs.b}}', outputs: {o: {mode: 3}}}"
        )
    )
    assert {f.pointer for f in found} == {
        "/comand",
        "/environment/imag",
        "/inputs/a/typ",
        "/foo",
        "/resources/instance_count",
        "/command",
        "/outputs/o/mode",
    }
    with pytest.raises(Invalid) as raised:
        parse({})
    assert raised.value.code == "JobInvalid"
    assert [f.pointer for f in raised.value.faults] == ["/command", "/environment"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("identity: {type: managed}", []),
        ("services: {s: {type: ssh}}", ["services: stored, not yet enforced"]),
        ("resources: {docker_args: x, locations: [a]}", ["resources.locations", "resources.docker_args"]),
        ("queue_settings: {job_tier: premium}", ["queue_settings.job_tier: premium runs as Standard"]),
        ("inputs: {a: ./data.csv}", ["inputs.a: is the text './data.csv'"]),
        ("inputs: {a: 'https://x'}", ["inputs.a: is the text"]),
        ("tags: {a: b}\nlimits: {timeout: 3}\ninputs: {a: b}", []),
    ],
)
def test_what_only_adds_is_noted(text: str, expected: list[str]) -> None:
    found = spec.notes(parse(made(text)))
    assert len(found) == len(expected)
    assert all(note.startswith(start) for note, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("value", "text"), [(42, "42"), (0.8, "0.8"), (True, "True"), (False, "False"), ("a b", "a b"), (1e-05, "1e-05")]
)
def test_literals_are_rendered_as_python_does(value: Any, text: str) -> None:
    assert render_literal(value) == text
    assert parse({**BASE, "inputs": {"x": value}}).literals == {"x": text}


@pytest.mark.parametrize(
    ("compute", "target"),
    [
        (None, None),
        ("serverless", "serverless"),
        ("azureml:Serverless", "serverless"),
        ("LOCAL", "local"),
        ("azureml:local", "local"),
        ("azureml:Cpu-Cluster", "Cpu-Cluster"),
        ("azureml:/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/computes/gpu", "gpu"),
    ],
)
def test_targets(compute: str | None, target: str | None) -> None:
    assert parse({**BASE, "compute": compute}).target_name == target


def test_answers_the_house_asks_for() -> None:
    job = parse(
        made(
            "queue_settings: {job_tier: spot, priority: HIGH}\nresources: {instance_count: 3, shm_size: 64m}\n"
            "distribution: {type: tensorflow, parameter_server_count: 1}\nenvironment_variables: {A: 1, B: null, C: off}"
        )
    )
    assert (job.tier, job.priority, job.shm_mib, job.workers, job.processes_per_node) == ("Spot", 3, 64, 3, 1)
    assert job.variables == {"A": "1", "B": "", "C": "False"}
    plain = parse(BASE)
    assert (plain.tier, plain.priority, plain.shm_mib, plain.workers) == ("Standard", 2, 2048, 0)


def test_local_paths_are_what_must_travel() -> None:
    job = parse(
        made(
            "code: file:./src\nenvironment: {image: x, conda_file: ./env.yml}\n"
            "inputs: {a: {type: uri_file, path: a.csv}, b: {path: ../b}, c: ./text, d: 3}"
        )
    )
    assert job.local_paths() == {
        "/code": LocalPath("./src", "code"),
        "/inputs/a/path": LocalPath("a.csv", "file"),
        "/inputs/b/path": LocalPath("../b", "folder"),
        "/environment/conda_file": LocalPath("./env.yml", "text"),
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("./x", Refers.LOCAL),
        ("x", Refers.LOCAL),
        ("C:\\data", Refers.LOCAL),
        ("/abs", Refers.LOCAL),
        ("file:./x", Refers.LOCAL),
        ("azureml:a:1", Refers.ASSET),
        ("azureml:/subscriptions/x", Refers.ASSET),
        ("azureml://datastores/d/paths/x", Refers.DATASTORE),
        ("AzureML://registries/r/data/d/versions/1", Refers.REGISTRY),
        ("azureml:wasbs://c@a/x", Refers.REMOTE),
        ("abfss://x", Refers.REMOTE),
        ("s3://x", Refers.REMOTE),
        ("git+https://x", Refers.GIT),
        ("${{parent.inputs.x}}", Refers.BINDING),
    ],
)
def test_what_a_path_refers_to(text: str, kind: Refers) -> None:
    assert refers(text) is kind


@pytest.mark.parametrize(("text", "path"), [("file:./x", "./x"), ("file:///abs/x", "/abs/x"), ("./file:x", "./file:x")])
def test_local_paths_lose_their_prefix(text: str, path: str) -> None:
    assert local(text) == path


def digest(text: str, uploads: dict[str, str] | None = None) -> str:
    return definition_digest(normalised(parse(made(text)), uploads or {}))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("display_name: a", "display_name: b\ndescription: x\ntags: {a: b}\nproperties: {c: d}"),
        ("name: a", ""),
        ("queue_settings: {job_tier: Spot}", "queue_settings: {job_tier: spot, priority: medium}"),
        ("resources: {instance_count: 1}", ""),
        ("resources: {shm_size: 2g}", ""),
        ("compute: azureml:serverless", ""),
        ("distribution: {type: PyTorch}", "distribution: {type: pytorch, process_count_per_instance: 1}"),
        ("outputs: {o: }", "outputs: {o: {type: uri_folder, mode: rw_mount}}"),
        ("inputs: {a: 1, b: 2}", "inputs: {b: 2, a: 1}"),
        ("inputs: {a: 1}", "inputs: {a: '1'}"),
        ("environment: {image: x, name: n, version: 1}", "environment: {image: x}"),
    ],
)
def test_the_same_job_has_the_same_definition(left: str, right: str) -> None:
    assert digest(left) == digest(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("command: a", "command: b"),
        ("inputs: {a: 1}", "inputs: {a: 2}"),
        ("compute: local", ""),
        ("resources: {instance_count: 2}", ""),
        ("queue_settings: {job_tier: spot}", ""),
        (
            "environment: {image: x, conda_file: {dependencies: [a, b]}}",
            "environment: {image: x, conda_file: {dependencies: [b, a]}}",
        ),
        ("environment_variables: {A: 1}", ""),
        ("experiment_name: a", "experiment_name: b"),
        ("limits: {timeout: 5}", ""),
    ],
)
def test_another_job_has_another_definition(left: str, right: str) -> None:
    assert digest(left) != digest(right)


def test_content_not_place_defines_what_was_uploaded() -> None:
    left = digest("code: ./a\ninputs: {d: {path: x}}", {"/code": "1" * 64, "/inputs/d/path": "2" * 64})
    right = digest("code: ./b\ninputs: {d: {path: y, mode: ro_mount}}", {"/code": "1" * 64, "/inputs/d/path": "2" * 64})
    assert left == right
    assert left != digest("code: ./a\ninputs: {d: {path: x}}", {"/code": "1" * 64, "/inputs/d/path": "3" * 64})


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)


@given(st.lists(st.tuples(st.text("ab $}\n", max_size=5), st.lists(NAMES, min_size=1, max_size=3)), max_size=4))
def test_rendering_a_reference_as_itself_gives_the_text_back(parts: list[tuple[str, list[str]]]) -> None:
    text = "".join(f"{between}${{{{{'.'.join(path)}}}}}" for between, path in parts)
    assert [r.path for r in references(text)] == [tuple(path) for _, path in parts]
    assert render(text, str) == text
    assert render(text, lambda r: ".".join(r.path)) == "".join(f"{b}{'.'.join(p)}" for b, p in parts)


@given(
    st.dictionaries(
        st.sampled_from(["command", "code", "inputs", "outputs", "resources", "environment", "type", "tags", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-9, 9)
            | st.sampled_from(["", "x", "./a", "${{inputs.q}}", "uri_file"]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["type", "path", "mode", "image", "value", "y"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_nothing_crashes_the_reader(definition: dict[str, Any]) -> None:
    try:
        job = parse(definition)
    except Invalid as error:
        assert all(fault.message and fault.code for fault in error.all_faults())
    else:
        definition_digest(normalised(job, {}))


@pytest.mark.parametrize(
    ("command", "written", "left"),
    [
        ("a $[[--x ${{inputs.x}}]] b", "a --x ${{inputs.x}} b", ""),
        ("a $[[--y ${{inputs.y}}]] b", "a  b", "$[[--y ${{inputs.y}}]] is left out, for no input 'y' is given"),
        ("a $[[${{inputs.x}} ${{inputs.y}}]]", "a ", "for no input 'y' is given"),
        ("echo $[[1+1]] ${{inputs.x}}", "echo $[[1+1]] ${{inputs.x}}", ""),
        ("echo $[[ ${{outputs.o}}", "echo $[[ ${{outputs.o}}", ""),
    ],
)
def test_what_a_jobs_command_says_of_optional_inputs(command: str, written: str, left: str) -> None:
    job = parse({**BASE, "command": command, "inputs": {"x": 1}, "outputs": {"o": None}})
    assert (job.command, "".join(spec.notes(job)).endswith(left), bool(spec.notes(job))) == (written, True, bool(left))
