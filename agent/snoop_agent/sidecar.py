"""The program `snoop-agent`: settles the settings, puts the parts together, and runs until SIGTERM."""

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from snoop_agent import kernel, observability, settings, spool, state
from snoop_agent.agent import Agent, Started
from snoop_agent.alarm import Alarm
from snoop_agent.delivery import Delivery
from snoop_agent.outbox import Outbox
from snoop_agent.recorder import Recorder
from snoop_agent.reportfile import ReportFile
from snoop_agent.sender import Sender
from snoop_report.model import AgentInfo, Report
from snoop_report.version import version

if TYPE_CHECKING:
    from snoop_agent.post import Post

LOG = logging.getLogger(__name__)

REPORT_LIMIT = 64 << 20
"""Bytes of the report file beside an operator: the volume evicts its pod at 256 MiB, and while a file is replaced there
are two. The operator has it all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `snoop-agent`. 2: the settings are wrong."""
    try:
        chosen = settings.load(sys.argv[1:] if arguments is None else arguments, os.environ)
    except settings.SettingsError as error:
        sys.stderr.write(f"snoop-agent: {error}\n")
        return 2
    if chosen.command == "check":
        from snoop_agent import check

        return check.run()
    observability.log_to_stderr(chosen.log_level)
    alarm = Alarm()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, alarm.stop)
    agent = build(chosen, alarm)
    if chosen.metrics_addr:
        from snoop_agent import endpoints

        endpoints.serve(chosen.metrics_addr, agent.numbers)
    agent.run()
    return 0


def build(chosen: settings.Settings, alarm: Alarm) -> Agent:
    """Put an agent together, ready to run."""
    LOG.info("snoop-agent %s on kernel %s", version(), kernel.release())
    try:
        run = state.begin(chosen.data_directory)
    except spool.SpoolError as error:
        LOG.error("%s: a restart of the agent will not be noticed, and nothing is kept for later", error)
        run = state.unknown()
    recorder = Recorder(
        exclude=chosen.exclude,
        max_unique_files=chosen.max_unique_files,
        about=Report(
            pod_name=chosen.pod_name,
            namespace=chosen.namespace,
            pod_uid=chosen.pod_uid,
            node=chosen.node,
            started_at=time.time(),
            agent=AgentInfo(version=version(), kernel=kernel.release()),
        ),
    )
    report = ReportFile(chosen.report, chosen.interval, recorder, limit=REPORT_LIMIT if chosen.operator_url else 0)
    delivery = _delivery(chosen, run, recorder) if chosen.operator_url else None
    return Agent(chosen.data_directory, run, lambda: start(chosen), alarm, recorder, report, delivery)


def start(chosen: settings.Settings) -> Started:
    """Trace the pod that this process lives in. KernelError if that cannot be."""
    # Only here: whoever has no tracer (tests, other machines) can run the rest.
    from snoop_agent import plan, subject, tracer

    own = 0

    def find(here: subject.Whereabouts) -> subject.Subject:
        nonlocal own
        found = subject.pod_subject(here, chosen.pod_uid)
        own = found.own
        return found

    running = tracer.start_tracer(
        find,
        attach=chosen.attach,
        plan=plan.Plan(plan.ATTACH_RAW, ring_pages=chosen.ring >> 12),
        scratch=chosen.data_directory,
        pins=chosen.pins,
    )
    if running.alive():
        running.sweep()
    return Started(running, own)


def _delivery(chosen: settings.Settings, run: state.State, recorder: Recorder) -> Delivery:
    outbox = Outbox(chosen.data_directory / "outbox", run.run, run.boot)
    if outbox.left_over:
        LOG.info("%d reports of an earlier run wait for the operator", outbox.left_over)

    def post() -> "Post":
        # Only here, in the sender's thread: TLS takes a tenth of the time in which the hooks are to be attached.
        from snoop_agent.post import Post

        return Post(
            chosen.operator_url,
            address=chosen.operator_address,
            ca_bundle=chosen.ca_bundle,
            ca_file=chosen.data_directory / "ca.pem",
            token_file=chosen.token_file,
        )

    sender = Sender(outbox, post)
    sender.start()
    return Delivery(recorder, outbox, sender, chosen.interval)


if __name__ == "__main__":
    sys.exit(main())
