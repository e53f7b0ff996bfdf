-- Months are closed: each closing makes an edition of the month's figures that never changes.
--
-- A count has the number of the last edition of any month that there was when it was made: its layer. Edition n
-- is made of the layers before n, so that what comes later is not in it, and is known by its layers.

CREATE TABLE edition (
    number                     BIGINT  NOT NULL PRIMARY KEY CHECK (number > 0),
    -- Such as `2026-11`, and the zone whose midnight begins it.
    month                      TEXT    NOT NULL,
    zone                       TEXT    NOT NULL,
    -- 0 is the closed report, n its restatement n.
    restatement                BIGINT  NOT NULL CHECK (restatement >= 0),
    -- The edition of the month before it; 0 if this is the first.
    previous                   BIGINT  NOT NULL,
    begun_time                 BIGINT  NOT NULL,
    by_operator                BOOLEAN NOT NULL,
    -- What it rests on. The epoch is 0 if the log was not followed by then.
    flags_epoch                BIGINT  NOT NULL,
    flags_sequence             BIGINT  NOT NULL,
    devices_epoch              BIGINT  NOT NULL,
    devices_sequence           BIGINT  NOT NULL,
    outcomes                   BIGINT  NOT NULL,
    settled_until              BIGINT  NOT NULL,
    -- Of its content, in hexadecimal; empty until it is made, and then the rest is, too.
    content_sha256             TEXT    NOT NULL,
    program_version            TEXT    NOT NULL,
    rules_version              TEXT    NOT NULL,
    business_processes_version TEXT    NOT NULL,
    UNIQUE (month, zone, restatement)
);

-- The business process of each variant in an edition, as the table said when it was made.
CREATE TABLE edition_process (
    number  BIGINT NOT NULL,
    variant TEXT   NOT NULL,
    process TEXT   NOT NULL,
    PRIMARY KEY (number, variant)
);

-- Since when outcomes of a part came into a layer.
CREATE TABLE outcome_since (
    part       TEXT   NOT NULL,
    layer      BIGINT NOT NULL,
    since_time BIGINT NOT NULL,
    PRIMARY KEY (part, layer)
);
-- When the earlier ones came is not known: as if they had come long ago.
INSERT INTO outcome_since (part, layer, since_time) SELECT DISTINCT part, 0, 0 FROM outcome_part;

-- In a layer there may be exceptions of outcomes that were counted in an earlier one.
CREATE TABLE layered_part (
    part     TEXT   NOT NULL,
    kind     BIGINT NOT NULL,
    layer    BIGINT NOT NULL,
    outcomes BIGINT NOT NULL CHECK (outcomes >= 0),
    excepted BIGINT NOT NULL CHECK (excepted >= 0),
    PRIMARY KEY (part, kind, layer)
);
INSERT INTO layered_part (part, kind, layer, outcomes, excepted)
SELECT part, kind, 0, outcomes, excepted FROM outcome_part;
DROP TABLE outcome_part;
ALTER TABLE layered_part RENAME TO outcome_part;

CREATE TABLE layered_device (
    part      TEXT   NOT NULL,
    device_id TEXT   NOT NULL,
    kind      BIGINT NOT NULL,
    layer     BIGINT NOT NULL,
    outcomes  BIGINT NOT NULL CHECK (outcomes > 0),
    PRIMARY KEY (part, device_id, kind, layer)
);
INSERT INTO layered_device (part, device_id, kind, layer, outcomes)
SELECT part, device_id, kind, 0, outcomes FROM excepted_device;
DROP TABLE excepted_device;
ALTER TABLE layered_device RENAME TO excepted_device;
