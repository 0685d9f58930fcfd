"""What people read about a job: phases, candidates, advice and the report at its end. Pure: views in, lines out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from mayfly.cli import text
from mayfly.cli.text import Column, clean
from mayfly.client.doors import View
from mayfly.kit.units import format_bytes

_LABEL = 9

PHASES = (Column("phase", whole=True), Column("time", right=True, whole=True), Column("cause"))
CANDIDATES = (Column("size", whole=True), Column("score", right=True, whole=True), Column("reason"))
QUOTA = (
    Column("family", whole=True),
    Column("tier", whole=True),
    Column("held", right=True, whole=True),
    Column("needed", right=True, whole=True),
    Column("limit", right=True, whole=True),
    Column("scope"),
)
STEPS = (
    Column("step", whole=True),
    Column("status", whole=True),
    Column("time", right=True, whole=True),
    Column("job", whole=True),
    Column("doing"),
)


def field(label: str, value: object) -> str:
    return f"{label:<{_LABEL}} {clean(value)}".rstrip()


def phase_rows(phases: Sequence[View]) -> list[tuple[str, str, str]]:
    return [
        (p["phase"], text.span(p["milliseconds"]) + (" so far" if p.get("open") else ""), p.get("cause") or "")
        for p in phases
    ]


def step_rows(steps: Sequence[View], indent: str = "") -> list[tuple[str, str, str, str, str]]:
    """A pipeline's steps, those of nested ones indented below theirs."""
    rows = []
    for step in steps:
        spent = text.span(step["milliseconds"]) if step.get("job") else ""
        rows.append((f"{indent}{step['name']}", step["status"], spent, step.get("job") or "", _doing(step)))
        rows += step_rows(step.get("steps") or [], indent + "  ")
    return rows


def _doing(step: View) -> str:
    if step.get("reason"):
        return clean(step["reason"])
    if step["status"] == "NotStarted":
        return f"waits for {', '.join(step['needs'])}" if step["needs"] else ""
    if step["status"] in ("Completed", "Skipped"):
        return "reused" if step.get("reused") else ""
    return ": ".join(filter(None, [step.get("phase"), clean(step.get("phase_detail") or "")]))


def steps_by_path(steps: Sequence[View], above: str = "") -> dict[str, View]:
    """'train', 'outer/train' → the step."""
    found = {}
    for step in steps:
        found[f"{above}{step['name']}"] = step
        found |= steps_by_path(step.get("steps") or [], f"{above}{step['name']}/")
    return found


def total(job: View) -> int:
    """Milliseconds of the job's life so far: the sum of its phases, for every second belongs to one."""
    return sum(int(phase["milliseconds"]) for phase in job["phases"])


def candidate_rows(candidates: Sequence[View]) -> list[tuple[str, str, str]]:
    rows = []
    for candidate in candidates:
        score = candidate.get("score")
        factors = ", ".join(f"{key} {value:.2f}" for key, value in (candidate.get("factors") or {}).items())
        reason = "chosen" if candidate.get("chosen") else candidate.get("reason") or ""
        if factors:
            reason = f"{reason} ({factors})" if reason else factors
        rows.append((candidate["instance_type"], "" if score is None else f"{score:.3f}", reason))
    return rows


def quota_rows(ledgers: Sequence[View]) -> list[tuple[object, ...]]:
    return [(q["family"], q["tier"], q["held"], q.get("needed", ""), q["limit"], q["scope"]) for q in ledgers]


def size(view: View) -> str:
    """'2 × local_2, Standard, $0.00/h (list price $0.19/h)'."""
    kind = view.get("instance_type")
    if not kind:
        return "none chosen yet"
    count = view.get("instance_count") or 1
    words = f"{count} × {kind}" if count > 1 else str(kind)
    words += f", {view.get('job_tier') or 'Standard'}, {text.price(view.get('price_per_hour'))}"
    if (listed := view.get("list_price_per_hour")) is not None and listed != view.get("price_per_hour"):
        words += f" (list price {text.price(listed)})"
    return words + (", emulated" if view.get("emulated") else "")


def advice(view: View, file: str | None = None) -> list[str]:
    """The smallest change that would start the job now, with the command that makes it."""
    found = view.get("advice")
    if not found or view.get("starts_now"):
        return []
    if found["change"] == "none":
        because = clean(found["sentence"]).removeprefix("None, ")
        return ["", f"No change would start it now, {because}" if because.startswith("because") else because]
    lines = ["", f"To start it now: {clean(found['sentence'])}"]
    if sets := found.get("set"):
        if found["change"] == "quota":
            lines.append("  " + quota_command(sets))
        else:
            given = " ".join(f"--set {shlex.quote(f'{key}={_literal(value)}')}" for key, value in sets.items())
            lines.append(f"  mayfly job create --file {shlex.quote(file or 'job.yml')} {given}")
    return [clean(line) for line in lines]


def quota_command(sets: Mapping[str, object]) -> str:
    return "mayfly quota update " + " ".join(f"--{key} {shlex.quote(str(value))}" for key, value in sets.items())


def wrapped(label: str, parts: Sequence[str], between: str, width: int | None) -> list[str]:
    """As `field`, over several lines where the width asks for it; no part is broken."""
    lines, line = [], f"{label:<{_LABEL}}"
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        piece = clean(part) + ("" if last else between.rstrip())
        if width is not None and len(line) + 1 + len(piece) > width and line.strip() and len(line) > _LABEL:
            lines.append(line)
            line = " " * _LABEL
        line += f" {piece}"
    return [*lines, line]


def final_report(job: View, why: str, width: int | None = None) -> list[str]:
    """The end of `--stream`: what became of it, what it cost, what is left, what to type next."""
    name = job["name"]
    lines = [
        field("Job", name),
        field("Status", f"{job['status']} after {text.span(total(job))}"),
        *_ending(job),
    ]
    if job.get("type") != "pipeline":
        lines += [
            field("Size", size(job)),
            *wrapped("Why", (why or job.get("status_reason") or "").split(), " ", width),
            *wrapped("Phases", [f"{p['phase']} {text.span(p['milliseconds'])}" for p in job["phases"]], ", ", width),
        ]
    if metrics := job.get("metrics"):
        lines += wrapped("Metrics", [f"{k} {text.number(v)}" for k, v in list(metrics.items())[:12]], ", ", width)
        if len(metrics) > 12:
            lines.append(field("", f"and {len(metrics) - 12} more: mayfly job show -n {name} --query metrics"))
    if use := job.get("use"):
        lines.append(field("Use", used(use)))
    for label, output in zip(_labels("Outputs"), job.get("outputs") or [], strict=False):
        lines.append(
            field(label, f"{output['name']}: {counted(output['files'], 'file')}, {format_bytes(output['bytes'])}")
        )
    if not job.get("outputs"):
        lines.append(field("Outputs", "none"))
    lines += [field(label, command) for label, command in zip(_labels("Next"), _next(job), strict=False)]
    return lines


def used(use: View) -> str:
    words = f"{use['cpu_percent']:.0f} % of its cores ({use['cpu_seconds']:.1f} CPU seconds)"
    given = use.get("memory_given_mib")
    words += f", {use['memory_peak_mib']:.0f}{f' of {given}' if given else ''} MiB of memory at most"
    return words + f", {use['disk_mib']:.0f} MiB of disk"


def _ending(job: View) -> list[str]:
    error = job.get("error")
    if not error:
        return []
    lines = [field("Error", f"{error['message']} [{error['code']}]")]
    if error.get("remedy"):
        lines.append(field("Hint", error["remedy"]))
    return lines


def _next(job: View) -> list[str]:
    name = job["name"]
    commands = []
    if job.get("outputs"):
        commands.append(f"mayfly job download -n {name}")
    commands.append(f"mayfly job explain -n {name}")
    if job.get("metrics") or job.get("params"):
        commands.append(f"mayfly job show -n {name} --web")
    if job["status"] == "Failed":
        commands.insert(0, f"mayfly job stream -n {name}")
        if job.get("steps") and not job.get("step"):
            commands.append(f"mayfly job retry -n {name}")
    return commands


def _labels(first: str) -> list[str]:
    return [first, *[""] * 1000]


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
