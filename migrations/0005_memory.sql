-- Long-term memory: raw episodes, facts with provenance and two times, and what each write answered the first time.

-- One number for every fact, small enough for postings and vectors; ids are text, and may be given by whoever imports.
CREATE SEQUENCE fact_num AS bigint;

-- The raw source: never changed, and taken away only by an erasure or by retention.
CREATE TABLE episode (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    session text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    speaker text NOT NULL DEFAULT '',
    origin text NOT NULL CHECK (origin IN ('user', 'agent', 'tool', 'recalled', 'system')),
    subject text NOT NULL DEFAULT '',
    body text NOT NULL CHECK (body <> ''),
    content_hash bytea NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    lineage text,
    step text,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, session, seq)
) PARTITION BY HASH (tenant);

-- Two times: valid_from and valid_to say when it holds in the world, recorded_at and superseded_at when we believed it.
-- A row is written once and its belief ended once; what takes its place is a row of its own, which names it in `revises`.
CREATE TABLE fact (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    num bigint NOT NULL DEFAULT nextval('fact_num'),
    scope text NOT NULL DEFAULT 'default',
    kind text NOT NULL DEFAULT 'note',
    subject text NOT NULL DEFAULT '',
    session text NOT NULL DEFAULT '',
    speaker text NOT NULL DEFAULT '',
    body text NOT NULL CHECK (body <> ''),
    at timestamptz NOT NULL DEFAULT now(),
    valid_from timestamptz,
    valid_to timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    superseded_by text,
    revises text,
    confidence real CHECK (confidence BETWEEN 0 AND 1),
    content_hash bytea NOT NULL,
    -- A hash of the bare words: facts that differ in case, spaces and marks only are found by it, and linked by `near`.
    likeness bigint NOT NULL,
    near text,
    lineage text,
    step text,
    PRIMARY KEY (tenant, id),
    CHECK (valid_from < valid_to),
    CHECK (recorded_at < superseded_at)
) PARTITION BY HASH (tenant);
CREATE UNIQUE INDEX fact_by_num ON fact (tenant, num);
CREATE UNIQUE INDEX fact_once ON fact (tenant, scope, content_hash) WHERE superseded_at IS NULL;
CREATE INDEX fact_alike ON fact (tenant, likeness) WHERE superseded_at IS NULL;
CREATE INDEX fact_about ON fact (tenant, subject) WHERE subject <> '';

CREATE TABLE fact_source (
    tenant text NOT NULL CHECK (tenant <> ''),
    fact text NOT NULL,
    episode text NOT NULL,
    PRIMARY KEY (tenant, fact, episode)
) PARTITION BY HASH (tenant);
CREATE INDEX fact_source_of_episode ON fact_source (tenant, episode);

-- A write's key and its first answer: lineage / step / index, never the attempt.
CREATE TABLE memory_write (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    idx integer NOT NULL CHECK (idx >= 0),
    digest bytea NOT NULL,
    result jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, lineage, step, idx)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['episode', 'fact', 'fact_source'] LOOP
        FOR i IN 0..15 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s)', name || '_p' || i, name, i);
        END LOOP;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['episode', 'fact', 'fact_source', 'memory_write'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

-- On the parents only: a partition that is read by its name would not ask the parent's policy.
GRANT USAGE ON SEQUENCE fact_num TO perdure_app;
GRANT SELECT, INSERT, DELETE ON episode, fact, fact_source, memory_write TO perdure_app;
GRANT UPDATE (superseded_at, superseded_by, near) ON fact TO perdure_app;
GRANT UPDATE (digest, result) ON memory_write TO perdure_app;
