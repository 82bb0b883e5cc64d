-- Slack as a view: which message shows which request, and which deliveries of Slack were taken.

CREATE TABLE slack_message (
    tenant text NOT NULL CHECK (tenant <> ''),
    request text NOT NULL,
    channel text NOT NULL CHECK (channel <> ''),
    -- `posting`: somebody is at it until `due_at`, and whether it went up is asked before it is posted again.
    state text NOT NULL DEFAULT 'posting' CHECK (state IN ('posting', 'posted', 'settled', 'undelivered')),
    ts text,
    -- What of the request's row the message shows, and which records its thread has told.
    shown text NOT NULL DEFAULT '',
    told text[] NOT NULL DEFAULT '{}',
    detail text NOT NULL DEFAULT '',
    due_at timestamptz NOT NULL DEFAULT now(),
    posted_at timestamptz,
    PRIMARY KEY (tenant, request, channel),
    FOREIGN KEY (tenant, request) REFERENCES approval (tenant, id),
    CHECK (state NOT IN ('posted', 'settled') OR ts IS NOT NULL)
);
CREATE INDEX slack_message_due ON slack_message (tenant, due_at) WHERE state IN ('posting', 'undelivered');
CREATE INDEX slack_message_open ON slack_message (tenant, request) WHERE state = 'posted';

-- Each delivery is taken once: by its signature, and by the id that a repeated delivery shares with the first.
CREATE TABLE slack_delivery (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);
CREATE INDEX slack_delivery_old ON slack_delivery (tenant, at);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['slack_message', 'slack_delivery'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON slack_message TO perdure_app;
GRANT SELECT, INSERT, DELETE ON slack_delivery TO perdure_app;
