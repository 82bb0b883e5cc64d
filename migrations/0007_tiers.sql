-- The session's state and summaries, whom we were told to forget, and how long what is kept.

CREATE TABLE session_state (
    tenant text NOT NULL CHECK (tenant <> ''),
    session text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    value jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session)
);

-- What turns `first` to `last` of a session come to; a longer range may stand beside the shorter ones that it was made of.
CREATE TABLE summary (
    tenant text NOT NULL CHECK (tenant <> ''),
    session text NOT NULL,
    first bigint NOT NULL CHECK (first > 0),
    last bigint NOT NULL CHECK (last >= first),
    body text NOT NULL CHECK (body <> ''),
    model text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session, first, last)
);

-- A keyed hash of each name that was to be forgotten; the name itself is nowhere. `key` names the key, `words` how long names are.
CREATE TABLE tombstone (
    tenant text NOT NULL CHECK (tenant <> ''),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    key text NOT NULL,
    words smallint NOT NULL CHECK (words > 0),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, hash)
);

-- Every erasure, and a second one of the same name too: what it took, what it could not reach yet. Append-only.
CREATE TABLE erasure (
    tenant text NOT NULL CHECK (tenant <> ''),
    id bigint GENERATED ALWAYS AS IDENTITY,
    hash bytea NOT NULL,
    reason text NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    did jsonb,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, hash) REFERENCES tombstone (tenant, hash)
);

-- How many days a tenant keeps something; without a row it is kept for good.
CREATE TABLE retention (
    tenant text NOT NULL CHECK (tenant <> ''),
    what text NOT NULL CHECK (what IN ('turns', 'episodes', 'superseded', 'expired', 'summaries', 'writes')),
    days integer NOT NULL CHECK (days > 0),
    PRIMARY KEY (tenant, what)
);

-- A name is its words in one case. These find it, whole and in any case, whatever stands between its words.
CREATE FUNCTION name_pattern(names text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '(?<!\w)(?:' || string_agg(replace(name, ' ', '\W+'), '|' ORDER BY length(name) DESC, name) || ')(?!\w)' FROM unnest(names) AS name
$$;
CREATE FUNCTION name_likes(names text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg('%' || replace(name, ' ', '%') || '%') FROM unnest(names) AS name
$$;
CREATE FUNCTION forgotten(body text, pattern text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(body, pattern, '[forgotten]', 'gi')
$$;
-- What strangers nested deeper than anyone reads goes as a whole: it must not stop an erasure.
CREATE FUNCTION forgotten(body jsonb, pattern text, depth integer) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    CASE jsonb_typeof(body)
        WHEN 'string' THEN
            RETURN to_jsonb(forgotten(body #>> '{}', pattern));
        WHEN 'number' THEN
            RETURN CASE WHEN body #>> '{}' ~ pattern THEN '"[forgotten]"' ELSE body END;
        WHEN 'object' THEN
            IF depth > 40 THEN RETURN '"[forgotten]"'; END IF;
            RETURN (SELECT coalesce(jsonb_object_agg(forgotten(key, pattern), forgotten(value, pattern, depth + 1)), '{}') FROM jsonb_each(body));
        WHEN 'array' THEN
            IF depth > 40 THEN RETURN '"[forgotten]"'; END IF;
            RETURN (SELECT coalesce(jsonb_agg(forgotten(value, pattern, depth + 1) ORDER BY position), '[]')
                      FROM jsonb_array_elements(body) WITH ORDINALITY AS given (value, position));
        ELSE
            RETURN body;
    END CASE;
END $$;

-- What an erasure looks through beside the memory's own tables; a later migration that adds a text about people replaces this list.
-- `run`: the column that names the row's run, whose rows are left alone while it runs. Keys, and who started, ruled or wrote, are not looked at.
CREATE FUNCTION erasable() RETURNS TABLE (relation text, run text, texts text[], jsons text[]) LANGUAGE sql STABLE AS $$
    VALUES ('turn', 'session', '{body}'::text[], '{}'::text[]),
           ('run', 'lineage', '{summary,paused_reason}', '{input}'),
           ('decision', 'lineage', '{}', '{result}'),
           ('journal', 'lineage', '{}', '{reply}'),
           ('plan_step', 'lineage', '{why,detail}', '{arguments,output}'),
           ('effect', 'lineage', '{detail}', '{arguments,output}'),
           ('approval', 'lineage', '{reason}', '{arguments,schema,rungs,ruling,about,terms}'),
           ('record', 'lineage', '{}', '{body}'),
           ('outbox', NULL, '{}', '{body}'),
           ('document', NULL, '{}', '{body}'),
           ('breaker', NULL, '{detail}', '{}'),
           ('vote', NULL, '{reason,claim}', '{}'),
           ('review', NULL, '{note}', '{}'),
           ('slack_message', NULL, '{detail}', '{}')
$$;

-- The program may only add to the transcript and to the ledger. This is the one way past that: as the owner, and still behind the
-- tenant's own policy, it puts a mark in place of a name and nothing else, for an erasure that is on record in the same transaction.
-- Rows of runs that still run are left alone (what a step is about to do must not change under it): their lineages come back as held.
CREATE FUNCTION forget_in_ledger(erasure_id bigint, names text[]) RETURNS TABLE (relation text, lineage text, held boolean, touched bigint)
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
        SELECT string_agg(format('t.%I::text ILIKE ANY ($2)', attname), ' OR '),
               string_agg(format('%I = forgotten(t.%I, $3%s)', attname, attname, CASE WHEN attname = ANY (place.jsons) THEN ', 0' END), ', ')
          INTO hits, changes
          FROM pg_attribute WHERE attrelid = to_regclass(place.relation) AND attname = ANY (place.texts || place.jsons) AND NOT attisdropped;
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

-- A session that is somebody's own: what was said there goes altogether, and its turns keep their numbers.
CREATE FUNCTION forget_sessions(erasure_id bigint, sessions text[]) RETURNS TABLE (session text, held boolean, touched bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = perdure, pg_temp AS $$
DECLARE
    mine text := current_setting('app.tenant');
BEGIN
    IF NOT EXISTS (SELECT FROM erasure e WHERE e.tenant = mine AND e.id = erasure_id AND e.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'there is no erasure % in this transaction', erasure_id;
    END IF;
    RETURN QUERY
        SELECT r.lineage, true, 0::bigint FROM run r WHERE r.tenant = mine AND r.lineage = ANY (sessions) AND r.status = 'running';
    RETURN QUERY
        WITH changed AS (
            UPDATE turn t SET body = '[forgotten]'
             WHERE t.tenant = mine AND t.session = ANY (sessions) AND t.body <> '[forgotten]'
               AND NOT EXISTS (SELECT FROM run r WHERE r.tenant = mine AND r.lineage = t.session AND r.status = 'running')
            RETURNING t.session)
        SELECT changed.session, false, count(*) FROM changed GROUP BY changed.session;
END $$;

-- Old turns go by policy; the same way past the grants, for a number of days and nothing else.
CREATE FUNCTION expire_turns(days integer, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = perdure, pg_temp AS $$
DECLARE
    mine text := current_setting('app.tenant');
    gone bigint;
BEGIN
    IF days < 1 THEN
        RAISE EXCEPTION 'turns are kept for a day at least';
    END IF;
    DELETE FROM turn t WHERE t.tenant = mine AND (t.session, t.seq) IN (
        SELECT session, seq FROM turn o WHERE o.tenant = mine AND o.at < now() - make_interval(days => days)
           AND NOT EXISTS (SELECT FROM run r WHERE r.tenant = mine AND r.lineage = o.session AND r.status = 'running')
         LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

REVOKE EXECUTE ON FUNCTION forget_in_ledger, forget_sessions, expire_turns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_in_ledger, forget_sessions, expire_turns TO perdure_app;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['session_state', 'summary', 'tombstone', 'erasure', 'retention'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT ON tombstone, erasure TO perdure_app;
GRANT UPDATE (did) ON erasure TO perdure_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON session_state, summary, retention TO perdure_app;
