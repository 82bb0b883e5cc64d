-- What embeddings cost where their endpoint is paid for: covered by a tenant's allowance of the day before a call, settled after it.

-- One row for each tenant and day (UTC). Amounts are millionths of a micro-dollar, which is tokens times the micro-dollars that a million
-- of them cost: nothing is rounded. `cap` is the one that held at the last call, `tokens` are those that were settled, and `stopped_at` says
-- when there was not room enough for the first time.
CREATE TABLE embedding_day (
    tenant text NOT NULL CHECK (tenant <> ''),
    day date NOT NULL,
    cap bigint NOT NULL CHECK (cap > 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    tokens bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    stopped_at timestamptz,
    PRIMARY KEY (tenant, day)
);

-- A call under way and what is held for it. It goes when the call is settled, so that nothing is given back twice; that of a process which
-- died in between stays, and counts for its day.
CREATE TABLE embedding_call (
    tenant text NOT NULL CHECK (tenant <> ''),
    id uuid NOT NULL,
    day date NOT NULL,
    held bigint NOT NULL CHECK (held > 0),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, id)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['embedding_day', 'embedding_call'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT ON embedding_day TO perdure_app;
GRANT UPDATE (cap, reserved, spent, tokens, stopped_at) ON embedding_day TO perdure_app;
GRANT SELECT, INSERT, DELETE ON embedding_call TO perdure_app;
