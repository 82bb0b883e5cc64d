-- Runs, configuration, the decision loop, the ledger, and what tools keep. Times are UTC; money is integer micro-dollars.

CREATE TABLE tenant (
    tenant text PRIMARY KEY CHECK (tenant <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Configuration ------------------------------------------------------------------------------------------------------
CREATE TABLE bundle (
    tenant text NOT NULL CHECK (tenant <> ''),
    hash text NOT NULL CHECK (length(hash) = 64),
    automation text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    parent text,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE alias (
    tenant text NOT NULL CHECK (tenant <> ''),
    automation text NOT NULL,
    name text NOT NULL DEFAULT 'live',
    bundle text NOT NULL,
    candidate text,
    share integer NOT NULL DEFAULT 0 CHECK (share BETWEEN 0 AND 10000),
    stage text,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, automation, name),
    FOREIGN KEY (tenant, bundle) REFERENCES bundle (tenant, hash)
);

-- Runs ---------------------------------------------------------------------------------------------------------------
CREATE TABLE run (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    workflow_id text NOT NULL,
    automation text NOT NULL,
    pattern text NOT NULL,
    bundle text NOT NULL,
    starter text NOT NULL,
    input jsonb NOT NULL,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    summary text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (tenant, lineage)
);
CREATE INDEX run_by_workflow ON run (tenant, workflow_id, started_at DESC);
CREATE INDEX run_by_start ON run (tenant, started_at DESC);

-- The session tier: an append-only transcript ------------------------------------------------------------------------
CREATE TABLE turn (
    tenant text NOT NULL CHECK (tenant <> ''),
    session text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    role text NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    origin text NOT NULL,
    body text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session, seq)
);

-- The decision loop --------------------------------------------------------------------------------------------------
CREATE TABLE decision (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    fence integer NOT NULL DEFAULT 1,
    result jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (tenant, lineage, step)
);

-- One line for each model call and look-up inside a decision; a retry resumes after the last one that is done.
CREATE TABLE journal (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    idx integer NOT NULL,
    fence integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('model', 'lookup')),
    state text NOT NULL CHECK (state IN ('started', 'done', 'failed', 'lost')),
    name text NOT NULL,
    digest text NOT NULL,
    reply jsonb,
    reserved bigint NOT NULL DEFAULT 0,
    cost bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (tenant, lineage, step, idx, fence)
);

-- A plan's steps: history has the skeleton, this has the rest.
CREATE TABLE plan_step (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    decision text NOT NULL,
    position integer NOT NULL,
    tool text NOT NULL,
    arguments jsonb NOT NULL,
    needs text[] NOT NULL DEFAULT '{}',
    why text NOT NULL DEFAULT '',
    approval boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'planned',
    n integer NOT NULL DEFAULT 1,
    detail text NOT NULL DEFAULT '',
    output jsonb,
    ended_at timestamptz,
    PRIMARY KEY (tenant, lineage, step)
);
CREATE INDEX plan_step_in_order ON plan_step (tenant, lineage, position);

-- The ledger ---------------------------------------------------------------------------------------------------------
CREATE TABLE effect (
    tenant text NOT NULL CHECK (tenant <> ''),
    key text NOT NULL,
    lineage text NOT NULL,
    step text NOT NULL,
    n integer NOT NULL,
    tool text NOT NULL,
    tool_version text NOT NULL,
    guarantee text NOT NULL,
    digest text NOT NULL,
    arguments jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('claimed', 'done', 'failed', 'unknown', 'compensated')),
    deadline timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    output jsonb,
    detail text NOT NULL DEFAULT '',
    undoes text,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX effect_of_run ON effect (tenant, lineage, claimed_at);
CREATE INDEX effect_open ON effect (tenant, deadline) WHERE state IN ('claimed', 'unknown');
CREATE INDEX effect_done ON effect (tenant, lineage, tool, digest) WHERE state = 'done';

CREATE TABLE approval (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    lineage text NOT NULL,
    workflow_id text NOT NULL,
    step text NOT NULL,
    n integer NOT NULL,
    tool text NOT NULL,
    digest text NOT NULL,
    bundle text NOT NULL,
    arguments jsonb NOT NULL,
    schema jsonb NOT NULL,
    question text NOT NULL DEFAULT 'run' CHECK (question IN ('run', 'again', 'late')),
    reason text NOT NULL,
    groups text[] NOT NULL,
    unsigned boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'approved', 'rejected', 'superseded', 'expired', 'cancelled', 'consumed', 'stale')),
    rungs jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ruled_by text,
    ruled_at timestamptz,
    ruling jsonb,
    consumed_by text,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX approval_open ON approval (tenant, created_at) WHERE state = 'pending';
CREATE INDEX approval_of_step ON approval (tenant, lineage, step, n, created_at DESC);

CREATE TABLE budget (
    tenant text NOT NULL CHECK (tenant <> ''),
    scope text NOT NULL,
    limit_micros bigint NOT NULL CHECK (limit_micros >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    PRIMARY KEY (tenant, scope)
);

CREATE TABLE record (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('decision', 'ruling', 'effect', 'spend', 'conflict', 'configuration', 'access')),
    lineage text,
    step text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body jsonb NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX record_of_run ON record (tenant, lineage, seq);

CREATE TABLE outbox (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    workflow_id text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX outbox_unsent ON outbox (tenant, id) WHERE sent_at IS NULL;

-- What tools keep: one source of truth for briefs, drafts and calendars ----------------------------------------------
CREATE TABLE document (
    tenant text NOT NULL CHECK (tenant <> ''),
    automation text NOT NULL,
    kind text NOT NULL,
    id text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    body jsonb NOT NULL,
    written_by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, automation, kind, id)
);

-- Who may do what ----------------------------------------------------------------------------------------------------
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'perdure' LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;
-- The names of the tenants are all that one tenant's transaction may see of another: sweepers go from one to the next.
CREATE POLICY names ON tenant FOR SELECT USING (true);

GRANT SELECT, INSERT ON tenant, bundle, turn, record TO perdure_app;
GRANT SELECT, INSERT, UPDATE ON alias, run, decision, journal, plan_step, effect, approval, budget, outbox TO perdure_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON document TO perdure_app;
