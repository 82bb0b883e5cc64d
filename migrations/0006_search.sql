-- Search: words of facts in a plain table, the statistics that score them, and one vector table for each embedding model.

-- The keyword arm. A GIN index on a tsvector is not used under row-level security, since ts_match_vq is not leakproof; the equality
-- of texts is, so this primary key serves every query. It carries all that a score needs: the table itself is seldom read.
CREATE TABLE posting (
    tenant text NOT NULL CHECK (tenant <> ''),
    lexeme text COLLATE "C" NOT NULL,
    fact bigint NOT NULL,
    tf smallint NOT NULL CHECK (tf > 0),
    words integer NOT NULL CHECK (words > 0),
    PRIMARY KEY (tenant, lexeme, fact) INCLUDE (tf, words)
) PARTITION BY HASH (tenant);

-- What a fact was posted under, so that it is taken away whole whatever has become of its text or of the dictionary.
CREATE TABLE fact_words (
    tenant text NOT NULL CHECK (tenant <> ''),
    fact bigint NOT NULL,
    words integer NOT NULL CHECK (words >= 0),
    lexemes text[] NOT NULL,
    PRIMARY KEY (tenant, fact)
) PARTITION BY HASH (tenant);

-- Facts that hold a lexeme. Writers only leave a change: two of them never wait for each other over a frequent word.
CREATE TABLE lexeme_stat (
    tenant text NOT NULL CHECK (tenant <> ''),
    lexeme text COLLATE "C" NOT NULL,
    df bigint NOT NULL,
    PRIMARY KEY (tenant, lexeme)
) PARTITION BY HASH (tenant);

CREATE TABLE corpus (
    tenant text NOT NULL CHECK (tenant <> ''),
    facts bigint NOT NULL,
    words bigint NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE word_change (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    facts integer NOT NULL,
    words bigint NOT NULL,
    lexemes text[] NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Embedding models of each tenant. The table of a model's vectors is the same for all, and its number is in its name.
CREATE TABLE embedding_model (
    tenant text NOT NULL CHECK (tenant <> ''),
    id integer NOT NULL,
    name text NOT NULL,
    dims integer NOT NULL CHECK (dims BETWEEN 1 AND 4000),
    state text NOT NULL CHECK (state IN ('building', 'shadow', 'active', 'retired')),
    at timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE UNIQUE INDEX embedding_model_active ON embedding_model (tenant) WHERE state = 'active';

-- Facts whose vector is still to be made; `due` lies ahead for as long as somebody works on it.
CREATE TABLE vector_due (
    tenant text NOT NULL CHECK (tenant <> ''),
    model integer NOT NULL,
    fact bigint NOT NULL,
    due timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, model, fact)
);

-- The same query asked of the model in use and of the one that may follow it.
CREATE TABLE shadow_read (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    active integer NOT NULL,
    shadow integer NOT NULL,
    k integer NOT NULL CHECK (k > 0),
    agreed integer NOT NULL,
    active_found integer NOT NULL,
    active_true integer NOT NULL,
    shadow_found integer NOT NULL,
    shadow_true integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, id)
);

CREATE INDEX fact_of_scope ON fact (tenant, scope);
CREATE INDEX fact_of_kind ON fact (tenant, kind);
CREATE INDEX fact_of_session ON fact (tenant, session);
CREATE INDEX fact_of_speaker ON fact (tenant, speaker);
CREATE INDEX fact_said_at ON fact (tenant, at);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['posting', 'fact_words', 'lexeme_stat'] LOOP
        FOR i IN 0..15 LOOP
            -- Vacuumed early: only then are reads of the index spared a look at the table.
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)',
                name || '_p' || i, name, i
            );
        END LOOP;
    END LOOP;
    FOREACH name IN ARRAY ARRAY[
        'posting', 'fact_words', 'lexeme_stat', 'corpus', 'word_change', 'embedding_model', 'vector_due', 'shadow_read'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT, DELETE ON posting, fact_words, word_change, shadow_read TO perdure_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON lexeme_stat, corpus, embedding_model, vector_due TO perdure_app;

-- Makes the table of one more model; its name and dimensions are the table's comment. Vectors come in as not indexed, and are compared
-- one by one until a job in the background lets the index take them in.
CREATE FUNCTION lay_vectors(number integer, name text, dims integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE laid text := 'fact_vec_' || number;
BEGIN
    EXECUTE format(
        'CREATE TABLE %I (tenant text NOT NULL CHECK (tenant <> ''''), fact bigint NOT NULL, indexed boolean NOT NULL DEFAULT false,'
        ' body_hash bytea NOT NULL, e halfvec(%s) NOT NULL, PRIMARY KEY (tenant, fact)) PARTITION BY HASH (tenant)', laid, dims
    );
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s)', laid || '_p' || i, laid, i);
    END LOOP;
    EXECUTE format('CREATE INDEX %I ON %I USING hnsw (e halfvec_cosine_ops) WITH (m = 16, ef_construction = 100) WHERE indexed', laid || '_near', laid);
    EXECUTE format('CREATE INDEX %I ON %I (tenant, fact) WHERE NOT indexed', laid || '_fresh', laid);
    EXECUTE format('COMMENT ON TABLE %I IS %L', laid, jsonb_build_object('name', name, 'dims', dims)::text);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', laid);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', laid);
    EXECUTE format(
        'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
        laid
    );
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO perdure_app', laid);
    EXECUTE format('GRANT UPDATE (indexed) ON %I TO perdure_app', laid);
END $$;
REVOKE EXECUTE ON FUNCTION lay_vectors(integer, text, integer) FROM PUBLIC;
SELECT lay_vectors(1, 'wordllama', 256);
