-- The one stream that is a CSP's own, whichever process serves it.
-- Its number: goes up with each that takes the subscription over. An older one sends nothing more.
ALTER TABLE subscription ADD COLUMN stream BIGINT NOT NULL DEFAULT 0;
-- The process that serves it; NULL if it has ended.
ALTER TABLE subscription ADD COLUMN attached_by BIGINT;
