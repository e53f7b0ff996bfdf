-- Parties, Devices and registrations, each row from the event that made it (from_sequence) up to
-- and without the event that replaced it (to_sequence, 9223372036854775807 while it stands). A row
-- holds at position P if from_sequence <= P and P < to_sequence. Times are microseconds since
-- 1970-01-01T00:00:00Z. EUI-64s are upper case.

-- A party as the log `parties` has it.
CREATE TABLE party (
    party_id      TEXT   NOT NULL,
    from_sequence BIGINT NOT NULL,
    to_sequence   BIGINT NOT NULL CHECK (to_sequence > from_sequence),
    -- mp169.registration.v1.Party, serialized without its etag.
    record        BYTEA  NOT NULL,
    PRIMARY KEY (party_id, from_sequence)
);

CREATE UNIQUE INDEX party_standing ON party (party_id)
    WHERE to_sequence = 9223372036854775807;

-- Which party an Entity Identifier belongs to, by positions of the log `parties`.
CREATE TABLE party_identity (
    entity_id     TEXT   NOT NULL,
    from_sequence BIGINT NOT NULL,
    to_sequence   BIGINT NOT NULL CHECK (to_sequence > from_sequence),
    party_id      TEXT   NOT NULL,
    PRIMARY KEY (entity_id, from_sequence)
);

CREATE UNIQUE INDEX party_identity_standing ON party_identity (entity_id)
    WHERE to_sequence = 9223372036854775807;

-- A Device, by positions of the log `devices`. Types and statuses are the numbers of the contract.
CREATE TABLE device (
    device_id             TEXT   NOT NULL,
    from_sequence         BIGINT NOT NULL,
    to_sequence           BIGINT NOT NULL CHECK (to_sequence > from_sequence),
    device_type           BIGINT NOT NULL,
    smets_major           BIGINT,
    smets_minor           BIGINT,
    smi_status            BIGINT,
    smi_status_time       BIGINT,
    hub_id                TEXT,
    csp_id                TEXT,
    gpf_id                TEXT,
    import_mpan           TEXT,
    secondary_import_mpan TEXT,
    export_mpan           TEXT,
    mprn                  TEXT,
    -- One bit for each SiteException, at the place of its number.
    site_exceptions       BIGINT NOT NULL,
    PRIMARY KEY (device_id, from_sequence)
);

CREATE UNIQUE INDEX device_standing ON device (device_id)
    WHERE to_sequence = 9223372036854775807;
CREATE INDEX device_by_hub ON device (hub_id, device_id) WHERE hub_id IS NOT NULL;
CREATE INDEX device_by_gpf ON device (gpf_id) WHERE gpf_id IS NOT NULL;
CREATE INDEX device_by_import_mpan ON device (import_mpan) WHERE import_mpan IS NOT NULL;
CREATE INDEX device_by_secondary_import_mpan ON device (secondary_import_mpan)
    WHERE secondary_import_mpan IS NOT NULL;
CREATE INDEX device_by_export_mpan ON device (export_mpan) WHERE export_mpan IS NOT NULL;
CREATE INDEX device_by_mprn ON device (mprn) WHERE mprn IS NOT NULL;

-- Who is registered for an MPxN from start_time up to and without end_time (9223372036854775807
-- while open), by positions of the log `devices`. Those of one MPxN that stand never overlap: the
-- log's head is locked while that is decided.
CREATE TABLE registration (
    registration_id TEXT   NOT NULL,
    from_sequence   BIGINT NOT NULL,
    to_sequence     BIGINT NOT NULL CHECK (to_sequence > from_sequence),
    mpxn            TEXT   NOT NULL,
    party_id        TEXT   NOT NULL,
    start_time      BIGINT NOT NULL,
    end_time        BIGINT NOT NULL CHECK (end_time > start_time),
    PRIMARY KEY (registration_id, from_sequence)
);

CREATE UNIQUE INDEX registration_standing ON registration (mpxn, start_time)
    WHERE to_sequence = 9223372036854775807;
CREATE INDEX registration_by_mpxn ON registration (mpxn, start_time);

-- Instants still to come at which a registration begins or ends. A row goes in the transaction that
-- logs what took effect.
CREATE TABLE effect_due (
    at_time BIGINT NOT NULL,
    mpxn    TEXT   NOT NULL,
    PRIMARY KEY (at_time, mpxn)
);
