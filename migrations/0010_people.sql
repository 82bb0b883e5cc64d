-- Who is who, who may rule on what, and what people said: votes, looks, delegations, tokens, and reviews of what went around the rules.

CREATE TABLE person (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL CHECK (id ~ '^[a-z0-9][a-z0-9._@-]{0,99}$'),
    name text NOT NULL CHECK (name <> ''),
    role text NOT NULL CHECK (role IN ('viewer', 'approver', 'operator', 'admin')),
    groups text[] NOT NULL DEFAULT '{}',
    slack_team text,
    slack_user text,
    issuer text,
    subject text,
    disabled boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    CHECK ((slack_team IS NULL) = (slack_user IS NULL)),
    CHECK ((issuer IS NULL) = (subject IS NULL))
);
CREATE UNIQUE INDEX person_by_slack ON person (tenant, slack_team, slack_user) WHERE slack_user IS NOT NULL;
CREATE UNIQUE INDEX person_by_subject ON person (tenant, issuer, subject) WHERE subject IS NOT NULL;

CREATE TABLE delegation (
    tenant text NOT NULL CHECK (tenant <> ''),
    id text NOT NULL,
    giver text NOT NULL,
    taker text NOT NULL CHECK (taker <> giver),
    groups text[] NOT NULL CHECK (cardinality(groups) > 0),
    until timestamptz NOT NULL,
    given_by text NOT NULL,
    given_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, giver) REFERENCES person (tenant, id),
    FOREIGN KEY (tenant, taker) REFERENCES person (tenant, id)
);
CREATE INDEX delegation_to ON delegation (tenant, taker, until) WHERE revoked_at IS NULL;

-- Of a token only its hash is kept, so that nobody who reads this table can speak for anybody.
CREATE TABLE api_token (
    tenant text NOT NULL CHECK (tenant <> ''),
    hash text NOT NULL CHECK (length(hash) = 64),
    id text NOT NULL,
    person text NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    expires_at timestamptz NOT NULL,
    minted_by text NOT NULL,
    minted_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant, hash),
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES person (tenant, id)
);

-- `terms` is what a request binds beside its action: stages, escalation, silence, and who may not rule. `about` is its tool, and
-- what the rules said. `stage` and `groups` move on as people vote and time passes.
ALTER TABLE approval
    ADD COLUMN terms jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN about jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN stage integer NOT NULL DEFAULT 0 CHECK (stage >= 0),
    ADD COLUMN escalated integer NOT NULL DEFAULT 0 CHECK (escalated >= 0),
    ADD COLUMN starter text NOT NULL DEFAULT '',
    ADD COLUMN editor text,
    ADD COLUMN supersedes text;
CREATE INDEX approval_open_for ON approval USING gin (groups) WHERE state = 'pending';

-- One word of one person on one request, whatever its stage (and one more to break glass): `behalf` is whose delegate spoke.
CREATE TABLE vote (
    tenant text NOT NULL CHECK (tenant <> ''),
    request text NOT NULL,
    person text NOT NULL,
    stage integer NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('approve', 'reject', 'edit', 'break_glass')),
    behalf text,
    role text NOT NULL DEFAULT '',
    channel text NOT NULL,
    reason text NOT NULL DEFAULT '',
    claim text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, request, person, verdict)
);
CREATE INDEX vote_of_person ON vote (tenant, person, at DESC);

CREATE TABLE look (
    tenant text NOT NULL CHECK (tenant <> ''),
    request text NOT NULL,
    person text NOT NULL,
    channel text NOT NULL,
    role text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, request, person)
);

-- A signed ruling is believed once.
CREATE TABLE nonce (
    tenant text NOT NULL CHECK (tenant <> ''),
    nonce text NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (tenant, nonce)
);

-- What was let through by break-glass has to be looked at afterwards.
CREATE TABLE review (
    tenant text NOT NULL CHECK (tenant <> ''),
    request text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,
    people text[] NOT NULL,
    done_by text,
    done_at timestamptz,
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, request)
);
CREATE INDEX review_open ON review (tenant, due_at) WHERE done_at IS NULL;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['person', 'delegation', 'api_token', 'vote', 'look', 'nonce', 'review'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own ON %I USING (tenant = current_setting(''app.tenant'')) WITH CHECK (tenant = current_setting(''app.tenant''))',
            name
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT ON vote, look TO perdure_app;
GRANT SELECT, INSERT, UPDATE ON person, delegation, api_token, review TO perdure_app;
GRANT SELECT, INSERT, DELETE ON nonce TO perdure_app;
