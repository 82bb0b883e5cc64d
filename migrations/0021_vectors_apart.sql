-- Vectors that the index has taken in are kept apart from those that it has not: they come into their place once, and leave no dead
-- versions of themselves behind there, which made the table twice as large and its key three times. And their codes stand side by side
-- for each value of a field, with the other fields, so that a filter reads what one of its fields leaves, and not the key of all.

DROP FUNCTION lay_vectors(integer, text, integer), lay_bare_vectors(integer, text, integer), code_vectors(text, integer);

-- A value of a field as a vector's row has it: no text, and 0 where the fact says nothing.
CREATE FUNCTION facet(value text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE value WHEN '' THEN 0 ELSE hashtextextended(value, 0) END;

-- Makes the table of one more model; its name and dimensions are the table's comment. Vectors come in as not indexed, and are compared
-- one by one until a job in the background moves them to where the index is. The signs of a vector's numbers stand in its key.
CREATE FUNCTION lay_vectors(number integer, name text, dims integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    laid text := 'fact_vec_' || number;
    part text;
    fields text[] := ARRAY['scope', 'kind', 'subject', 'session', 'speaker'];
    field text;
BEGIN
    EXECUTE format(
        'CREATE TABLE %I (tenant text NOT NULL CHECK (tenant <> ''''), fact bigint NOT NULL, indexed boolean NOT NULL DEFAULT false,'
        ' body_hash bytea NOT NULL, e halfvec(%s) NOT NULL,'
        ' code bit(%s) NOT NULL GENERATED ALWAYS AS (binary_quantize(e)::bit(%s)) STORED,'
        ' scope bigint NOT NULL, kind bigint NOT NULL, subject bigint NOT NULL, session bigint NOT NULL, speaker bigint NOT NULL,'
        ' PRIMARY KEY (tenant, fact, indexed) INCLUDE (code)) PARTITION BY HASH (tenant)', laid, dims, dims, dims
    );
    FOR i IN 0..15 LOOP
        part := laid || '_p' || i;
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s) PARTITION BY LIST (indexed)', part, laid, i
        );
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (true)', part || '_in', part);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (false)', part || '_fresh', part);
    END LOOP;
    EXECUTE format('CREATE INDEX %I ON %I USING hnsw (e halfvec_cosine_ops) WITH (m = 16, ef_construction = 100) WHERE indexed', laid || '_near', laid);
    FOREACH field IN ARRAY fields LOOP
        EXECUTE format(
            'CREATE INDEX %1$I ON %2$I (tenant, %3$I) INCLUDE (fact, indexed, code, %4$s) WHERE %3$I <> 0',
            laid || '_of_' || field, laid, field, array_to_string(array_remove(fields, field), ', ')
        );
    END LOOP;
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

-- What is there moves over; an index over all of it at once takes a minute for 100,000 vectors, and would take an hour row by row.
ALTER TABLE fact NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    old record;
    near text;
BEGIN
    FOR old IN
        SELECT oid, relname AS laid, substr(relname, 10)::integer AS number, obj_description(oid, 'pg_class')::jsonb AS told
          FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind = 'p' AND relname ~ '^fact_vec_[0-9]+$'
    LOOP
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', old.laid);
        EXECUTE format(
            'CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT v.tenant, v.fact, v.indexed, v.body_hash, v.e,'
            ' facet(f.scope) AS scope, facet(f.kind) AS kind, facet(f.subject) AS subject, facet(f.session) AS session,'
            ' facet(f.speaker) AS speaker FROM %I v JOIN fact f ON f.tenant = v.tenant AND f.num = v.fact', old.laid
        );
        EXECUTE format('DROP TABLE %I', old.laid);
        PERFORM lay_vectors(old.number, old.told ->> 'name', (old.told ->> 'dims')::integer);
        near := replace(pg_get_indexdef(format('%I', old.laid || '_near')::regclass), ' ON ONLY ', ' ON ');
        EXECUTE format('DROP INDEX %I', old.laid || '_near');
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', old.laid);
        EXECUTE format('INSERT INTO %I (tenant, fact, indexed, body_hash, e, scope, kind, subject, session, speaker) SELECT * FROM moved ORDER BY tenant, fact', old.laid);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', old.laid);
        EXECUTE near;
        DROP TABLE moved;
    END LOOP;
END $$;
ALTER TABLE fact FORCE ROW LEVEL SECURITY;
