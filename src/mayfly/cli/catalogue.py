"""Every command: where it lives and what it does in a line. Importing this costs nothing, so that help is quick."""

from __future__ import annotations


class Entry:
    """`target` is `module:attribute`, loaded when the command is run. A group has entries instead.

    Not a dataclass: importing those takes three times as long as printing the help."""

    __slots__ = ("entries", "summary", "target")

    def __init__(self, summary: str, target: str = "", entries: dict[str, Entry] | None = None) -> None:
        self.summary = summary
        self.target = target
        self.entries = entries


COMMANDS: dict[str, Entry] = {
    "run": Entry("Run a script as a job, without a job file.", "mayfly.cli.script:run_script"),
    "up": Entry("Start the server of this machine; Ctrl-C stops it.", "mayfly.cli.server:up"),
    "down": Entry("Stop the server; running jobs go on, and it says which.", "mayfly.cli.server:down"),
    "status": Entry("Show the server: where it is, its jobs, its nodes.", "mayfly.cli.server:status"),
    "backup": Entry("Copy all that the server keeps, while it works.", "mayfly.cli.backup:backup"),
    "restore": Entry("Fill an empty state folder from a backup.", "mayfly.cli.backup:restore"),
    "job": Entry(
        "Submit training jobs, watch them, read their results.",
        entries={
            "create": Entry("Submit a job file.", "mayfly.cli.submit:create"),
            "batch": Entry("Submit several job files, all of them or none.", "mayfly.cli.submit:batch"),
            "validate": Entry("Check a job file without submitting it.", "mayfly.cli.submit:validate"),
            "plan": Entry("Show which size a job would get, at what price, and when.", "mayfly.cli.submit:plan"),
            "list": Entry("List jobs, newest first.", "mayfly.cli.job:list_jobs"),
            "show": Entry("Show one job.", "mayfly.cli.job:show"),
            "explain": Entry("Say why a job waits, runs where it does, or ended.", "mayfly.cli.job:explain"),
            "stream": Entry("Follow a job's log until it ends.", "mayfly.cli.job:stream"),
            "cancel": Entry("Cancel a job.", "mayfly.cli.job:cancel"),
            "retry": Entry("Try a failed job again from where it failed.", "mayfly.cli.job:retry"),
            "download": Entry("Download a job's outputs and logs.", "mayfly.cli.download:download"),
            "update": Entry("Change a job's display name, description or tags.", "mayfly.cli.labels:update"),
            "archive": Entry("Hide a job from lists.", "mayfly.cli.job:archive"),
            "restore": Entry("Bring an archived job back.", "mayfly.cli.job:restore"),
        },
    ),
    "data": Entry(
        "Name the data that jobs read.",
        entries={
            "create": Entry("Register data.", "mayfly.cli.data:create_data"),
            "list": Entry("List data assets.", "mayfly.cli.data:list_data"),
            "show": Entry("Show one, or which jobs use it.", "mayfly.cli.data:show_data"),
            "archive": Entry("Hide one from lists and latest.", "mayfly.cli.data:archive_data"),
            "restore": Entry("Bring an archived one back.", "mayfly.cli.data:restore_data"),
        },
    ),
    "model": Entry(
        "Name the models that jobs make.",
        entries={
            "create": Entry("Register a model.", "mayfly.cli.data:create_model"),
            "list": Entry("List models.", "mayfly.cli.data:list_models"),
            "show": Entry("Show one, or which jobs use it.", "mayfly.cli.data:show_model"),
            "archive": Entry("Hide one from lists and latest.", "mayfly.cli.data:archive_model"),
            "restore": Entry("Bring an archived one back.", "mayfly.cli.data:restore_model"),
        },
    ),
    "datastore": Entry(
        "Name storage that lies elsewhere.",
        entries={
            "create": Entry("Register storage elsewhere.", "mayfly.cli.datastore:create"),
            "list": Entry("List datastores.", "mayfly.cli.datastore:list_datastores"),
            "show": Entry("Show one datastore.", "mayfly.cli.datastore:show"),
            "delete": Entry("Forget a datastore.", "mayfly.cli.datastore:delete"),
        },
    ),
    "environment": Entry(
        "Register environments, and make them before a job needs them.",
        entries={
            "create": Entry("Register an environment.", "mayfly.cli.environment:create"),
            "list": Entry("List environments.", "mayfly.cli.environment:list_environments"),
            "show": Entry("Show one version of an environment.", "mayfly.cli.environment:show"),
            "build": Entry("Find its packages now, also after a failure.", "mayfly.cli.environment:build"),
            "prune": Entry("Give up what no job has used for long.", "mayfly.cli.environment:prune"),
            "archive": Entry("Hide an environment from lists and latest.", "mayfly.cli.environment:archive"),
            "restore": Entry("Bring an archived environment back.", "mayfly.cli.environment:restore"),
        },
    ),
    "component": Entry(
        "Register commands with inputs and outputs, for jobs to use.",
        entries={
            "create": Entry("Register a component.", "mayfly.cli.component:create"),
            "list": Entry("List components.", "mayfly.cli.component:list_components"),
            "show": Entry("Show one version of a component.", "mayfly.cli.component:show"),
            "archive": Entry("Hide a component from lists and latest.", "mayfly.cli.component:archive"),
            "restore": Entry("Bring an archived component back.", "mayfly.cli.component:restore"),
        },
    ),
    "workspace": Entry(
        "Make and list workspaces: jobs, quota and assets of their own.",
        entries={
            "create": Entry("Make a workspace.", "mayfly.cli.housekeeping:create"),
            "list": Entry("List the workspaces.", "mayfly.cli.housekeeping:list_workspaces"),
            "show": Entry("Show one workspace.", "mayfly.cli.housekeeping:show"),
        },
    ),
    "registry": Entry(
        "Name folders of shared assets (azureml://registries/…).",
        entries={
            "add": Entry("Give a folder of asset files a registry's name.", "mayfly.cli.registry:add"),
            "list": Entry("List the registries.", "mayfly.cli.registry:list_registries"),
            "show": Entry("List the assets of one.", "mayfly.cli.registry:show"),
            "remove": Entry("Take a registry's name away.", "mayfly.cli.registry:remove"),
        },
    ),
    "gc": Entry("Give up content that nothing needs.", "mayfly.cli.housekeeping:gc"),
    "compute": Entry(
        "Look at the sizes that jobs can have.",
        entries={"list-sizes": Entry("List instance types with their prices.", "mayfly.cli.compute:list_sizes")},
    ),
    "quota": Entry(
        "See and change how many cores jobs may hold.",
        entries={
            "list": Entry("List the limits.", "mayfly.cli.compute:list_quotas"),
            "update": Entry("Change a limit.", "mayfly.cli.compute:update_quota"),
        },
    ),
    "usage": Entry("Show the cores held, by family.", "mayfly.cli.compute:usage"),
    "config": Entry(
        "See and change the configuration of this machine.",
        entries={
            "list": Entry("Show what is configured.", "mayfly.cli.config:list_settings"),
            "get": Entry("Show one setting.", "mayfly.cli.config:get"),
            "set": Entry("Change one setting.", "mayfly.cli.config:put"),
            "unset": Entry("Take one setting out.", "mayfly.cli.config:unset"),
        },
    ),
    "exec": Entry("Run a command whose Azure ML SDK speaks to this server.", "mayfly.cli.azure:execute"),
    "env": Entry("Print the variables that `mayfly exec` sets.", "mayfly.cli.azure:env"),
    "doctor": Entry("Check this machine, and say what to mend first.", "mayfly.cli.doctor:doctor"),
    "completion": Entry("Print a completion script for bash, zsh or fish.", "mayfly.cli.completion:completion"),
}

EXIT_CODES = (
    (0, "done"),
    (1, "the job ended Failed or Canceled (with --stream, or stream), or something of ours broke"),
    (2, "a wrong command line or bad input"),
    (3, "refused: quota, the fleet's size, or not allowed"),
    (4, "not found"),
    (5, "no server can be reached"),
    (130, "interrupted with Ctrl-C (a job that was being followed goes on)"),
)


def root_help() -> str:
    """What `mayfly --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [
        "Usage: mayfly COMMAND [OPTIONS]",
        "",
        "  Self-hosted serverless training compute. Submit a job and name no machine.",
        "  `mayfly ml COMMAND` is the same as `mayfly COMMAND`.",
        "",
        "Commands:",
        *(f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items()),
        "",
        "Options of every command:",
        "  -g, --resource-group, -w, --workspace-name, --subscription   default: local, local, default",
        "  -o, --output table|json|yaml|tsv, --query JMESPATH, -h, --help",
        "",
        "Environment:",
        "  MAYFLY_HOME        the state folder of the embedded server",
        "  MAYFLY_AUTOSTART   0: never start the embedded server by itself",
        "  MAYFLY_SERVER      the address of a remote server, with MAYFLY_TOKEN or MAYFLY_TOKEN_FILE",
        "  MAYFLY_SUBSCRIPTION, MAYFLY_RESOURCE_GROUP, MAYFLY_WORKSPACE   defaults of the options above",
        "",
        "Exit status:",
        *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES),
        "",
        "Begin with: mayfly run train.py -- --lr 0.1, or mayfly job create --file job.yml --stream",
    ]
    return "\n".join(lines)
