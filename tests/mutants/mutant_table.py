"""Each guard of a promise, taken out: what is replaced, and the tests that must notice.

`find` stands in its file exactly once. Tests are named as pytest names them; of one with parameters some case must fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    """Of the guard that is gone."""
    promise: str
    """A key of PROMISES."""
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    slow: bool = False
    """It takes its tests long to notice: not for every run."""


@dataclass(frozen=True, slots=True)
class Promise:
    title: str
    says: str
    kept_by: str
    """The mechanism."""


PROMISES = {
    "accept": Promise(
        "What was answered is kept",
        "Accepts, cancels, granted starts and ends that a client or a node was told of survive the death of any process "
        "and the loss of power.",
        "One writer groups what callers ask for into one commit of an SQLite in WAL mode with `synchronous=FULL` (or one "
        "PostgreSQL transaction each), and answers after it; a savepoint each, so that one failure undoes only its own. "
        "Content and exit records are synced before they get their names, and the names before anybody is told.",
    ),
    "fence": Promise(
        "One fence",
        "Only the attempt that holds a job's fence (store epoch and attempt) changes what Mayfly publishes of the job: "
        "states, metrics, outputs, assets.",
        "One rule (`domain/fence.py`) is asked by every door that a node or a job speaks through. A report of an older "
        "attempt is kept as evidence and moves nothing. A node speaks for the ranks that were given to it, by its token.",
    ),
    "end": Promise(
        "One end, and a true one",
        "A job reaches one terminal state and never leaves it. Its cause is the process's exit record, a named failure of "
        "preparing or collecting, a decision, or a node that its provider says is gone.",
        "One pure `step` (`domain/life.py`) is all that moves a job; what comes late changes nothing. The exit record is "
        "written by a supervisor that outlives agent and server.",
    ),
    "server": Promise(
        "Running jobs survive the server",
        "Processes go on while the server is away, agents come back to it by themselves, and logs have neither a gap nor "
        "a line twice.",
        "Agents are told wishes, under a version that rises across restarts and changes of the clock, and tell facts "
        "that are on their disk until these are acknowledged. A log goes from its file, from the offset that the server has.",
    ),
    "node": Promise(
        "Silence kills nothing, and no node is left behind",
        "A node that is not heard is shown as not responding, and that is all. A node without work goes after its idle "
        "time; one that the server never finds again ends itself.",
        "Suspicion, fence and orphan limit are three things. Only the provider's word makes a node gone; one that is down "
        "is brought back to tell what is on its disk. A watchdog outside the agent counts the time without contact.",
    ),
    "quota": Promise(
        "Quota is conserved",
        "What is held is the sum over what lives, across crashes, and never more than the limit; a real GPU is one job's.",
        "Two ledgers, changed by conditional updates in a fixed order; each hold is a row, given back once nothing of the "
        "attempt is left anywhere. The scheduler keeps what a blocked job needs before others may pass it.",
    ),
    "cancel": Promise(
        "A cancel is durable",
        "Before the start it prevents the process; after it the process ends. A process that had ended before the cancel "
        "reached it keeps its result.",
        "Cancel and start are events of one life in one store, so one comes first. The agent stamps the stop and the "
        "supervisor the exit with the same clock of the machine.",
    ),
    "once": Promise(
        "Nothing is done twice",
        "No process, no step, no build and no duty is done twice for one reason, and a name is one job's for ever.",
        "Leases by the database's clock; the same PUT is the same job; a process that was begun, or an attempt that was "
        "discarded, is not begun again by an agent that comes back; one server a folder, by a lock. Servers that share a "
        "PostgreSQL see by a lock of each whether it lives; what a dead one held is the others' at once, and what only one "
        "may do beside the rows is behind a lock of the database.",
    ),
    "bytes": Promise(
        "Bytes are what they were said to be, and stay in their folder",
        "What is kept under a hash has that hash; nothing is written, read or collected outside of the folder it belongs to.",
        "Hashes are counted as bytes come in and again where they are used; paths, names and links are checked where they "
        "enter. Credentials at rest are sealed for their owner.",
    ),
    "strangers": Promise(
        "A key opens what it names and nothing else",
        "Every door wants a key, loopback included; what is too large, too deep or no text is refused before it is kept.",
        "Tokens and signatures are MACs under a secret that never leaves the state folder; kind, node, attempt, workspace, "
        "audience, permission and time are checked at each call. Bodies and job files are bounded.",
    ),
}

CONVERSATION = "tests/services/test_conversation.py"
FENCES = "tests/services/test_fences.py"
MOTOR = "tests/services/test_motor.py"
HISTORIES = "tests/property/test_seeded_histories.py"
LAWS = "tests/property/test_domain_job_laws.py"
DOORS = "tests/api/test_doors.py"
CONTENT = "tests/api/test_content_doors.py"
BLOBS = "tests/api/test_blob_door.py"
LEDGERS = "tests/store/test_ledgers.py"
UNITS = "tests/store/test_units.py"
CONTRACTS = "tests/drivers/test_contracts.py"
TREES = "tests/unit/test_transfer_trees.py"
AHEAD = "tests/node/test_node_ahead.py"
YAML = "tests/unit/test_spec_document.py"
DURABILITY = "tests/store/test_durability.py"
ORDER = "tests/node/test_node_order.py"
ENDINGS = "tests/node/test_node_endings.py"

_SRC = "src/mayfly"

MUTANTS = (
    # --- accept -----------------------------------------------------------------------------------------------------
    Mutant(
        "fsync of the store",
        "accept",
        f"{_SRC}/store/dialect.py",
        '"synchronous=FULL"',
        '"synchronous=OFF"',
        (f"{DURABILITY}::test_the_store_waits_for_the_disk",),
    ),
    Mutant(
        "fsync of content before its name",
        "accept",
        f"{_SRC}/drivers/content_folder.py",
        "        os.fsync(self._file.fileno())\n",
        "",
        (f"{DURABILITY}::test_content_is_on_the_disk_before_it_has_its_name",),
    ),
    Mutant(
        "fsync of content's name",
        "accept",
        f"{_SRC}/drivers/content_folder.py",
        "            self._part = None\n            sync(path.parent)\n",
        "            self._part = None\n",
        (f"{DURABILITY}::test_content_is_on_the_disk_before_it_has_its_name",),
    ),
    Mutant(
        "fsync of the exit record",
        "accept",
        f"{_SRC}/node/supervisor.py",
        "publish(draft(path, value, sync=True), path)\n",
        "publish(draft(path, value), path)\n",
        (f"{DURABILITY}::test_an_exit_record_is_on_the_disk_before_it_has_its_name",),
    ),
    Mutant(
        "fsync of the record that it began",
        "accept",
        f"{_SRC}/node/supervisor.py",
        'draft(spec["pids"], pids, sync=True)',
        'draft(spec["pids"], pids)',
        ("tests/node/test_node_durability.py::test_nothing_runs_before_it_is_durable_that_it_began",),
    ),
    Mutant(
        "commit before the answer",
        "accept",
        f"{_SRC}/store/unit.py",
        "        return [_Done(unit, alike, results)]\n",
        "        alike[0].future.set_result(results[0])\n        return [_Done(unit, alike, results)]\n",
        (f"{DURABILITY}::test_nobody_is_answered_before_the_commit",),
    ),
    Mutant(
        "commit before a refusal",
        "accept",
        f"{_SRC}/store/unit.py",
        "            return [_Done(unit, alike, error=_commit",
        "            alike[0].future.set_exception(error)\n            return []\n            return [_Done(unit, alike, error=_commit",
        (f"{UNITS}::test_nobody_is_told_of_what_is_not_committed",),
    ),
    Mutant(
        "a savepoint for each caller",
        "accept",
        f"{_SRC}/store/unit.py",
        "            with dialect.savepoint(connection):\n                results =",
        "            if True:\n                results =",
        (f"{UNITS}::test_one_failing_caller_undoes_only_its_own",),
    ),
    Mutant(
        "nobody goes before who is in line",
        "accept",
        f"{_SRC}/store/unit.py",
        "(self._closed or self._in_line)",
        "self._closed",
        (f"{UNITS}::test_nobody_goes_before_who_is_in_line",),
    ),
    Mutant(
        "what was written is read anew",
        "accept",
        f"{_SRC}/store/unit.py",
        "        self._recall.written(self._touched)\n",
        "",
        ("tests/store/test_recall.py::test_an_answer_is_never_older_than_what_was_written",),
    ),
    # --- fence ------------------------------------------------------------------------------------------------------
    Mutant(
        "comparison of the attempt",
        "fence",
        f"{_SRC}/domain/fence.py",
        "attempt == job.attempt and epoch",
        "epoch",
        (f"{HISTORIES}::test_every_promise_holds_in_every_history",),
    ),
    Mutant(
        "comparison of the epoch",
        "fence",
        f"{_SRC}/domain/fence.py",
        "epoch == present and ",
        "",
        (f"{CONVERSATION}::test_another_fence_moves_nothing",),
    ),
    Mutant(
        "a restore begins another epoch",
        "fence",
        f"{_SRC}/store/dump.py",
        'return schema.risen(unit, "epoch", epoch, 1)',
        'return schema.risen(unit, "epoch", 0, 0)',
        ("tests/store/test_dump.py::test_another_store_of_either_kind_takes_all_rows_in",),
    ),
    Mutant(
        "no fence while a job waits for its next attempt",
        "fence",
        f"{_SRC}/domain/fence.py",
        " and bool(job.ranks)",
        "",
        (f"{FENCES}::test_an_attempt_that_was_given_up_may_not_publish_while_its_job_waits_for_the_next",),
    ),
    Mutant(
        "no fence after the end",
        "fence",
        f"{_SRC}/domain/fence.py",
        "current(job, attempt, epoch, present=present) and not job.state.terminal",
        "current(job, attempt, epoch, present=present)",
        (f"{CONVERSATION}::test_only_the_holder_of_the_fence_may_publish",),
    ),
    Mutant(
        "a life moves by its present attempt alone",
        "fence",
        f"{_SRC}/domain/life.py",
        "    if event.attempt != job.attempt or not job.ranks:\n        return job\n",
        "    if not job.ranks:\n        return job\n",
        (LAWS,),
    ),
    Mutant(
        "fence of the journal",
        "fence",
        f"{_SRC}/services/journals.py",
        "        if kept is not None and holds(row.job, attempt, kept.epoch, present=world.epoch):\n            _publish",
        "        if kept is not None:\n            _publish",
        (f"{FENCES}::test_an_attempt_that_was_given_up_may_not_publish_while_its_job_waits_for_the_next",),
    ),
    Mutant(
        "a node speaks for its own ranks",
        "fence",
        f"{_SRC}/services/reports.py",
        "        if rank.node == node and (",
        "        if (",
        (f"{CONVERSATION}::test_another_node_cannot_speak_for_a_rank",),
    ),
    Mutant(
        "a node sends logs of its own ranks",
        "fence",
        f"{_SRC}/services/logs.py",
        "one.rank == rank and one.node == node for one",
        "one.rank == rank for one",
        (f"{CONVERSATION}::test_another_node_cannot_speak_for_a_rank",),
    ),
    # --- end --------------------------------------------------------------------------------------------------------
    Mutant(
        "a terminal state is never left",
        "end",
        f"{_SRC}/domain/life.py",
        "    if job.state.terminal:\n        return job\n    if isinstance(event, PhaseEntered):\n",
        "    if isinstance(event, PhaseEntered):\n",
        (LAWS,),
    ),
    Mutant(
        "a lost attempt does not revise an end",
        "end",
        f"{_SRC}/domain/life.py",
        "    if job.state.terminal:\n        return job\n    if job.state is JobState.CANCEL_REQUESTED:\n        return _end(job, JobState.CANCELED, job.cause or event.cause, now)\n    if job.cause",
        "    if job.state is JobState.CANCEL_REQUESTED:\n        return _end(job, JobState.CANCELED, job.cause or event.cause, now)\n    if job.cause",
        (f"{HISTORIES}::test_every_promise_holds_in_every_history",),
    ),
    Mutant(
        "an unknown exit is no success",
        "end",
        f"{_SRC}/domain/life.py",
        "    if cause is None and any(r.exit_code is None for r in job.ranks):\n",
        "    if False:\n",
        ("tests/unit/test_domain_job.py::test_an_end_without_an_exit_record_is_never_silent",),
    ),
    Mutant(
        "a gang ends when all of it has",
        "end",
        f"{_SRC}/domain/life.py",
        "    if not all(r.reached(RankState.EXITED) for r in job.ranks):\n        return job\n",
        "",
        (LAWS,),
    ),
    Mutant(
        "a retry is for what was no fault of the command's",
        "end",
        f"{_SRC}/domain/life.py",
        "    if job.cause is not None:  # a rank had failed by itself already: that is the truth, and a retry would not mend it\n        return _end(job, JobState.FAILED, job.cause, now)\n",
        "",
        ("tests/unit/test_domain_job.py::test_a_retry_is_never_used_for_the_users_own_failure",),
    ),
    Mutant(
        "a supervisor that was killed is told",
        "end",
        f"{_SRC}/services/facts.py",
        "        code, cause = code or 137, Cause(",
        "        code, cause = 0, None and Cause(",
        (
            f"{CONVERSATION}::test_memory_and_lost_supervisors_have_their_own_causes",
            f"{HISTORIES}::test_every_promise_holds_in_every_history",
        ),
        slow=True,
    ),
    # --- server -----------------------------------------------------------------------------------------------------
    Mutant(
        "a log's doubled bytes",
        "server",
        f"{_SRC}/drivers/log_folder.py",
        "memoryview(data)[size - offset :]",
        "memoryview(data)",
        (f"{CONTRACTS}::TestLogFolder::test_what_is_known_is_skipped",),
    ),
    Mutant(
        "a log's gap",
        "server",
        f"{_SRC}/drivers/log_folder.py",
        "                if offset > size:\n                    return size\n",
        "",
        (f"{CONVERSATION}::test_logs_come_in_order_and_complete_after_the_end",),
    ),
    Mutant(
        "the log arrives before the end is told",
        "server",
        f"{_SRC}/node/attempt.py",
        "        self._acknowledged()\n        self._collected(known)\n",
        "        self._collected(known)\n",
        (f"{ORDER}::test_the_end_is_told_after_the_whole_log_has_arrived",),
        slow=True,
    ),
    Mutant(
        "wishes are newer after a restart",
        "server",
        f"{_SRC}/store/schema.py",
        "max(least, int(unit.connection.scalar(kept) or 0) + by)",
        "least",
        (f"{FENCES}::test_wishes_are_newer_after_a_restart_though_the_clock_was_set_back",),
    ),
    Mutant(
        "what an agent heard last",
        "server",
        f"{_SRC}/node/agent.py",
        "            if wishes.version < self._version:\n                return\n",
        "",
        (f"{ORDER}::test_an_older_wish_is_passed_over",),
        slow=True,
    ),
    # --- node -------------------------------------------------------------------------------------------------------
    Mutant(
        "the orphan limit",
        "node",
        f"{_SRC}/node/watchdog.py",
        "    if orphan_s is not None and silent_s > orphan_s:\n        return True\n",
        "",
        (f"{ENDINGS}::test_orphan_limit_ends_all_even_with_a_stopped_agent",),
        slow=True,
    ),
    Mutant(
        "idle nodes go",
        "node",
        f"{_SRC}/domain/node.py",
        "now - node.idle_since >= limit",
        "False",
        (f"{MOTOR}::test_idle_nodes_go_after_their_time", f"{HISTORIES}::test_every_promise_holds_in_every_history"),
    ),
    Mutant(
        "a clock that was set back",
        "node",
        f"{_SRC}/domain/node.py",
        "    return max(node.state_since, node.last_heard or 0, node.idle_since or 0) > now\n",
        "    return False\n",
        (f"{FENCES}::test_silence_is_seen_though_the_clock_was_set_back",),
    ),
    Mutant(
        "only the provider's word makes a node gone",
        "node",
        f"{_SRC}/engine/fleet.py",
        "if seen[row.id].presence in (Presence.GONE, Presence.REFUSED) and",
        "if seen[row.id].presence in (Presence.GONE, Presence.REFUSED, Presence.DOWN) and",
        (f"{MOTOR}::test_a_node_that_went_down_is_brought_back_and_its_job_goes_on",),
    ),
    Mutant(
        "suspicion kills nothing",
        "node",
        f"{_SRC}/engine/watching.py",
        "move(unit, row, Suspected(attempt), now)",
        "move(unit, row, __import__('mayfly.domain.life').domain.life.AttemptLost(attempt, None), now)",
        (f"{MOTOR}::test_silence_is_shown_and_ends_with_a_word",),
    ),
    Mutant(
        "nodes that another server has heard",
        "node",
        f"{_SRC}/services/tidings.py",
        "        self._contacts.heard_elsewhere(notice.heard, self._clock.now())\n",
        "",
        ("tests/store/test_shared_state.py::test_what_happens_at_one_server_is_known_at_the_other",),
    ),
    Mutant(
        "only the last server ends nodes",
        "node",
        f"{_SRC}/services/stopping.py",
        "        if self._world.peers.leave():\n",
        "        if False:\n",
        ("tests/services/test_motor.py::test_a_server_that_is_not_the_last_leaves_nodes_and_jobs_to_the_others",),
    ),
    # --- quota ------------------------------------------------------------------------------------------------------
    Mutant(
        "condition of the quota ledger",
        "quota",
        f"{_SRC}/store/ledgers.py",
        'ledgers.c.held + bindparam("cores", type_=BigInteger) <= ledgers.c.limit)',
        "ledgers.c.held >= 0)",
        (f"{LEDGERS}::test_too_much_of_anything_takes_nothing", f"{LEDGERS}::test_thirty_two_threads_never_overdraw"),
    ),
    Mutant(
        "condition of the capacity ledger",
        "quota",
        f"{_SRC}/store/ledgers.py",
        "        capacity.c.cores_held + _CORES <= capacity.c.cores,\n",
        "",
        (f"{LEDGERS}::test_too_much_of_anything_takes_nothing",),
    ),
    Mutant(
        "a GPU is one job's",
        "quota",
        f"{_SRC}/store/ledgers.py",
        "gpus.c.uuid == uuid, gpus.c.job.is_(None))",
        "gpus.c.uuid == uuid)",
        (f"{LEDGERS}::test_too_much_of_anything_takes_nothing",),
    ),
    Mutant(
        "given back once",
        "quota",
        f"{_SRC}/store/ledgers.py",
        "    _DROP.run(connection, mine)\n",
        "",
        (f"{LEDGERS}::test_giving_back_at_once_gives_back_once",),
    ),
    Mutant(
        "held until nothing of the attempt is left",
        "quota",
        f"{_SRC}/services/moves.py",
        "    if all(other.released for other in",
        "    if any(other.released for other in",
        (f"{MOTOR}::test_an_old_attempt_keeps_its_cores_until_nothing_of_it_is_left",),
    ),
    Mutant(
        "a plan counts what it has taken",
        "quota",
        f"{_SRC}/domain/placement.py",
        "                self.quotas[key] = Quota(quota.limit, quota.held + vcpus)\n",
        "                self.quotas[key] = quota\n",
        ("tests/unit/test_domain_schedule.py::test_jobs_of_one_plan_do_not_take_the_same_quota_twice",),
    ),
    Mutant(
        "a plan counts the cores it has taken",
        "quota",
        f"{_SRC}/domain/placement.py",
        "        self.held = self.held.plus(placement.capacity)\n",
        "",
        ("tests/property/test_domain_schedule_laws.py::test_a_plan_never_oversubscribes",),
    ),
    Mutant(
        "what is kept for a blocked head",
        "quota",
        f"{_SRC}/domain/schedule.py",
        '    room.reserved_rows = dict(judged.rows)\n    if judged.refused != "QuotaInUse":\n        room.reserved = judged.need\n',
        "    return\n",
        ("tests/property/test_domain_schedule_laws.py::test_backfill_cannot_starve_a_gang",),
    ),
    # --- cancel -----------------------------------------------------------------------------------------------------
    Mutant(
        "a cancel before the start prevents it",
        "cancel",
        f"{_SRC}/domain/life.py",
        "    if job.state in _NOT_GRANTED or event.unreachable or not (job.live or job.composite):\n",
        "    if job.state is JobState.QUEUED or event.unreachable or not (job.live or job.composite):\n",
        (
            f"{LAWS}::test_canceled_before_the_start_prevents_the_process",
            f"{CONVERSATION}::test_a_cancel_before_the_start_prevents_it",
        ),
    ),
    Mutant(
        "a cancel weighs the exit records",
        "cancel",
        f"{_SRC}/domain/life.py",
        "        if not all(r.before_cancel and r.exit_code is not None for r in job.ranks):\n            return job\n",
        "",
        (f"{LAWS}::test_a_cancel_weighs_the_exit_records",),
    ),
    Mutant(
        "a stop is received before it is passed on",
        "cancel",
        f"{_SRC}/node/attempt.py",
        '"before_stop": stop is None or (latest > 0 and latest < stop["at_boottime_ns"]),',
        '"before_stop": True,',
        (f"{ENDINGS}::test_stop_ends_children_that_ignore_it_and_those_that_left",),
        slow=True,
    ),
    Mutant(
        "what must not remain is discarded",
        "cancel",
        f"{_SRC}/domain/wishes.py",
        "    if not holds:\n        return Wished(Action.DISCARD)\n",
        "",
        (
            f"{CONVERSATION}::test_a_cancel_before_the_start_prevents_it",
            f"{HISTORIES}::test_every_promise_holds_in_every_history",
        ),
    ),
    # --- once -------------------------------------------------------------------------------------------------------
    Mutant(
        "the lease",
        "once",
        f"{_SRC}/store/leases.py",
        "        .where(leases.c.name == name, or_(leases.c.holder == holder, leases.c.until < moment))\n",
        "        .where(leases.c.name == name, or_(leases.c.holder == holder, leases.c.until <= moment + length))\n",
        ("tests/store/test_leases.py::test_one_holder_at_a_time",),
    ),
    Mutant(
        "what a server found out after its lease",
        "once",
        f"{_SRC}/store/environments.py",
        "    return holder is None or leases.holder_of(unit, _lease(digest)) == holder\n",
        "    return True\n",
        (f"{MOTOR}::test_what_a_server_found_out_too_late_is_not_kept",),
    ),
    Mutant(
        "single flight of an environment",
        "once",
        f"{_SRC}/engine/resolving.py",
        "                if row.digest in self._flying or self._closed:\n",
        "                if self._closed:\n",
        (f"{MOTOR}::test_an_environment_that_comes_late_holds_the_job_up_and_no_longer",),
    ),
    Mutant(
        "a name is one job's",
        "once",
        f"{_SRC}/services/submit.py",
        "    if existing.definition_digest != row.definition_digest:\n",
        "    if False:\n",
        (
            "tests/services/test_submissions.py::test_another_definition_is_refused_and_changes_nothing",
            "tests/api/test_calls.py::test_many_clients_see_one_order",
        ),
        slow=True,
    ),
    Mutant(
        "a warm node is one attempt's",
        "once",
        f"{_SRC}/domain/node.py",
        "            return node if node.busy or node.state in LEAVING else replace(node, busy=True, idle_since=None)\n",
        "            return replace(node, busy=True, idle_since=None)\n",
        ("tests/unit/test_domain_node.py::test_a_node_is_given_to_one_attempt_at_a_time",),
    ),
    Mutant(
        "a process that was begun is not begun again",
        "once",
        f"{_SRC}/node/launch.py",
        "        return self._folder.pids(self.index).exists() or self._folder.exit(self.index).exists()\n",
        "        return False\n",
        (f"{ENDINGS}::test_killed_agent_is_restarted_and_takes_its_job_up_again",),
        slow=True,
    ),
    Mutant(
        "what was discarded is not begun again",
        "once",
        f"{_SRC}/node/agent.py",
        "            if wish.assignment is None or wish.fence in self._over:\n",
        "            if wish.assignment is None:\n",
        (f"{ORDER}::test_what_was_discarded_is_not_begun_again",),
        slow=True,
    ),
    Mutant(
        "one server in a folder",
        "once",
        f"{_SRC}/main/folder.py",
        "            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        ("tests/unit/test_state_folder.py::test_a_folder_has_one_server_and_is_its_owners_alone",),
    ),
    Mutant(
        "one server at a time outside of the rows",
        "once",
        f"{_SRC}/store/dialect.py",
        "            connection.execute(select(func.pg_advisory_lock(name)))\n",
        "            pass\n",
        ("tests/store/test_shared_state.py::test_a_turn_is_one_servers",),
    ),
    Mutant(
        "what a dead server held is free",
        "once",
        f"{_SRC}/engine/neighbours.py",
        "            self._world.store.write(vacate)\n",
        "            assert vacate\n",
        ("tests/store/test_shared_state.py::test_what_a_dead_server_held_is_free_at_once",),
    ),
    Mutant(
        "a server that lives keeps what it holds",
        "once",
        f"{_SRC}/drivers/server_folder.py",
        "if server != self.me and self._free(server)]\n",
        "if server != self.me]\n",
        ("tests/store/test_shared_state.py::test_what_a_dead_server_held_is_free_at_once",),
    ),
    # --- bytes ------------------------------------------------------------------------------------------------------
    Mutant(
        "a state is known by its id",
        "bytes",
        f"{_SRC}/main/state.py",
        "    if _id_of(Path(told.path)) == told.id:\n",
        "    if Path(told.path).exists():\n",
        ("tests/store/test_shared_state.py::test_the_state_is_known_by_its_id_and_refused_where_it_is_not_seen",),
    ),
    Mutant(
        "what was restored lies elsewhere",
        "bytes",
        f"{_SRC}/store/dump.py",
        "        state.forget(unit)\n",
        "",
        ("tests/store/test_shared_state.py::test_what_was_restored_does_not_lie_where_it_lay_before",),
    ),
    Mutant(
        "hash of content that comes in one piece",
        "bytes",
        f"{_SRC}/drivers/content_folder.py",
        "                if (found := hashlib.sha256(data).hexdigest()) != digest:\n",
        "                if (found := digest) != digest:\n",
        (f"{CONTENT}::test_a_blob_that_is_not_what_it_says_is_refused",),
    ),
    Mutant(
        "hash of content that streams in",
        "bytes",
        f"{_SRC}/drivers/content_folder.py",
        "        if promised is not None and promised != digest:\n            raise _mismatch(promised, digest)\n",
        "",
        (f"{CONTRACTS}::TestContentFolder::test_other_bytes_than_named_are_refused_and_not_kept",),
    ),
    Mutant(
        "hash of what a node was sent",
        "bytes",
        f"{_SRC}/transfer/trees.py",
        "        if seen.hexdigest() != digest:\n",
        "        if False:\n",
        (f"{TREES}::test_materialise_leaves_no_half_file",),
    ),
    Mutant(
        "MD5 of a blob",
        "bytes",
        f"{_SRC}/api/blob/uploads.py",
        "        if self._md5 is not None and self._wanted_md5 not in (None, self._md5.digest()):\n",
        "        if False:\n",
        (f"{BLOBS}::test_a_damaged_body_is_refused_and_nothing_is_kept",),
    ),
    Mutant(
        "paths of a tree stay in its folder",
        "bytes",
        f"{_SRC}/transfer/trees.py",
        '    if any(part in ("", ".", "..") for part in path.split("/")):\n',
        "    if False:\n",
        (f"{CONTENT}::test_a_tree_that_leaves_its_folder_is_refused",),
    ),
    Mutant(
        "nothing is written through a link",
        "bytes",
        f"{_SRC}/transfer/trees.py",
        '    if parent != root and root not in parent.parents:\n        raise Invalid("LinkLeavesFolder", f"\'{entry.path}\'',
        '    if False:\n        raise Invalid("LinkLeavesFolder", f"\'{entry.path}\'',
        (f"{TREES}::test_materialise_never_writes_through_a_link",),
    ),
    Mutant(
        "a job's outputs are no links elsewhere",
        "bytes",
        f"{_SRC}/transfer/trees.py",
        '        if not inside and (self.links != "anywhere" or is_folder):\n',
        "        if False:\n",
        (f"{TREES}::test_links_that_cannot_be_followed_are_refused",),
    ),
    Mutant(
        "a log's name stays in its folder",
        "bytes",
        f"{_SRC}/drivers/log_folder.py",
        "        if bad or ",
        "        if ",
        (f"{CONTRACTS}::TestLogFolder::test_no_name_leaves_the_store",),
    ),
    Mutant(
        "a digest is a digest",
        "bytes",
        f"{_SRC}/drivers/content_folder.py",
        "        if len(digest) != 64 or not _HEX.issuperset(digest):\n",
        "        if False:\n",
        ("tests/hostile/test_content.py::test_addresses_stay_in_their_folder",),
    ),
    Mutant(
        "credentials at rest open for their owner alone",
        "bytes",
        f"{_SRC}/services/sealing.py",
        "encrypt(nonce, json.dumps(dict(values)).encode(), owner.encode())",
        "encrypt(nonce, json.dumps(dict(values)).encode(), owner.encode() and None)",
        ("tests/api/test_keys.py::test_what_was_sealed_for_one_opens_for_no_other",),
    ),
    # --- strangers --------------------------------------------------------------------------------------------------
    Mutant(
        "signature of a token",
        "strangers",
        f"{_SRC}/services/tokens.py",
        "            if subject and hmac.compare_digest(parts[2].encode(), self._mac(principal).encode()):\n",
        "            if subject:\n",
        (f"{DOORS}::test_no_door_opens_with_a_wrong_token",),
    ),
    Mutant(
        "a token's kind",
        "strangers",
        f"{_SRC}/api/doors.py",
        "        if principal.kind != wanted:\n",
        "        if False:\n",
        (f"{DOORS}::test_peoples_doors_are_for_people", f"{DOORS}::test_agents_doors_are_for_nodes"),
        slow=True,
    ),
    Mutant(
        "a node's token is one node's",
        "strangers",
        f"{_SRC}/api/agents.py",
        "    if node != named:\n",
        "    if False:\n",
        (f"{DOORS}::test_a_node_speaks_only_for_itself",),
    ),
    Mutant(
        "largest body",
        "strangers",
        f"{_SRC}/api/doors.py",
        "        if got > LARGEST_BODY:\n",
        "        if False:\n",
        ("tests/hostile/test_slow_callers.py::test_a_body_without_length_is_bounded_and_garbled_tokens_are_refused",),
    ),
    Mutant(
        "largest announced body",
        "strangers",
        f"{_SRC}/api/doors.py",
        '        if name == b"content-length" and (not value.isdigit() or int(value) > LARGEST_BODY):\n',
        "        if False:\n",
        (f"{DOORS}::test_a_body_that_is_too_large_is_refused",),
    ),
    Mutant(
        "place of a shared access signature",
        "strangers",
        f"{_SRC}/services/signatures.py",
        '(*(fields.get(name, "") for name in _SIGNED), container, path)',
        '(*(fields.get(name, "") for name in _SIGNED),)',
        (f"{BLOBS}::test_a_signature_is_good_for_what_it_says",),
    ),
    Mutant(
        "permission of a shared access signature",
        "strangers",
        f"{_SRC}/api/blob/call.py",
        "        if not set(letters) & set(self.grant.allowed):\n",
        "        if False:\n",
        (f"{BLOBS}::test_a_signature_is_good_for_what_it_says",),
    ),
    Mutant(
        "time of a shared access signature",
        "strangers",
        f"{_SRC}/services/signatures.py",
        "        if until <= now or (since is not None and since - _SKEW_MS > now):\n",
        "        if False:\n",
        (f"{BLOBS}::test_a_signature_is_good_for_what_it_says",),
    ),
    Mutant(
        "signature of an address that opens a log",
        "strangers",
        f"{_SRC}/services/capabilities.py",
        "    if not hmac.compare_digest(signature",
        "    if False and not hmac.compare_digest(signature",
        ("tests/api/test_azure_jobs.py::test_a_log_is_read_by_its_address_alone_and_by_no_other",),
    ),
    Mutant(
        "time of an address that opens a log",
        "strangers",
        f"{_SRC}/services/capabilities.py",
        "    if int(until) <= now:\n",
        "    if False:\n",
        ("tests/api/test_azure_jobs.py::test_a_log_is_read_by_its_address_alone_and_by_no_other",),
    ),
    Mutant(
        "signature of an access token",
        "strangers",
        f"{_SRC}/services/accesstokens.py",
        '        if not head.startswith(f"{_HEADER}.") or not hmac.compare_digest(\n',
        '        if not head.startswith(f"{_HEADER}.") and not hmac.compare_digest(\n',
        ("tests/api/test_azure_doors.py::test_no_other_token_does",),
    ),
    Mutant(
        "time of an access token",
        "strangers",
        f"{_SRC}/services/accesstokens.py",
        '        if not claims["nbf"] <= now // 1000 < claims["exp"]:\n',
        "        if False:\n",
        ("tests/api/test_azure_doors.py::test_an_access_token_opens_azures_doors_until_it_is_over",),
    ),
    Mutant(
        "audience of an access token",
        "strangers",
        f"{_SRC}/services/accesstokens.py",
        '        if claims["mayfly"] not in meanings:\n',
        "        if False:\n",
        ("tests/api/test_azure_doors.py::test_no_other_token_does",),
    ),
    Mutant(
        "a job's access token ends with it",
        "strangers",
        f"{_SRC}/api/doors.py",
        "            if holder.attempt and not await to_thread.run_sync(self._live, holder.attempt):\n",
        "            if False:\n",
        ("tests/api/test_keys.py::test_an_access_token_of_a_job_ends_with_it",),
    ),
    Mutant(
        "a managed identity stays in its workspace",
        "strangers",
        f"{_SRC}/api/doors.py",
        "            if holder.workspace and outside:\n",
        "            if False:\n",
        ("tests/api/test_keys.py::test_a_managed_identity_stays_in_its_workspace",),
    ),
    Mutant(
        "a token opens its own attempt's gateway",
        "strangers",
        f"{_SRC}/node/agent.py",
        "if one.token == token), None)",
        "), None)",
        ("tests/node/test_node_gateway.py::test_no_token_no_door",),
        slow=True,
    ),
    Mutant(
        "a prepared start is for one kind of job",
        "strangers",
        f"{_SRC}/node/ahead.py",
        "        if wanted is not None and one.wanted.kind == wanted.kind:\n",
        "        if wanted is not None:\n",
        (f"{AHEAD}::test_where_something_is_odd_a_start_is_as_always",),
        slow=True,
    ),
    Mutant(
        "a prepared job has its own variables, and no others",
        "strangers",
        f"{_SRC}/node/foreword.py",
        "            del os.environb[name]\n",
        "            pass\n",
        (f"{AHEAD}::test_a_prepared_start_is_like_any_other",),
        slow=True,
    ),
    Mutant(
        "what an import looked at is as the job has it",
        "strangers",
        f"{_SRC}/node/ahead.py",
        "        if seen := sorted(self.asked & (own.keys() | (self.variables.keys() - environment.keys()))):\n",
        "        if seen := None:\n",
        (f"{AHEAD}::test_where_something_is_odd_a_start_is_as_always",),
        slow=True,
    ),
    Mutant(
        "depth of a job file",
        "strangers",
        f"{_SRC}/spec/document.py",
        "        if self.depth > MOST_DEPTH:\n",
        "        if False:\n",
        (f"{YAML}::test_what_is_no_job_file_is_refused_at_its_line",),
    ),
    Mutant(
        "size of a job file",
        "strangers",
        f"{_SRC}/spec/document.py",
        "    if size > MOST_BYTES:\n",
        "    if False:\n",
        (f"{YAML}::test_what_is_no_job_file_is_refused_at_its_line",),
    ),
    Mutant(
        "control characters in a job file",
        "strangers",
        f"{_SRC}/spec/document.py",
        "    if control is not None:\n",
        "    if False:\n",
        (f"{YAML}::test_what_is_no_job_file_is_refused_at_its_line",),
    ),
)
