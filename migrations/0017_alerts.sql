-- Alerts that go out to Slack, and how often was tried what is not allowed: counted for all processes together.

-- One alert for one channel, or for one person. What it says is made when it goes out, so that no free text is kept here.
CREATE TABLE slack_alert (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    target text NOT NULL CHECK (target <> ''),
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'posting' CHECK (state IN ('posting', 'posted', 'undelivered')),
    tries integer NOT NULL DEFAULT 0,
    begun_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id, target)
);
CREATE INDEX slack_alert_due ON slack_alert (tenant, due_at) WHERE state IN ('posting', 'undelivered');
CREATE INDEX slack_alert_of ON slack_alert (tenant, subject, begun_at);

-- What was refused within a minute, by channel and source: how often, and of how many there are records. The rest is a number.
CREATE TABLE refusal (
    tenant text NOT NULL CHECK (tenant <> ''),
    channel text NOT NULL,
    source text NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL DEFAULT 0,
    told bigint NOT NULL DEFAULT 0 CHECK (told <= count),
    PRIMARY KEY (tenant, channel, source, minute)
);

-- How many tries an address has left to log in: `remaining` at the time `at`; it grows with time.
CREATE TABLE console_try (
    tenant text NOT NULL CHECK (tenant <> ''),
    address text NOT NULL,
    remaining double precision NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant, address)
);
CREATE INDEX console_try_old ON console_try (tenant, at);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['slack_alert', 'refusal', 'console_try'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON slack_alert TO perdure_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON refusal, console_try TO perdure_app;
