"""Job records: whole at any moment, changed in legal steps, safe with two processes and with kill -9."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tao_skill.errors import InternalError, JobError
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.record import LEGAL_TRANSITIONS, JobRecord, JobStatus, RecordedError
from tao_skill.jobs.store import LOCK_FILE, JobStore


def new_record(store: JobStore, job_id: str | None = None) -> JobRecord:
    name = job_id or store.new_id()
    return store.create(JobRecord(job_id=name, skill="s", action="train", results_dir=str(store.folder(name))))


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "results")


def test_create_and_load(store: JobStore) -> None:
    record = new_record(store)
    assert store.load(record.job_id) == record
    assert record.status is JobStatus.PENDING
    document = json.loads((store.folder(record.job_id) / "job.json").read_text())
    assert document["transitions"] == [{"at": record.created_at, "from": None, "to": "PENDING", "reason": "created"}]


def test_the_record_keeps_its_own_schema(store: JobStore) -> None:
    schema = JobRecord.model_json_schema(by_alias=True)
    Draft202012Validator.check_schema(schema)
    record = new_record(store)
    store.update(record.job_id, status="RUNNING", pid=1, spec={"train": {"num_epochs": 3}}, metrics={"a": 0.5})
    document = json.loads((store.folder(record.job_id) / "job.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(document)) == []


def test_ids_are_new_and_sort_by_age(store: JobStore) -> None:
    ids = [store.new_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert [name[:15] for name in ids] == sorted(name[:15] for name in ids)


def test_a_second_job_of_the_same_name_is_an_error(store: JobStore) -> None:
    new_record(store, "one")
    with pytest.raises(JobError, match="already"):
        new_record(store, "one")


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x" * 200])
def test_a_name_that_is_no_folder_name_is_refused(store: JobStore, name: str) -> None:
    with pytest.raises(ValueError, match="job_id"):
        JobRecord(job_id=name, skill="s", action="train", results_dir="x")
    with pytest.raises(JobError):
        store.load(name)


def test_a_life(store: JobStore) -> None:
    job = new_record(store).job_id
    running = store.update(job, status=JobStatus.RUNNING, reason="started", pid=7)
    done = store.update(job, status="COMPLETE", metrics={"val Precision at Rank 1": 0.5}, exit_code=0)
    assert running.started_at == done.started_at is not None
    assert running.finished_at is None
    assert done.finished_at is not None
    assert done.pid == 7
    assert [(step.from_status, step.to_status, step.reason) for step in done.transitions] == [
        (None, "PENDING", "created"),
        ("PENDING", "RUNNING", "started"),
        ("RUNNING", "COMPLETE", ""),
    ]
    assert done.updated_at > running.updated_at


def test_a_resumed_job_forgets_how_it_ended_and_keeps_its_history(store: JobStore) -> None:
    job = new_record(store).job_id
    error = RecordedError(code="data_error", message="broken")
    first = store.update(job, status="RUNNING")
    store.update(job, status="ERROR", exit_code=-9, error=error, log_tail=["boom"])
    again = store.update(job, status="RUNNING", reason="resumed")
    assert (again.finished_at, again.exit_code, again.error, again.log_tail) == (None, None, None, [])
    assert again.started_at == first.started_at
    assert len(again.transitions) == 4


@pytest.mark.parametrize("before", list(JobStatus))
@pytest.mark.parametrize("after", list(JobStatus))
def test_only_legal_steps(store: JobStore, before: JobStatus, after: JobStatus) -> None:
    record = JobRecord(job_id="j", skill="s", action="train", status=before, results_dir="x")
    store.create(record)
    if after is before:
        assert store.update("j", status=after).transitions == store.load("j").transitions
    elif after in LEGAL_TRANSITIONS[before]:
        assert store.update("j", status=after).status is after
    else:
        with pytest.raises(JobError, match=f"is {before} and can't become {after}"):
            store.update("j", status=after)
        assert store.load("j").status is before


def test_complete_is_final() -> None:
    assert LEGAL_TRANSITIONS[JobStatus.COMPLETE] == frozenset()


@pytest.mark.parametrize("field", ["job_id", "transitions", "created_at", "colour"])
def test_fields_that_nobody_may_write(store: JobStore, field: str) -> None:
    job = new_record(store).job_id
    with pytest.raises(InternalError, match=field):
        store.update(job, **{field: "x"})


def test_a_value_of_the_wrong_kind_is_our_mistake_and_changes_nothing(store: JobStore) -> None:
    job = new_record(store)
    with pytest.raises(InternalError, match="pid"):
        store.update(job.job_id, pid="many")
    assert store.load(job.job_id) == job


def test_not_a_number_is_stored_as_null(store: JobStore) -> None:
    job = new_record(store).job_id
    store.update(job, metrics={"a": float("nan"), "b": 0.5}, spec={"train": {"x": [float("inf")]}})
    record = store.load(job)
    assert record.metrics == {"a": None, "b": 0.5}
    assert record.spec == {"train": {"x": [None]}}


def test_ids_may_be_cut_short(store: JobStore) -> None:
    for name in ("20260101-000000-aaa111", "20260101-000001-bbb222", "20260202-000000-aaa333"):
        new_record(store, name)
    assert store.load("20260202").job_id == "20260202-000000-aaa333"
    assert store.load("bbb").job_id == "20260101-000001-bbb222"
    with pytest.raises(JobError, match="Several jobs fit"):
        store.load("20260101")
    with pytest.raises(JobError, match="Several jobs fit"):
        store.load("aaa")
    with pytest.raises(JobError) as caught:
        store.load("20260101-000001-bbb223")
    assert "20260101-000001-bbb222" in caught.value.problems[0].expected


def test_no_jobs_at_all(store: JobStore) -> None:
    assert list(store.list()) == []
    with pytest.raises(JobError, match="There is no job"):
        store.load("x")


def test_list_is_by_age_and_hides_no_broken_record(store: JobStore) -> None:
    first, second, third = (new_record(store, name).job_id for name in ("zz", "mm", "aa"))
    (store.folder(second) / "job.json").write_text('{"job_id": "mm", "status"')
    (store.root / "not-a-job").mkdir()
    listed = store.list()
    assert {record.job_id for record in listed} == {first, second, third}
    assert [record.job_id for record in listed if record.job_id != second] == [first, third]
    broken = next(record for record in listed if record.job_id == second)
    assert broken.status is JobStatus.UNKNOWN
    assert broken.error is not None
    assert "job.json" in broken.error.problems[0].key


def test_a_record_of_a_later_version_is_refused_with_the_reason(store: JobStore) -> None:
    record = new_record(store)
    path = store.folder(record.job_id) / "job.json"
    path.write_text(json.dumps(record.document() | {"schema_version": "2.0"}))
    with pytest.raises(JobError, match=r"schema_version 2\.0"):
        store.load(record.job_id)


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="can't be written"):
        new_record(JobStore(tmp_path / "file" / "results"))


WRITER = """
import sys
from tao_skill.jobs.store import JobStore
store, name, number = JobStore(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for i in range(number):
    status = "ERROR" if store.load(name).status == "RUNNING" else "RUNNING"
    store.update(name, status=status, reason=sys.argv[4])
"""


def test_two_processes_lose_no_transition(store: JobStore) -> None:
    """Both step between RUNNING and ERROR; a step that the other took first is none, so none is illegal."""
    job = new_record(store).job_id
    command = [sys.executable, "-c", WRITER, str(store.root), job, "40"]
    both = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    steps = store.load(job).transitions
    assert all(later.from_status == earlier.to_status for earlier, later in itertools.pairwise(steps))
    assert {step.reason for step in steps[1:]} == {"a", "b"}
    assert len(steps) > 40


FIELDS = """
import sys
from tao_skill.jobs.store import JobStore
store = JobStore(sys.argv[1])
print("ready", flush=True)
for i in range(int(sys.argv[4])):
    store.update(sys.argv[2], **{sys.argv[3]: i})
"""


def test_two_processes_that_change_different_fields_both_prevail(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process comes while the first has read the record and not yet written it."""
    job = new_record(store).job_id
    write, second = store._write, []

    def write_slowly(record: JobRecord) -> None:
        command = [sys.executable, "-c", FIELDS, str(store.root), job, "exit_code", "1"]
        second.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert second[0].stdout.readline() == "ready\n"
        time.sleep(0.3)
        write(record)

    monkeypatch.setattr(store, "_write", write_slowly)
    store.update(job, pid=7)
    second[0].communicate(timeout=20)
    record = store.load(job)
    assert (record.pid, record.exit_code) == (7, 0)


def test_kill_9_in_the_middle_of_writing_leaves_a_whole_record_and_no_lock(store: JobStore) -> None:
    job = new_record(store).job_id
    for _ in range(3):
        command = [sys.executable, "-c", FIELDS, str(store.root), job, "pid", "1000000"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        before = store.load(job).pid
        end = time.monotonic() + 20
        while store.load(job).pid == before and time.monotonic() < end:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert store.load(job).pid is not None
        assert store.update(job, exit_code=1).exit_code == 1
    assert (store.folder(job) / LOCK_FILE).parent.is_dir()


def test_of_two_that_take_a_job_one_does(store: JobStore) -> None:
    job = new_record(store).job_id

    def refuse_taken(record: JobRecord) -> None:
        if record.status is not JobStatus.PENDING:
            raise JobError("taken")

    store.update(job, status=JobStatus.RUNNING, check=refuse_taken, pid=1)
    with pytest.raises(JobError, match="taken"):
        store.update(job, status=JobStatus.RUNNING, check=refuse_taken, pid=2)
    assert store.load(job).pid == 1


def test_the_runner_of_a_job_that_was_taken_for_dead_knows_better(store: JobStore) -> None:
    job = new_record(store).job_id
    error = RecordedError(code="job_error", message="gone")
    store.update(job, status="ERROR", error=error, log_tail=["boom"], **this_process() | {"runner_pid": 1})
    with pytest.raises(JobError, match="can't become"):
        store.update(job, status="COMPLETE")
    store.update(job, **this_process())
    done = store.update(job, status="COMPLETE", reason="it ended well")
    assert (done.status, done.error, done.log_tail) == (JobStatus.COMPLETE, None, [])
