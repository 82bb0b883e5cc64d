-- Undo: what would take an effect back is named before it happens, and a person may be asked about one that could not be.

ALTER TABLE effect ADD COLUMN undo_with text;
CREATE INDEX effect_undone ON effect (tenant, undoes) WHERE undoes IS NOT NULL;

ALTER TABLE approval DROP CONSTRAINT approval_question_check;
ALTER TABLE approval ADD CONSTRAINT approval_question_check CHECK (question IN ('run', 'again', 'late', 'undo'));
