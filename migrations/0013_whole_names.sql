-- An erasure touches what has the name as whole words. ILIKE is how it is found; alone it would take 'planned' for a text about Ann,
-- hold the erasure for a run that never named her, and have the histories of others deleted.

-- `_` stands for itself.
CREATE OR REPLACE FUNCTION name_likes(names text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg('%' || replace(replace(name, '_', '\_'), ' ', '%') || '%') FROM unnest(names) AS name
$$;

CREATE OR REPLACE FUNCTION forget_in_ledger(erasure_id bigint, names text[])
RETURNS TABLE (relation text, lineage text, held boolean, touched bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = perdure, pg_temp AS $$
DECLARE
    mine text := current_setting('app.tenant');
    place record;
    hits text;
    changes text;
BEGIN
    IF NOT EXISTS (SELECT FROM erasure e WHERE e.tenant = mine AND e.id = erasure_id AND e.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'there is no erasure % in this transaction', erasure_id;
    END IF;
    IF names IS NULL OR cardinality(names) NOT BETWEEN 1 AND 20 OR EXISTS (
        SELECT FROM unnest(names) AS name WHERE name IS NULL OR length(name) NOT BETWEEN 2 AND 400 OR name ~ '[].^$*+?(){}\\|%[]'
    ) THEN
        RAISE EXCEPTION 'these are no names to forget';
    END IF;
    FOR place IN SELECT * FROM erasable() LOOP
        -- Columns that are not there (yet) have nothing to hide.
        SELECT string_agg(format('(t.%1$I::text ILIKE ANY ($2) AND %2$s IS DISTINCT FROM t.%1$I)', attname, without), ' OR '),
               string_agg(format('%I = %s', attname, without), ', ')
          INTO hits, changes
          FROM pg_attribute
         CROSS JOIN LATERAL format('forgotten(t.%I, $3%s)', attname, CASE WHEN attname = ANY (place.jsons) THEN ', 0' END) AS without
         WHERE attrelid = to_regclass(place.relation) AND attname = ANY (place.texts || place.jsons) AND NOT attisdropped;
        CONTINUE WHEN hits IS NULL;
        IF place.run IS NULL THEN
            RETURN QUERY EXECUTE format(
                'WITH changed AS (UPDATE %1$I t SET %2$s WHERE t.tenant = $1 AND (%3$s) RETURNING 1)
                 SELECT %1$L, NULL::text, false, count(*) FROM changed HAVING count(*) > 0',
                place.relation, changes, hits) USING mine, name_likes(names), name_pattern(names);
            CONTINUE;
        END IF;
        RETURN QUERY EXECUTE format(
            'WITH running AS MATERIALIZED (SELECT r.lineage FROM run r WHERE r.tenant = $1 AND r.status = ''running''),
             found AS MATERIALIZED (
                 SELECT t.%4$I AS run, count(*) AS rows FROM %1$I t
                  WHERE t.tenant = $1 AND (%3$s) AND t.%4$I IN (SELECT running.lineage FROM running) GROUP BY t.%4$I),
             changed AS (
                 UPDATE %1$I t SET %2$s
                  WHERE t.tenant = $1 AND (%3$s) AND (t.%4$I IS NULL OR t.%4$I NOT IN (SELECT running.lineage FROM running))
                 RETURNING t.%4$I AS run)
             SELECT %1$L, run, true, rows FROM found
             UNION ALL SELECT %1$L, run, false, count(*) FROM changed GROUP BY run',
            place.relation, changes, hits, place.run) USING mine, name_likes(names), name_pattern(names);
    END LOOP;
END $$;
