-- Recall of many but not most facts: filters are answered by their index alone, and vectors are first compared by the signs of their numbers.

-- What a filter needs beside its own column. Not kept in one place for all facts: that place would be read whole for each query.
DROP INDEX fact_of_scope, fact_of_kind, fact_of_session, fact_of_speaker, fact_about, fact_said_at;
CREATE INDEX fact_of_scope ON fact (tenant, scope) INCLUDE (num, superseded_at, valid_from, valid_to);
CREATE INDEX fact_of_kind ON fact (tenant, kind) INCLUDE (num, superseded_at, valid_from, valid_to);
CREATE INDEX fact_of_session ON fact (tenant, session) INCLUDE (num, superseded_at, valid_from, valid_to);
CREATE INDEX fact_of_speaker ON fact (tenant, speaker) INCLUDE (num, superseded_at, valid_from, valid_to);
CREATE INDEX fact_about ON fact (tenant, subject) INCLUDE (num, superseded_at, valid_from, valid_to) WHERE subject <> '';
CREATE INDEX fact_said_at ON fact (tenant, at) INCLUDE (num, superseded_at, valid_from, valid_to);

-- Gives a table of vectors its codes: the sign of each number, 48 bytes where the vector has 768, in the index that finds a fact's vector.
CREATE FUNCTION code_vectors(laid text, dims integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ADD COLUMN code bit(%s) NOT NULL GENERATED ALWAYS AS (binary_quantize(e)::bit(%s)) STORED', laid, dims, dims);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I, ADD PRIMARY KEY (tenant, fact) INCLUDE (code)', laid, laid || '_pkey');
END $$;
REVOKE EXECUTE ON FUNCTION code_vectors(text, integer) FROM PUBLIC;

ALTER FUNCTION lay_vectors(integer, text, integer) RENAME TO lay_bare_vectors;
CREATE FUNCTION lay_vectors(number integer, name text, dims integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lay_bare_vectors(number, name, dims);
    PERFORM code_vectors('fact_vec_' || number, dims);
END $$;
REVOKE EXECUTE ON FUNCTION lay_vectors(integer, text, integer) FROM PUBLIC;

SELECT code_vectors(relname, (obj_description(oid, 'pg_class')::jsonb ->> 'dims')::integer)
  FROM pg_class WHERE relnamespace = 'perdure'::regnamespace AND relkind = 'p' AND relname ~ '^fact_vec_[0-9]+$';
