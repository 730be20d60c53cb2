"""docs/recipes/notifications.md: a real scheduler sends to a webhook and a mail server on this machine."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from recipe_kit import Project, end, needs, until, wait_for

needs("aiosmtpd", "trustme")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")

SERVE = ("task-scheduler", "serve", "--no-checkpoints", "--tasks", "tasks.toml")

PROGRAM = """
import asyncio, signal, sys
from alerts import alert_on_failures
from scheduler import TaskScheduler

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    scheduler = TaskScheduler()
    alert_on_failures(scheduler)
    async with scheduler:
        print("running", flush=True)
        await stopping.wait()

asyncio.run(main())
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, "notifications.md")
    (tmp_path / "tasks.toml").write_text(project.files["tasks.toml"])
    return project


@contextmanager
def slack():
    """A webhook on this machine; yields its URL, and the bodies that were posted to it."""
    bodies = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/services/T/B/x", bodies
        server.shutdown()
        thread.join()


def prompt(project, text):
    """Let the first task ask something else."""
    file = project.folder / "tasks.toml"
    file.write_text(file.read_text().replace("What is on today?", text))


def trigger(project, task_id):
    face = project.face()
    run_id = face.trigger_task(task_id)
    face.stop()
    return run_id


def test_slack(project):
    """The answer is posted, and what it holds mentions nobody."""
    prompt(project, "Tell <!channel> & <@U1>.")
    with slack() as (url, bodies), project.start(*SERVE, SLACK_WEBHOOK_URL=url) as scheduler:
        wait_for(scheduler, "Scheduler running")
        trigger(project, "stand-up")
        until(lambda: bodies)
        end(scheduler)
    assert bodies == [{"text": "Stand-up: Echo: Tell &lt;!channel&gt; &amp; &lt;@U1&gt;."}]


def test_a_webhook_that_fails(project):
    """The run is a success all the same, and its error says what became of the message."""
    with project.start(*SERVE, SLACK_WEBHOOK_URL="http://127.0.0.1:9/") as scheduler:
        wait_for(scheduler, "Scheduler running")
        run_id = trigger(project, "stand-up")
        face = project.face()
        run = until(lambda: (run := face.get_run(run_id)).status == "succeeded" and run)
        face.stop()
        end(scheduler)
    assert run.error.startswith("result_callback: ConnectError")


@contextmanager
def mail_server(folder):
    """A server that wants TLS and a password; yields the variables that name it, and the messages that came."""
    import trustme
    from aiosmtpd.smtp import SMTP, AuthResult

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    messages = []

    class Handler:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd calls it so)
            messages.append(
                (envelope.mail_from, envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default))
            )
            return "250 OK"

    def check(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"agents@example.com", b"secret"))

    def new():
        return SMTP(Handler(), tls_context=tls, require_starttls=True, auth_required=True, authenticator=check)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(new, "127.0.0.1", 0))
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield (
        {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(server.sockets[0].getsockname()[1]),
            "SMTP_USER": "agents@example.com",
            "SMTP_PASSWORD": "secret",
            "SSL_CERT_FILE": str(folder / "authority.pem"),
        },
        messages,
    )
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_email(project):
    """Sent with TLS and a password, to the address in the metadata; a name of several lines stays one line."""
    file = project.folder / "tasks.toml"
    file.write_text(file.read_text().replace('"Weekly report"', '"Weekly\\nreport"'))
    with mail_server(project.folder) as (variables, messages), project.start(*SERVE, **variables) as scheduler:
        wait_for(scheduler, "Scheduler running")
        trigger(project, "weekly-report")
        until(lambda: messages)
        end(scheduler)
    ((sender, receivers, message),) = messages
    assert (sender, receivers) == ("agents@example.com", ["team@example.com"])
    assert message["Subject"] == "Weekly report"
    assert message.get_content().strip() == "Echo: Write the report of the week."


def test_alerts(project):
    """A failed run is reported to Slack, and `runs --follow` prints the same error."""
    prompt(project, "Fail.")
    program = project.folder / "program.py"
    program.write_text(PROGRAM)
    apply = ("task-scheduler", "apply", "tasks.toml")
    subprocess.run(apply, cwd=project.folder, env=project.environment(), check=True, capture_output=True)
    follow = ("task-scheduler", "runs", "--follow", "--status", "failed", "--since", "1s", "--json")
    with (
        slack() as (url, bodies),
        project.start(sys.executable, "program.py", SLACK_WEBHOOK_URL=url) as scheduler,
        project.start(*follow) as following,
    ):
        wait_for(scheduler, "running")
        run_id = trigger(project, "stand-up")
        line = json.loads(following.stdout.readline())
        assert (line["id"], line["error"]) == (run_id, "ValueError: no such city <!channel>")
        until(lambda: bodies)
        end(scheduler)
    assert bodies == [{"text": "Task stand-up failed: ValueError: no such city &lt;!channel&gt;"}]


def test_the_tasks(project):
    """They name callbacks that are there."""
    tasks = tomllib.loads(project.files["tasks.toml"])["task"]
    assert [task["result_callback"] for task in tasks] == ["notify.slack", "notify.email"]
