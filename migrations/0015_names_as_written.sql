-- A name is found however it is written: `zelda_quimby`, `ZeldaQuimby`, `zeldaquimby@…`, among invisible letters, in letters that only look
-- like its own. Still as whole words: 'planned' is nobody's name, and `McDonald` is not Donald.

-- A text as a reader sees it. memory/tombstones.py has the same list of what nobody sees.
CREATE FUNCTION bare(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN body ~ '[^\x01-\x7f]' THEN normalize(regexp_replace(body,
        '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff'
        '\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]', '', 'g'), NFKC) ELSE body END
$$;

-- Whether a text may have a name: what it costs little to ask, before `forgotten` takes it out. likes: what name_likes returns.
CREATE FUNCTION named(body text, likes text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT body ILIKE ANY (likes) OR (body ~ '[^\x01-\x7f]' AND bare(body) ILIKE ANY (likes))
$$;

-- In each case of each letter, so that capitals can tell where a word of a name begins that is written as one.
CREATE FUNCTION any_case(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(CASE WHEN lower(letter) <> upper(letter) THEN '[' || lower(letter) || upper(letter) || ']' ELSE letter END, ''
                               ORDER BY place), '')
      FROM unnest(string_to_array(name, NULL)) WITH ORDINALITY AS given (letter, place)
$$;
CREATE OR REPLACE FUNCTION name_pattern(names text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    WITH way AS (
        SELECT length(name) AS size, replace(any_case(name), ' ', '[^[:alnum:]]+') AS pattern FROM unnest(names) AS name
        UNION ALL
        SELECT length(name), unnest(ARRAY[any_case(replace(name, ' ', '')) || '(?=@)', '(?<=@)' || any_case(replace(name, ' ', ''))])
          FROM unnest(names) AS name WHERE name LIKE '% %'
        UNION ALL
        SELECT length(name), (
            SELECT string_agg(CASE place WHEN 1 THEN any_case(left(word, 1)) ELSE upper(left(word, 1)) END || substr(word, 2), '' ORDER BY place)
              FROM string_to_table(name, ' ') WITH ORDINALITY AS part (word, place))
          FROM unnest(names) AS name WHERE name LIKE '% %'
    )
    SELECT '(?<![[:alnum:]])(?:' || string_agg(pattern, '|' ORDER BY size DESC, pattern) || ')(?![[:alnum:]])' FROM way
$$;
-- Where a name is hidden, the text becomes bare.
CREATE OR REPLACE FUNCTION forgotten(body text, pattern text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN rest ~ '[^\x01-\x7f]' AND bare(rest) ~ pattern THEN regexp_replace(bare(rest), pattern, '[forgotten]', 'g') ELSE rest END
      FROM regexp_replace(body, pattern, '[forgotten]', 'g') AS rest
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
        SELECT string_agg(format('(named(t.%1$I::text, $2) AND %2$s IS DISTINCT FROM t.%1$I)', attname, without), ' OR '),
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
