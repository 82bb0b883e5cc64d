-- Statistics that know of a tenant as soon as it has grown: until they do, the planner takes it for one without rows.

-- Only the owner of a table may have it looked at. This lets the program ask for it, of the partitions that its own tenant's rows are in,
-- where several indexes begin with the tenant and statistics choose among them; the other tables have their key alone.
CREATE FUNCTION analyze_memory() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = perdure, pg_temp AS $$
DECLARE
    mine text := current_setting('app.tenant');
    name text;
    nth integer;
BEGIN
    IF mine = '' THEN
        RAISE EXCEPTION 'no tenant is set';
    END IF;
    -- All three are cut alike: a tenant's rows are in the partitions of one number.
    SELECT i INTO STRICT nth FROM generate_series(0, 15) AS i WHERE satisfies_hash_partition('fact'::regclass, 16, i, mine);
    FOREACH name IN ARRAY ARRAY['episode', 'fact', 'fact_source'] LOOP
        -- Who holds the lock is at it already, or has been since not long ago.
        EXECUTE format('ANALYZE (SKIP_LOCKED) %I', name || '_p' || nth);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION analyze_memory() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analyze_memory() TO perdure_app;

-- What comes in one by one is noticed at a fiftieth of a partition and not at a tenth: a small tenant may share it with large ones.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['episode', 'fact', 'fact_source'] LOOP
        FOR i IN 0..15 LOOP
            EXECUTE format(
                'ALTER TABLE %I SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 200)', name || '_p' || i
            );
        END LOOP;
    END LOOP;
END $$;
