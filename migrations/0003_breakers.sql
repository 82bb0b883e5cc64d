-- Circuit breakers: one row for each tool and model that has ever failed, shared by all workers.

CREATE TABLE breaker (
    tenant text NOT NULL CHECK (tenant <> ''),
    kind text NOT NULL CHECK (kind IN ('tool', 'model')),
    automation text NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failures integer NOT NULL CHECK (failures >= 0),
    since timestamptz NOT NULL DEFAULT now(),
    openings integer NOT NULL DEFAULT 0 CHECK (openings >= 0),
    opened_until timestamptz,
    probe text,
    probe_until timestamptz,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, kind, automation, name),
    CHECK (state <> 'open' OR opened_until IS NOT NULL),
    CHECK (state <> 'half_open' OR (probe IS NOT NULL AND probe_until IS NOT NULL))
);

ALTER TABLE breaker ENABLE ROW LEVEL SECURITY;
ALTER TABLE breaker FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON breaker USING (tenant = current_setting('app.tenant')) WITH CHECK (tenant = current_setting('app.tenant'));
GRANT SELECT, INSERT, UPDATE ON breaker TO perdure_app;
