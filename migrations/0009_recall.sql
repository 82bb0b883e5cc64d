-- The recall guarantee: samples of real queries, what a comparison with exact search found, and the knobs that it has raised.

-- How the vectors of one model are searched for one tenant, and which share of its queries is kept as samples. Without a row the defaults
-- hold; a monitor raises the settings and never lowers them.
CREATE TABLE recall_knob (
    tenant text NOT NULL CHECK (tenant <> ''),
    model integer NOT NULL,
    ef_search integer NOT NULL CHECK (ef_search BETWEEN 1 AND 1000),
    max_scan_tuples integer NOT NULL CHECK (max_scan_tuples > 0),
    exact_below integer NOT NULL CHECK (exact_below >= 0),
    exact_only boolean NOT NULL DEFAULT false,
    sampled double precision NOT NULL CHECK (sampled BETWEEN 0 AND 1),
    because text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, model)
);

-- Vector and filter of a real query, never its words. A filter may name people: an erasure clears the table.
CREATE TABLE recall_sample (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    model integer NOT NULL,
    embedding real[] NOT NULL,
    filter jsonb NOT NULL,
    k integer NOT NULL CHECK (k > 0),
    mode text NOT NULL,
    target double precision NOT NULL CHECK (target > 0 AND target < 1),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
);

-- One line for each group of samples of one comparison; selectivity `every` is the whole of it, `index` what an index answered.
CREATE TABLE recall_probe (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    model integer NOT NULL,
    size text NOT NULL,
    selectivity text NOT NULL,
    rows bigint NOT NULL,
    queries integer NOT NULL,
    approximate integer NOT NULL,
    refused integer NOT NULL,
    recall double precision,
    low double precision NOT NULL,
    high double precision NOT NULL,
    target double precision NOT NULL,
    cause text NOT NULL,
    plans jsonb NOT NULL,
    settings jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, id)
);
CREATE INDEX recall_probe_newest ON recall_probe (tenant, model, at DESC);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['recall_knob', 'recall_sample', 'recall_probe'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON recall_knob TO perdure_app;
GRANT SELECT, INSERT, DELETE ON recall_sample, recall_probe TO perdure_app;
