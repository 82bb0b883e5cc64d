-- Long-term memory: raw episodes, facts with provenance and two times, words for the keyword arm, and one vector table for each model.

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
    words integer NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now(),
    valid_from timestamptz,
    valid_to timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    superseded_by text,
    confidence real,
    content_hash bytea NOT NULL,
    near text,
    lineage text,
    step text,
    PRIMARY KEY (tenant, id)
) PARTITION BY HASH (tenant);
CREATE UNIQUE INDEX fact_by_num ON fact (tenant, num);
CREATE UNIQUE INDEX fact_once ON fact (tenant, scope, content_hash) WHERE superseded_at IS NULL;

CREATE TABLE fact_source (
    tenant text NOT NULL CHECK (tenant <> ''),
    fact text NOT NULL,
    episode text NOT NULL,
    PRIMARY KEY (tenant, fact, episode)
);
CREATE INDEX fact_source_of_episode ON fact_source (tenant, episode);

-- A write's key and its first answer: lineage / step / index, never the attempt.
CREATE TABLE memory_write (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    idx integer NOT NULL,
    digest bytea NOT NULL,
    result jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, lineage, step, idx)
);
