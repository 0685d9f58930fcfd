"""The page of one job, by an address that opens itself: what Azure's clients print as a job's web view."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from mayfly.kit.errors import NotFound
from mayfly.services import capabilities, jobs, logs
from mayfly.services.world import World
from mayfly.wire.mayfly import JobView

_ENDED = ("Completed", "Failed", "Canceled")
_EVERY_S = 3
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:50rem;padding:0 1rem;color-scheme:light dark}
h1{font-size:1.4rem}table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{text-align:left;padding:.15rem 1.5rem .15rem 0;vertical-align:top;font-weight:normal}th{opacity:.7}"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""The address is a secret of who has it, and what is shown was written by others."""


def router(world: World) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get(f"{capabilities.PAGES}/{{job}}")
    def show(job: str, se: str, sig: str) -> HTMLResponse:
        now = world.clock.now()
        capabilities.check_page(world.tokens, job, se, sig, now)
        view = jobs.view_of(world, job)
        if view is None:
            raise NotFound("JobNotFound", "The job is not there any more.")
        files = [one.name for one in logs.files(world, view.id)]
        links = [(name, capabilities.path_of(world.tokens, view.id, name, now)) for name in files]
        return HTMLResponse(_page(view, links), headers=_HEADERS)

    return routes


def _page(view: JobView, links: list[tuple[str, str]]) -> str:
    again = "" if view.status in _ENDED else f'<meta http-equiv="refresh" content="{_EVERY_S}">'
    title = escape(view.display_name)
    ran = f"{view.instance_count} × {view.instance_type}, {view.job_tier}" if view.instance_type else ""
    facts = {
        "Name": view.name,
        "Status": view.status,
        "Why": view.error.message if view.error is not None else view.status_reason,
        "Experiment": view.experiment_name,
        "Submitted by": view.submitter,
        "Ran on": ran,
        "Environment": view.environment,
        "Step of": view.parent_job_name or "",
    }
    parts = [
        f"<h1>{title}</h1>",
        _table("", ((name, value) for name, value in facts.items() if value)),
        _table("Phases", ((one.phase, f"{one.milliseconds / 1000:.1f} s: {one.cause}") for one in view.phases)),
        _table("Steps", ((one.name, one.status) for one in view.steps)),
        _table("Metrics", ((name, f"{value:g}") for name, value in view.metrics.items())),
        _table("Parameters", view.params.items()),
        _table("Notes", (("", one) for one in view.notes if one)),
    ]
    if links:
        listed = "".join(f'<li><a href="{escape(address)}">{escape(name)}</a></li>' for name, address in links)
        parts.append(f"<h2>Logs</h2><ul>{listed}</ul>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}<title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    head = f"<h2>{escape(title)}</h2>" if title else ""
    return f"{head}<table>{lines}</table>" if lines else ""
