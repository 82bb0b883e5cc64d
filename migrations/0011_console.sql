-- The console: who is logged in, one-time links of the one-machine stack, and the order in which live pages read records.

CREATE TABLE console_link (
    tenant text NOT NULL CHECK (tenant <> ''),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    person text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE console_session (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    person text NOT NULL,
    way text NOT NULL CHECK (way IN ('link', 'oidc')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant, id)
);

-- A live page asks for what was committed since: a transaction that began earlier may end later, so `seq` alone would miss its records.
CREATE INDEX record_by_transaction ON record (tenant, xid, seq);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['console_link', 'console_session'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON console_link, console_session TO perdure_app;
