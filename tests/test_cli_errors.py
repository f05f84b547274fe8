"""What a wrong call gets: one line on stderr, nothing on stdout, and the right exit code."""

import asyncio
import signal
import socket
import subprocess
import threading

import pytest
from click.testing import CliRunner
from clikit import Cli, call, clean_env, empty, process
from redis.exceptions import InvalidResponse

from labsched import BacklogFull, EventsGap, OutcomeUnknown, Scheduler, ServerUnsuitable, Unreachable, manual
from labsched.cli.hints import task_names, unreachable
from labsched.cli.root import explain, root


@pytest.fixture(scope="module")
def cli(valkey_process):
    """A namespace with tasks and without instances."""
    empty(valkey_process.url)
    made = Cli(valkey_process.url, "errors")

    async def define() -> None:
        app = Scheduler(made.url, namespace=made.namespace)
        app.task("quick", manual())(_body)
        app.task("small", manual(), max_backlog=1)(_body)
        async with app:
            pass

    asyncio.run(define())
    return made


async def _body(ctx): ...


@pytest.fixture(autouse=True)
def nobody_elses_servers(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("REDIS_URL", raising=False)


# (the call, exit code, what the line says). Each needs the server or would be refused before reaching it.
WRONG = [
    (["taks"], 2, "no command 'taks'; did you mean tasks?"),
    (["trigger"], 2, "Missing argument 'NAME'"),
    (["trigger", "quick", "--bogus"], 2, "No such option"),
    (["trigger", "nope"], 2, "no task 'nope' in namespace 'errors'; there are quick, small"),
    (["trigger", "qiuck"], 2, "no task 'qiuck' in namespace 'errors'; did you mean quick?"),
    (["trigger", "quick", "--payload", "{day: 1}"], 2, "--payload is not JSON"),
    (["trigger", "quick", "--payload", "[1]"], 2, "a JSON object is needed"),
    (["trigger", "quick", "-p", "day"], 2, "write key=value"),
    (["trigger", "quick", "-p", "day=" + "x" * 1_100_000], 2, "1 MiB"),
    (["trigger", "quick", "--at", "tomorrow"], 2, "--at 'tomorrow' is refused"),
    (["trigger", "quick", "--at", "+soon"], 2, "--at 'soon' is refused"),
    (["trigger", "quick", "--at", "+1m", "-p", "_key=1"], 2, "'_key' cannot be used together with --at"),
    (["trigger", "quick", "--wait=soon"], 2, "--wait 'soon' is refused"),
    (["trigger", "quick", "--key", "a b"], 2, "key is 'a b'"),
    (["trigger", "quick", "--priority", "urgent"], 2, "'urgent' is not one of"),
    (["trigger", "quick", "--many", "/nope.jsonl"], 2, "--many '/nope.jsonl' cannot be read"),
    (["trigger", "quick", "--many", "x", "--key", "k"], 2, "--many goes with"),
    (["backfill", "quick", "now", "-1h"], 2, "END '-1h' is not after START 'now'"),
    (["backfill", "quick", "-1h", "-PT2H"], 2, "END '-PT2H' is not after START '-1h'"),
    (["backfill", "quick", "-x", "now"], 2, "No such option"),
    (["backfill", "quick", "--", "now", "-1h"], 2, "END '-1h' is not after START 'now'"),
    (["backfill", "nope", "2026-01-01", "2026-01-02"], 2, "no task 'nope'"),
    (["pause", "uic"], 2, "no task 'uic' in namespace 'errors'; did you mean quick?"),
    (["--namespace", "empty", "pause", "quick"], 2, "no task is defined there: is it the right --namespace?"),
    (["resume", "quick", "--catch-up", "most"], 2, "'most' is not one of"),
    (["cancel", "nope~1"], 2, "no execution 'nope~1'"),
    (["requeue", "nope~1"], 2, "no execution 'nope~1'"),
    (["execution", "nope~1"], 2, "no execution 'nope~1'"),
    (["executions", "--state", "LOST"], 2, "'LOST' is not one of BUFFERED, READY"),
    (["executions", "--task", "nope"], 2, "no task 'nope'"),
    (["executions", "--limit", "0"], 2, "0 is not in the range"),
    (["preview", "nope"], 2, "no task 'nope'"),
    (["why", "--task", "smal"], 2, "did you mean small?"),
    (["events", "--task", "nope"], 2, "no task 'nope'"),
    (["events", "--task", "quik", "--follow"], 2, "did you mean quick?"),
    (["why"], 2, "give an execution's id, or --task NAME"),
    (["why", "a", "--task", "b"], 2, "give an execution's id, or --task NAME"),
    (["why", "a", "--at", "now"], 2, "--at goes with --task"),
    (["why", "nope~1"], 2, "no execution 'nope~1'"),
    (["events", "--kind", "RAN"], 2, "no kind of event is called 'RAN'"),
    (["events", "--since", "yesterday"], 2, "--since 'yesterday' is refused"),
    (["events", "--since", "99999999999999-0"], 1, "lies beyond the last event"),
    (["drain", "nobody"], 2, "no instance 'nobody'"),
    (["check", "/nope.json"], 2, "cannot read recording /nope.json"),
    (["check", __file__], 2, "is not a labsched recording"),
    (["instance", "--app", "nope"], 2, "write MODULE:ATTRIBUTE or FILE.py:ATTRIBUTE"),
    (["instance", "--app", "no_such_module:app"], 2, "No module named 'no_such_module'"),
    (["instance", "--app", "/nope.py:app"], 2, "app file '/nope.py' does not exist"),
    (["instance", "--app", "labsched:Scheduler"], 2, "Scheduler is a type, not a Scheduler"),
    (["instance", "--app", "labsched:nope"], 2, "nope is missing"),
    (["instance", "--app", "chaos_app:nope"], 2, "nope is missing; did you mean chaos_app:app?"),
    (["instance", "--tasks", "/nope.yml"], 2, "tasks file /nope.yml cannot be read"),
    (["instance", "--journal", "/nope/x"], 2, "journal '/nope/x' cannot be written"),
    (["instance", "--pool-size", "0"], 2, "0 is not in the range"),
    (["instance", "--name", "two words"], 2, "instance name is 'two words'"),
    (["up", "-n", "0"], 2, "0 is not in the range"),
    (["up", "--tasks", "/nope.yml"], 2, "tasks file /nope.yml cannot be read"),
    (["up", "--app", "no_such_module:app"], 2, "No module named 'no_such_module'"),
    (["up", "--app", "/nope.py:app"], 2, "app file '/nope.py' does not exist"),
    (["up", "--app", "labsched:nope"], 2, "nope is missing"),
    (["demo", "--out", "/proc/nope"], 2, "--out '/proc/nope' cannot be made"),
    (["--config", "/nope.yml", "tasks"], 2, "settings file /nope.yml cannot be read"),
    (["--url", "htp://x", "tasks"], 2, "redis_url 'htp://x' is refused"),
    (["--url", "fake", "tasks"], 2, "nothing to attach to"),
    (["--namespace", "a b", "tasks"], 2, "namespace 'a b' is refused"),
    (["--url", "embedded", "tasks"], 1, "no embedded server runs here: start a cluster with `labsched up`"),
    (["--url", "embedded", "instance"], 1, "no embedded server runs here"),
    (["--url", "embedded", "doctor"], 1, "no embedded server runs here"),
]


@pytest.mark.parametrize(
    ("words", "code", "says"), WRONG, ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else ""
)
def test_a_wrong_call_gets_one_line(cli, words, code, says):
    given = list(words) if words[0].startswith("--url") else ["--url", cli.url, *words]
    outcome = call(*given) if "--namespace" in words else call("--namespace", cli.namespace, *given)
    assert (outcome.code, outcome.out) == (code, "")
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("labsched")


def test_a_wrong_call_changes_nothing(cli):
    assert cli("executions", "--json").json == []


def test_names_of_tasks_are_suggested():
    known = ["cleanup-temp-files", "daily-report", "data-backup"]
    assert task_names("cleanup", known) == "did you mean cleanup-temp-files?"
    assert task_names("dayly-report", known) == "did you mean daily-report?"
    assert task_names("x", known) == "there are cleanup-temp-files, daily-report, data-backup"
    assert task_names("x", [f"task-{n}" for n in range(100)]) == "`labsched tasks` lists them"
    assert task_names("x", ["only-one"]) == "there is only only-one"
    assert task_names("x", []) == "no task is defined there: is it the right --namespace?"


def test_a_full_backlog_is_refused(cli):
    assert cli("trigger", "small", "--key", "only").code == 0
    outcome = cli("trigger", "small")
    assert outcome.code == 1 and "max_backlog" in outcome.err
    cli("cancel", "small~only")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("LABSCHED_SCHEDULER_POOL_SIZE", "many", "LABSCHED_SCHEDULER_POOL_SIZE 'many' is refused"),
        ("LABSCHED_SCHEDULER_POOLSIZE", "3", "unknown variable LABSCHED_SCHEDULER_POOLSIZE"),
        ("LABSCHED_SCHEDULER_INSTANCE_LEASE", "1s", "must be less than"),
    ],
)
def test_a_wrong_setting_gets_one_line(cli, monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    outcome = cli("tasks")
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["tasks"], ["trigger", "quick", "--wait"], ["events", "--follow"]], ids=" ".join
)
def test_an_unreachable_server_is_told_in_one_line_that_says_what_to_do(monkeypatch, words):
    monkeypatch.setattr("labsched.cli.call.PATIENCE", 1.5)
    outcome = call(*words, "--url", "redis://127.0.0.1:1")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert outcome.err.startswith("labsched: redis://127.0.0.1:1: no answer from the server in ")
    assert "; start a server there, or name another one with --url" in outcome.err
    assert "may have happened" not in outcome.err


def test_v_tells_of_the_tries_at_most_once_a_second(monkeypatch):
    monkeypatch.setattr("labsched.cli.call.PATIENCE", 2.5)
    outcome = call("tasks", "-v", "--url", "redis://127.0.0.1:1")
    warnings = [line for line in outcome.err.splitlines() if "server unreachable" in line]
    assert 1 <= len(warnings) <= 3


@pytest.mark.parametrize(
    ("scheme", "error", "advice"),
    [
        ("redis", Unreachable("Error 111 connecting to h:1. Connect call failed."), "start a server there"),
        ("redis", OutcomeUnknown("Error while reading from h:1 : reset by peer"), "write rediss:// instead"),
        ("redis", OutcomeUnknown("Connection closed by server."), "write rediss:// instead"),
        ("redis", InvalidResponse("Protocol error, got 'H' as reply type byte"), "there is no Redis server"),
        ("rediss", Unreachable("Timeout connecting to server"), "write redis:// instead"),
        ("rediss", Unreachable("Error 1. [SSL: WRONG_VERSION_NUMBER] wrong"), "write redis:// instead"),
        ("rediss", Unreachable("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "?ssl_ca_certs=FILE"),
        ("rediss", Unreachable("Error 111 connecting to h:1. Connect call failed."), "start a server there"),
    ],
)
def test_advice_fits_the_trouble(scheme, error, advice):
    said = unreachable(error, f"{scheme}://:hunter2@h:1")
    assert advice in str(said) and "hunter2" not in str(said) and not said.may_have_happened


def test_a_server_that_is_no_redis_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("labsched.cli.call.PATIENCE", 0.5)

    def answer() -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            with link:
                link.recv(100)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        for word in ("tasks", "doctor"):
            outcome = call(word, "--url", f"redis://127.0.0.1:{door.getsockname()[1]}")
            assert outcome.code == 1 and "write rediss:// instead" in outcome.out + outcome.err
        door.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_password_is_never_shown(monkeypatch):
    monkeypatch.setattr("labsched.cli.call.PATIENCE", 0.2)
    for words in (["tasks"], ["doctor"], ["tasks", "-v"]):
        outcome = call(*words, "--url", "redis://:hunter2@127.0.0.1:1")
        assert outcome.code == 1 and "hunter2" not in outcome.out + outcome.err


@pytest.mark.parametrize("error", [Unreachable, ServerUnsuitable, BacklogFull, EventsGap, TimeoutError])
def test_what_fails_or_is_refused_is_1(error):
    assert explain(error("so it is")) == (1, "labsched: so it is")


def test_an_outcome_that_is_not_known_says_so():
    assert explain(OutcomeUnknown("no reply")) == (1, "labsched: no reply (it may have happened)")


def test_a_bug_keeps_its_traceback():
    assert explain(AssertionError("never")) == (None, "")


def test_no_command_at_all_shows_the_help():
    result = CliRunner().invoke(root, [])
    assert result.exit_code == 2 and "Usage: labsched" in result.output


def test_an_interrupted_command_is_130(cli):
    following = subprocess.Popen(
        cli.command("events", "--follow", "--since", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_env(),
    )
    assert (
        following.stdout is not None and following.stdout.readline()
    )  # before that, Python itself is interrupted
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=10)
    assert (following.returncode, err) == (130, "labsched: interrupted\n")


def test_python_m_labsched_is_the_same_command_line():
    outcome = process("taks")
    assert outcome.code == 2 and outcome.err.startswith("labsched: no command 'taks'")
