-- What a model has said so far, for whoever watches the run's page. It is worth nothing once the decision is recorded, so it is unlogged:
-- a crash of the server empties it, a standby has none of it, and nothing is ever decided by it.

CREATE UNLOGGED TABLE said_so_far (
    tenant text NOT NULL CHECK (tenant <> ''),
    lineage text NOT NULL,
    step text NOT NULL,
    fence integer NOT NULL,
    idx integer NOT NULL,
    state text NOT NULL CHECK (state IN ('saying', 'done', 'superseded')),
    -- Characters that were said in all; `text` is the end of it.
    said bigint NOT NULL CHECK (said >= length(text)),
    text text NOT NULL CHECK (length(text) <= 65536),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, lineage, step, fence, idx)
) WITH (fillfactor = 50);

ALTER TABLE said_so_far ENABLE ROW LEVEL SECURITY;
ALTER TABLE said_so_far FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON said_so_far USING (tenant = current_setting('app.tenant')) WITH CHECK (tenant = current_setting('app.tenant'));
GRANT SELECT, INSERT, UPDATE, DELETE ON said_so_far TO perdure_app;
