-- A store as schema version 3 wrote it, in SQLite.
BEGIN TRANSACTION;
CREATE TABLE scheduler_clock (latest BIGINT NOT NULL);
INSERT INTO "scheduler_clock" VALUES(1767571320000000);
CREATE TABLE scheduler_owners (
    id TEXT NOT NULL,
    boot TEXT NOT NULL,
    namespace TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started BIGINT NOT NULL,
    lease_until BIGINT NOT NULL, lease_length BIGINT,
    PRIMARY KEY (id)
);
INSERT INTO "scheduler_owners" VALUES('25f1958b-1710-4280-accf-abe1ba344612','00000000-0000-4000-8000-000000000000','pid:[1]',1234,5678,1767571350000000,NULL);
CREATE TABLE scheduler_purged (id TEXT NOT NULL, schedule TEXT NOT NULL, started_runs BIGINT NOT NULL, PRIMARY KEY (id));
INSERT INTO "scheduler_purged" VALUES('gone','[null, null, null, 1767571260000000, null, null, 0]',1);
CREATE TABLE scheduler_runs (
    id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    scheduled_at BIGINT NOT NULL,
    ready_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    coalesced BIGINT NOT NULL,
    "trigger" TEXT NOT NULL,
    "exclusive" INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    owner TEXT,
    thread_id TEXT NOT NULL,
    checkpointed INTEGER NOT NULL,
    resumed INTEGER NOT NULL,
    questions TEXT,
    answer TEXT,
    expires_at BIGINT,
    thread_until BIGINT,
    response TEXT,
    error TEXT,
    earlier_attempts TEXT,
    current_step TEXT,
    usage TEXT, warn_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT known_status CHECK (status IN ('cancelled', 'failed', 'interrupted', 'missed', 'pending', 'running', 'skipped', 'succeeded', 'timed_out', 'waiting')),
    CONSTRAINT known_trigger CHECK (trigger IN ('manual', 'schedule')),
    CONSTRAINT open_or_finished CHECK ((status IN ('pending', 'running', 'waiting')) = (finished_at IS NULL)),
    CONSTRAINT running_has_owner CHECK ((status = 'running') = (owner IS NOT NULL))
);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0260-7000-8000-e65a8c628576','asks',1,1767571260000000,1767571260000000,1767571260000000,NULL,'waiting',1,0,'schedule',1,0,NULL,'scheduler:scheduler',1,0,'[{"id":"q","value":{"ask":"Go on?"}}]',NULL,1767671260000000,NULL,NULL,NULL,NULL,NULL,NULL,1767661260000000);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0260-7000-8001-0481b8db1d54','fails',1,1767571260000000,1767571262081854,1767571260000000,NULL,'pending',1,0,'schedule',1,0,NULL,'scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,NULL,'ValueError: no','[{"number":1,"status":"failed","started_at":"2026-01-05T00:01:00Z","finished_at":"2026-01-05T00:01:01Z","error":"ValueError: no"}]',NULL,NULL,NULL);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0260-7000-8002-982eebd43ff3','going',1,1767571260000000,1767571260000000,1767571260000000,NULL,'running',1,0,'schedule',1,0,'25f1958b-1710-4280-accf-abe1ba344612','scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0260-7000-8003-478b283726cb','last',1,1767571260000000,1767571260000000,1767571260000000,1767571261000000,'timed_out',1,0,'schedule',1,0,NULL,'scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,NULL,'TimeoutError: longer than timeout_seconds=1',NULL,NULL,NULL,NULL);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0260-7000-8004-6d6f0a00660a','t',1,1767571260000000,1767571260000000,1767571260000000,1767571261000000,'succeeded',1,0,'schedule',1,0,NULL,'scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,'Done: ä''s',NULL,NULL,'answer','{"input_tokens":1,"output_tokens":2,"total_tokens":3}',NULL);
INSERT INTO "scheduler_runs" VALUES('019b8b75-0a30-7000-8005-7d6bbd3ec340','paused',1,1767571262000000,1767571262000000,NULL,NULL,'pending',0,0,'manual',1,0,NULL,'scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "scheduler_runs" VALUES('019b8b75-ecc0-7000-8006-0eee9060caeb','going',2,1767571320000000,1767571320000000,NULL,1767571320000000,'skipped',0,0,'schedule',1,0,NULL,'scheduler:scheduler',0,0,NULL,NULL,NULL,NULL,NULL,'the previous run was still running (overlap=skip)',NULL,NULL,NULL,NULL);
CREATE TABLE scheduler_schema (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
INSERT INTO "scheduler_schema" VALUES(3);
CREATE TABLE scheduler_tasks (
    id TEXT NOT NULL,
    definition TEXT NOT NULL,
    schedule TEXT NOT NULL,
    zone TEXT NOT NULL,
    anchor BIGINT NOT NULL,
    next_due BIGINT,
    paused INTEGER NOT NULL,
    pause_reason TEXT,
    started_runs BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    finished_at BIGINT,
    removed INTEGER NOT NULL,
    problem TEXT,
    source TEXT, warn_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT paused_flag CHECK (paused IN (0, 1)),
    CONSTRAINT removed_flag CHECK (removed IN (0, 1)),
    CONSTRAINT removed_is_finished CHECK (removed = 0 OR finished_at IS NOT NULL)
);
INSERT INTO "scheduler_tasks" VALUES('t','{"id":"t","name":"T","task_type":"interval","prompt":"Go on.","interval_seconds":60}','[null, null, 60, null, null, null, 0]','UTC',1767571200000000,1767571320000000,0,NULL,1,0,1,NULL,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('fails','{"id":"fails","name":"Fails","task_type":"interval","prompt":"Go on.","interval_seconds":60,"max_attempts":3}','[null, null, 60, null, null, null, 0]','UTC',1767571200000000,1767571320000000,0,NULL,1,0,1,NULL,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('asks','{"id":"asks","name":"Asks","task_type":"one_time","prompt":"Go on.","run_at":"2026-01-05T00:01:00Z"}','[null, null, null, 1767571260000000, null, null, 0]','UTC',1767571200000000,NULL,0,NULL,1,0,1,NULL,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('last','{"id":"last","name":"Last","task_type":"one_time","prompt":"Go on.","run_at":"2026-01-05T00:01:00Z"}','[null, null, null, 1767571260000000, null, null, 0]','UTC',1767571200000000,NULL,0,NULL,1,0,1,1767571261000000,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('paused','{"id":"paused","name":"Paused","task_type":"cron","prompt":"Go on.","cron_expression":"0 9 * * 1-5","timezone":"Europe/Berlin"}','["0 9 * * 1-5", "Europe/Berlin", null, null, null, null, 0]','Europe/Berlin',1767571200000000,1767600000000000,1,NULL,0,0,1,NULL,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('going','{"id":"going","name":"Going","task_type":"interval","prompt":"Go on.","interval_seconds":60}','[null, null, 60, null, null, null, 0]','UTC',1767571200000000,1767571380000000,0,NULL,1,0,2,NULL,0,NULL,NULL,NULL);
INSERT INTO "scheduler_tasks" VALUES('bounded','{"id":"bounded","name":"Bounded","end_at":"2026-01-06T00:00:00Z","task_type":"interval","prompt":"Go on.","interval_seconds":60}','[null, null, 60, null, null, 1767657600000000, 0]','UTC',1767571200000000,1767571380000000,1,NULL,0,0,0,NULL,0,NULL,NULL,1767648960000000);
CREATE TABLE scheduler_unloadable (task_id TEXT NOT NULL, owner TEXT NOT NULL, code TEXT, problem TEXT, tries INTEGER NOT NULL, retry_at BIGINT NOT NULL, PRIMARY KEY (task_id, owner));
INSERT INTO "scheduler_unloadable" VALUES('bounded','25f1958b-1710-4280-accf-abe1ba344612','["agents:digest", null, null]','no module named agents',1,1767571350000000);
CREATE INDEX scheduler_tasks_due ON scheduler_tasks (next_due) WHERE next_due IS NOT NULL AND paused = 0 AND finished_at IS NULL AND problem IS NULL;
CREATE INDEX scheduler_tasks_finished ON scheduler_tasks (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX scheduler_runs_pending ON scheduler_runs (ready_at) WHERE status = 'pending';
CREATE UNIQUE INDEX scheduler_runs_history ON scheduler_runs (task_id, seq);
CREATE INDEX scheduler_runs_thread_until ON scheduler_runs (thread_until) WHERE thread_until IS NOT NULL;
CREATE INDEX scheduler_runs_threads ON scheduler_runs (thread_id) WHERE status IN ('pending', 'running', 'waiting') AND checkpointed = 1;
CREATE INDEX scheduler_runs_running ON scheduler_runs (owner) WHERE status = 'running';
CREATE INDEX scheduler_runs_waiting ON scheduler_runs (expires_at) WHERE status = 'waiting';
CREATE UNIQUE INDEX scheduler_runs_once ON scheduler_runs (task_id, scheduled_at) WHERE "trigger" = 'schedule';
CREATE INDEX scheduler_runs_open ON scheduler_runs (task_id, status) WHERE status IN ('pending', 'running', 'waiting');
CREATE INDEX scheduler_unloadable_retry ON scheduler_unloadable (owner, retry_at);
CREATE INDEX scheduler_tasks_warn ON scheduler_tasks (warn_at) WHERE warn_at IS NOT NULL;
CREATE INDEX scheduler_runs_warn ON scheduler_runs (warn_at) WHERE status = 'waiting';
COMMIT;
