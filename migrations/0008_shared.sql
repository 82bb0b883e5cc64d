-- Shared state: documents whose fields each declare how they are merged, every edit by its key, and the losing side of every merge.

CREATE TABLE shared_document (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    subject text NOT NULL DEFAULT '',
    declared_by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);
CREATE INDEX shared_document_about ON shared_document (tenant, subject) WHERE subject <> '';

-- `version` counts what changed the field. `tally` is what a counter or a set knows of its writers, `state` the replica of a map or a
-- text, `clock` the stamp of the last writer who wins, `waits` the conflict that a person is asked about.
CREATE TABLE shared_field (
    tenant text NOT NULL CHECK (tenant <> ''),
    document text NOT NULL,
    field text NOT NULL,
    merge text NOT NULL CHECK (merge IN ('versioned', 'lww', 'escalate', 'crdt:counter', 'crdt:set', 'crdt:map', 'crdt:text')),
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    value jsonb NOT NULL,
    tally jsonb NOT NULL DEFAULT '{}',
    clock bigint NOT NULL DEFAULT 0 CHECK (clock >= 0),
    state bytea,
    -- The oldest version that an edit of a map or a text may still be written on, and the replica as it was then.
    floor bigint NOT NULL DEFAULT 0,
    floor_state bytea,
    writer text NOT NULL DEFAULT '',
    waits text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, document, field),
    FOREIGN KEY (tenant, document) REFERENCES shared_document (tenant, id)
);

-- An edit's key and its first answer: lineage / step / index, never the attempt. `delta` is what it added to a map or a text.
CREATE TABLE shared_edit (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    idx integer NOT NULL CHECK (idx >= 0),
    document text NOT NULL,
    field text NOT NULL,
    writer text NOT NULL,
    digest text NOT NULL,
    base bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('applied', 'merged', 'same', 'lost', 'escalated', 'held')),
    version bigint NOT NULL,
    conflicts text[] NOT NULL DEFAULT '{}',
    touched text[] NOT NULL DEFAULT '{}',
    delta bytea,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, lineage, step, idx),
    FOREIGN KEY (tenant, document, field) REFERENCES shared_field (tenant, document, field)
);
CREATE INDEX shared_edit_of_field ON shared_edit (tenant, document, field, version);
CREATE INDEX shared_edit_deltas ON shared_edit (tenant, document, field, version) WHERE delta IS NOT NULL;

-- The losing side of a merge with both values and the reason. `both`: nothing is gone, but two wrote in one place.
CREATE TABLE shared_conflict (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    document text NOT NULL,
    field text NOT NULL,
    part text NOT NULL DEFAULT '',
    merge text NOT NULL,
    state text NOT NULL CHECK (state IN ('recorded', 'both', 'open', 'settled')),
    kept jsonb NOT NULL,
    kept_by text NOT NULL,
    lost jsonb NOT NULL,
    lost_by text NOT NULL,
    reason text NOT NULL,
    version bigint NOT NULL,
    lineage text NOT NULL,
    step text NOT NULL,
    idx integer NOT NULL,
    request text,
    at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, document, field) REFERENCES shared_field (tenant, document, field)
);
CREATE INDEX shared_conflict_of_field ON shared_conflict (tenant, document, field, at);
CREATE UNIQUE INDEX shared_conflict_open ON shared_conflict (tenant, document, field) WHERE state = 'open';

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['shared_document', 'shared_field', 'shared_edit', 'shared_conflict'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT, DELETE ON shared_document TO perdure_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON shared_field, shared_edit, shared_conflict TO perdure_app;
