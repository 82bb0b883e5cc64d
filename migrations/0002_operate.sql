-- Operating one run: pause and resume, how a cancel leaves what was done, steps that are tried again, and forks.

ALTER TABLE run
    ADD COLUMN paused_by text,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_reason text NOT NULL DEFAULT '',
    ADD COLUMN cancelled_by text,
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN ending text CHECK (ending IN ('undo', 'keep')),
    ADD COLUMN parent text,
    ADD COLUMN parent_step text,
    ADD COLUMN ancestors text[] NOT NULL DEFAULT '{}',
    -- Not validated: the rows there are have no parent, and the check of them would need a tenant.
    ADD FOREIGN KEY (tenant, parent) REFERENCES run (tenant, lineage) NOT VALID,
    ADD CHECK ((parent IS NULL) = (parent_step IS NULL));
CREATE INDEX run_by_parent ON run (tenant, parent) WHERE parent IS NOT NULL;

-- `inherited` is the key under which the original did it; `retries` tells the workflow that a step which had ended is open again.
ALTER TABLE plan_step
    ADD COLUMN inherited text,
    ADD COLUMN retries integer NOT NULL DEFAULT 0;
