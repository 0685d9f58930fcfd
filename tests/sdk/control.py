"""Control flow, which the SDK has behind a switch of its own (AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED): a script of its own, for
the switch is looked at when the SDK is imported."""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from asked import IMAGE, answers, ml, printed, step, texts  # noqa: E402
from azure.ai.ml import dsl, load_component  # noqa: E402
from azure.ai.ml.dsl._condition import condition  # noqa: E402
from azure.ai.ml.dsl._do_while import do_while  # noqa: E402
from azure.ai.ml.dsl._parallel_for import parallel_for  # noqa: E402

SAY = f"""
name: say
type: command
inputs: {{word: {{type: string, default: nothing}}}}
outputs: {{said: {{type: uri_folder}}}}
environment: {{image: {IMAGE}}}
command: echo ${{{{inputs.word}}}} > ${{{{outputs.said}}}}/word
"""
COUNT = f"""
name: count
type: command
inputs: {{n: {{type: integer, default: 1}}}}
outputs:
  more: {{type: boolean, is_control: true}}
  next: {{type: integer, is_control: true}}
  seen: {{type: uri_folder}}
environment: {{image: {IMAGE}}}
command: >-
  n=${{{{inputs.n}}}}; echo $((n + 1)) > ${{{{outputs.next}}}}; echo $n > ${{{{outputs.seen}}}}/n;
  if [ $n -lt 3 ]; then echo true; else echo false; fi > ${{{{outputs.more}}}}
"""
for name, text in (("say", SAY), ("count", COUNT)):
    Path(f"{name}.yml").write_text(text, encoding="utf-8")
say, count = load_component("say.yml"), load_component("count.yml")


def result(job: object, output: str) -> list[str]:
    name = ml.jobs.create_or_update(job).name
    printed(lambda: ml.jobs.stream(name))
    printed(lambda: ml.jobs.download(name, output_name=output, download_path=f"control/{name}"))
    return sorted(texts(f"control/{name}"))


@step("pipelines: if_else, by what a step made")
def _() -> None:
    @dsl.pipeline(compute="serverless")
    def choosing(n: int):
        asked = count(n=n)
        few, many = say(word="few"), say(word="many")
        condition(condition=asked.outputs.more, true_block=few, false_block=many)
        return {"said": many.outputs.said}

    assert result(choosing(n=7), "said") == ["many\n"]


@step("pipelines: do_while, a round's value going into the next")
def _() -> None:
    @dsl.pipeline(compute="serverless")
    def looping():
        body = count(n=1)
        mapping = {body.outputs.next: body.inputs.n}
        do_while(body=body, condition=body.outputs.more, mapping=mapping, max_iteration_count=9)
        return {"seen": body.outputs.seen}

    assert result(looping(), "seen") == ["3\n"]


@step("pipelines: parallel_for, over a list")
def _() -> None:
    @dsl.pipeline(compute="serverless")
    def each():
        loop = parallel_for(body=say(word="any"), items=[{"word": "one"}, {"word": "two"}])
        return {"said": loop.outputs.said}

    assert [one for one in result(each(), "said") if "paths" not in one] == ["one\n", "two\n"]


Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")
