-- A store as schema version 3 wrote it, on PostgreSQL.
CREATE TABLE scheduler_clock (
    latest bigint NOT NULL
);
CREATE TABLE scheduler_owners (
    id text NOT NULL,
    boot text NOT NULL,
    namespace text NOT NULL,
    pid bigint NOT NULL,
    started bigint NOT NULL,
    lease_until bigint NOT NULL,
    lease_length bigint
);
CREATE TABLE scheduler_purged (
    id text NOT NULL,
    schedule text NOT NULL,
    started_runs bigint NOT NULL
);
CREATE TABLE scheduler_runs (
    id text NOT NULL,
    task_id text NOT NULL,
    seq bigint NOT NULL,
    scheduled_at bigint NOT NULL,
    ready_at bigint NOT NULL,
    started_at bigint,
    finished_at bigint,
    status text NOT NULL,
    attempt integer NOT NULL,
    coalesced bigint NOT NULL,
    trigger text NOT NULL,
    exclusive integer NOT NULL,
    cancel_requested integer NOT NULL,
    owner text,
    thread_id text NOT NULL,
    checkpointed integer NOT NULL,
    resumed integer NOT NULL,
    questions text,
    answer text,
    expires_at bigint,
    thread_until bigint,
    response text,
    error text,
    earlier_attempts text,
    current_step text,
    usage text,
    warn_at bigint,
    CONSTRAINT known_status CHECK ((status = ANY (ARRAY['cancelled'::text, 'failed'::text, 'interrupted'::text, 'missed'::text, 'pending'::text, 'running'::text, 'skipped'::text, 'succeeded'::text, 'timed_out'::text, 'waiting'::text]))),
    CONSTRAINT known_trigger CHECK ((trigger = ANY (ARRAY['manual'::text, 'schedule'::text]))),
    CONSTRAINT open_or_finished CHECK (((status = ANY (ARRAY['pending'::text, 'running'::text, 'waiting'::text])) = (finished_at IS NULL))),
    CONSTRAINT running_has_owner CHECK (((status = 'running'::text) = (owner IS NOT NULL)))
);
CREATE TABLE scheduler_schema (
    version integer NOT NULL
);
CREATE TABLE scheduler_tasks (
    id text NOT NULL,
    definition text NOT NULL,
    schedule text NOT NULL,
    zone text NOT NULL,
    anchor bigint NOT NULL,
    next_due bigint,
    paused integer NOT NULL,
    pause_reason text,
    started_runs bigint NOT NULL,
    failures bigint NOT NULL,
    last_seq bigint NOT NULL,
    finished_at bigint,
    removed integer NOT NULL,
    problem text,
    source text,
    warn_at bigint,
    CONSTRAINT paused_flag CHECK ((paused = ANY (ARRAY[0, 1]))),
    CONSTRAINT removed_flag CHECK ((removed = ANY (ARRAY[0, 1]))),
    CONSTRAINT removed_is_finished CHECK (((removed = 0) OR (finished_at IS NOT NULL)))
);
CREATE TABLE scheduler_unloadable (
    task_id text NOT NULL,
    owner text NOT NULL,
    code text,
    problem text,
    tries integer NOT NULL,
    retry_at bigint NOT NULL
);
INSERT INTO scheduler_clock VALUES (1767571320000000);
INSERT INTO scheduler_owners VALUES ('25f1958b-1710-4280-accf-abe1ba344612', '00000000-0000-4000-8000-000000000000', 'pid:[1]', 1234, 5678, 1767571350000000, NULL);
INSERT INTO scheduler_purged VALUES ('gone', '[null, null, null, 1767571260000000, null, null, 0]', 1);
INSERT INTO scheduler_runs VALUES ('019b8b75-0260-7000-8001-0481b8db1d54', 'fails', 1, 1767571260000000, 1767571262081854, 1767571260000000, NULL, 'pending', 1, 0, 'schedule', 1, 0, NULL, 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, NULL, 'ValueError: no', '[{"number":1,"status":"failed","started_at":"2026-01-05T00:01:00Z","finished_at":"2026-01-05T00:01:01Z","error":"ValueError: no"}]', NULL, NULL, NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-0260-7000-8002-982eebd43ff3', 'going', 1, 1767571260000000, 1767571260000000, 1767571260000000, NULL, 'running', 1, 0, 'schedule', 1, 0, '25f1958b-1710-4280-accf-abe1ba344612', 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-0260-7000-8003-478b283726cb', 'last', 1, 1767571260000000, 1767571260000000, 1767571260000000, 1767571261000000, 'timed_out', 1, 0, 'schedule', 1, 0, NULL, 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, NULL, 'TimeoutError: longer than timeout_seconds=1', NULL, NULL, NULL, NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-0260-7000-8004-6d6f0a00660a', 't', 1, 1767571260000000, 1767571260000000, 1767571260000000, 1767571261000000, 'succeeded', 1, 0, 'schedule', 1, 0, NULL, 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, 'Done: ä''s', NULL, NULL, 'answer', '{"input_tokens":1,"output_tokens":2,"total_tokens":3}', NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-0a30-7000-8005-7d6bbd3ec340', 'paused', 1, 1767571262000000, 1767571262000000, NULL, NULL, 'pending', 0, 0, 'manual', 1, 0, NULL, 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-ecc0-7000-8006-0eee9060caeb', 'going', 2, 1767571320000000, 1767571320000000, NULL, 1767571320000000, 'skipped', 0, 0, 'schedule', 1, 0, NULL, 'scheduler:scheduler', 0, 0, NULL, NULL, NULL, NULL, NULL, 'the previous run was still running (overlap=skip)', NULL, NULL, NULL, NULL);
INSERT INTO scheduler_runs VALUES ('019b8b75-0260-7000-8000-e65a8c628576', 'asks', 1, 1767571260000000, 1767571260000000, 1767571260000000, NULL, 'waiting', 1, 0, 'schedule', 1, 0, NULL, 'scheduler:scheduler', 1, 0, '[{"id":"q","value":{"ask":"Go on?"}}]', NULL, 1767671260000000, NULL, NULL, NULL, NULL, NULL, NULL, 1767661260000000);
INSERT INTO scheduler_schema VALUES (3);
INSERT INTO scheduler_unloadable VALUES ('bounded', '25f1958b-1710-4280-accf-abe1ba344612', '["agents:digest", null, null]', 'no module named agents', 1, 1767571350000000);
INSERT INTO scheduler_tasks VALUES ('t', '{"id":"t","name":"T","task_type":"interval","prompt":"Go on.","interval_seconds":60}', '[null, null, 60, null, null, null, 0]', 'UTC', 1767571200000000, 1767571320000000, 0, NULL, 1, 0, 1, NULL, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('fails', '{"id":"fails","name":"Fails","task_type":"interval","prompt":"Go on.","interval_seconds":60,"max_attempts":3}', '[null, null, 60, null, null, null, 0]', 'UTC', 1767571200000000, 1767571320000000, 0, NULL, 1, 0, 1, NULL, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('asks', '{"id":"asks","name":"Asks","task_type":"one_time","prompt":"Go on.","run_at":"2026-01-05T00:01:00Z"}', '[null, null, null, 1767571260000000, null, null, 0]', 'UTC', 1767571200000000, NULL, 0, NULL, 1, 0, 1, NULL, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('last', '{"id":"last","name":"Last","task_type":"one_time","prompt":"Go on.","run_at":"2026-01-05T00:01:00Z"}', '[null, null, null, 1767571260000000, null, null, 0]', 'UTC', 1767571200000000, NULL, 0, NULL, 1, 0, 1, 1767571261000000, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('paused', '{"id":"paused","name":"Paused","task_type":"cron","prompt":"Go on.","cron_expression":"0 9 * * 1-5","timezone":"Europe/Berlin"}', '["0 9 * * 1-5", "Europe/Berlin", null, null, null, null, 0]', 'Europe/Berlin', 1767571200000000, 1767600000000000, 1, NULL, 0, 0, 1, NULL, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('going', '{"id":"going","name":"Going","task_type":"interval","prompt":"Go on.","interval_seconds":60}', '[null, null, 60, null, null, null, 0]', 'UTC', 1767571200000000, 1767571380000000, 0, NULL, 1, 0, 2, NULL, 0, NULL, NULL, NULL);
INSERT INTO scheduler_tasks VALUES ('bounded', '{"id":"bounded","name":"Bounded","end_at":"2026-01-06T00:00:00Z","task_type":"interval","prompt":"Go on.","interval_seconds":60}', '[null, null, 60, null, null, 1767657600000000, 0]', 'UTC', 1767571200000000, 1767571380000000, 1, NULL, 0, 0, 0, NULL, 0, NULL, NULL, 1767648960000000);
ALTER TABLE ONLY scheduler_owners
    ADD CONSTRAINT scheduler_owners_pkey PRIMARY KEY (id);
ALTER TABLE ONLY scheduler_purged
    ADD CONSTRAINT scheduler_purged_pkey PRIMARY KEY (id);
ALTER TABLE ONLY scheduler_runs
    ADD CONSTRAINT scheduler_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY scheduler_schema
    ADD CONSTRAINT scheduler_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY scheduler_tasks
    ADD CONSTRAINT scheduler_tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY scheduler_unloadable
    ADD CONSTRAINT scheduler_unloadable_pkey PRIMARY KEY (task_id, owner);
CREATE UNIQUE INDEX scheduler_runs_history ON scheduler_runs USING btree (task_id, seq);
CREATE UNIQUE INDEX scheduler_runs_once ON scheduler_runs USING btree (task_id, scheduled_at) WHERE (trigger = 'schedule'::text);
CREATE INDEX scheduler_runs_open ON scheduler_runs USING btree (task_id, status) WHERE (status = ANY (ARRAY['pending'::text, 'running'::text, 'waiting'::text]));
CREATE INDEX scheduler_runs_pending ON scheduler_runs USING btree (ready_at) WHERE (status = 'pending'::text);
CREATE INDEX scheduler_runs_running ON scheduler_runs USING btree (owner) WHERE (status = 'running'::text);
CREATE INDEX scheduler_runs_thread_until ON scheduler_runs USING btree (thread_until) WHERE (thread_until IS NOT NULL);
CREATE INDEX scheduler_runs_threads ON scheduler_runs USING btree (thread_id) WHERE ((status = ANY (ARRAY['pending'::text, 'running'::text, 'waiting'::text])) AND (checkpointed = 1));
CREATE INDEX scheduler_runs_waiting ON scheduler_runs USING btree (expires_at) WHERE (status = 'waiting'::text);
CREATE INDEX scheduler_runs_warn ON scheduler_runs USING btree (warn_at) WHERE (status = 'waiting'::text);
CREATE INDEX scheduler_tasks_due ON scheduler_tasks USING btree (next_due) WHERE ((next_due IS NOT NULL) AND (paused = 0) AND (finished_at IS NULL) AND (problem IS NULL));
CREATE INDEX scheduler_tasks_finished ON scheduler_tasks USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE INDEX scheduler_tasks_warn ON scheduler_tasks USING btree (warn_at) WHERE (warn_at IS NOT NULL);
CREATE INDEX scheduler_unloadable_retry ON scheduler_unloadable USING btree (owner, retry_at);
