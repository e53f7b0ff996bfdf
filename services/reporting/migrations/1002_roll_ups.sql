-- Outcomes are counted, and only those that a flag event may still except are kept one by one.
--
-- A part is a month in UTC without its last hour (`2026-11`), or that hour alone (`2026-11+`). Europe/London
-- is an hour ahead of UTC in summer, so that a month there is made of parts, too.
-- An hour is its number since 1970-01-01T00:00:00Z.

-- What outcomes have in common that are counted together.
CREATE TABLE outcome_kind (
    kind          BIGINT  NOT NULL PRIMARY KEY,
    producer      TEXT    NOT NULL,
    party_id      TEXT    NOT NULL,
    variant       TEXT    NOT NULL,
    message_class BIGINT  NOT NULL,
    origin        BIGINT  NOT NULL,
    result        BIGINT  NOT NULL,
    -- Whether the class admits an exception, as the rule was when the first of them was recorded.
    exceptable    BOOLEAN NOT NULL,
    UNIQUE (producer, party_id, variant, message_class, origin, result, exceptable)
);

-- How many there are of a kind in an hour, and how many of these are excepted for good.
CREATE TABLE outcome_hour (
    hour     BIGINT NOT NULL,
    kind     BIGINT NOT NULL,
    outcomes BIGINT NOT NULL,
    excepted BIGINT NOT NULL CHECK (excepted >= 0 AND excepted <= outcomes),
    PRIMARY KEY (hour, kind)
);

-- The same by part: what a report reads, a few rows for each supplier.
CREATE TABLE outcome_part (
    part     TEXT   NOT NULL,
    kind     BIGINT NOT NULL,
    outcomes BIGINT NOT NULL,
    excepted BIGINT NOT NULL CHECK (excepted >= 0 AND excepted <= outcomes),
    PRIMARY KEY (part, kind)
);

-- Those that are excepted for good, by Device.
CREATE TABLE excepted_device (
    part      TEXT   NOT NULL,
    device_id TEXT   NOT NULL,
    kind      BIGINT NOT NULL,
    outcomes  BIGINT NOT NULL CHECK (outcomes > 0),
    PRIMARY KEY (part, device_id, kind)
);

-- Those that can be excepted and are newer than what is known of the log `flags`. They are in the counts
-- above, not as excepted. Once enough of the log is known, their rows go.
CREATE TABLE outcome_open (
    device_id    TEXT   NOT NULL,
    request_time BIGINT NOT NULL,
    kind         BIGINT NOT NULL,
    outcomes     BIGINT NOT NULL CHECK (outcomes > 0),
    PRIMARY KEY (device_id, request_time, kind)
);
CREATE INDEX outcome_open_by_time ON outcome_open (request_time);

-- Every flag event before this instant has been applied, as far as the log's owner says.
CREATE TABLE outcome_settled (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    until_time BIGINT NOT NULL
);
INSERT INTO outcome_settled (id, until_time) VALUES (1, 0);

-- The ids of outcomes that came without a number of their batch, for as long as one that comes again is
-- recognised; and what was recorded under each.
CREATE TABLE outcome_seen (
    producer      TEXT   NOT NULL,
    outcome_id    TEXT   NOT NULL,
    content       TEXT   NOT NULL,
    recorded_time BIGINT NOT NULL,
    PRIMARY KEY (producer, outcome_id)
);
CREATE INDEX outcome_seen_by_time ON outcome_seen (recorded_time);

-- The last batch of each producer that numbers them, and what was in it.
CREATE TABLE outcome_batch (
    producer TEXT   NOT NULL PRIMARY KEY,
    number   BIGINT NOT NULL CHECK (number > 0),
    content  TEXT   NOT NULL
);

-- What is there.
INSERT INTO outcome_kind (kind, producer, party_id, variant, message_class, origin, result, exceptable)
SELECT row_number() OVER (ORDER BY producer, party_id, variant, message_class, origin, result, exceptable),
    producer, party_id, variant, message_class, origin, result, exceptable
FROM outcome GROUP BY producer, party_id, variant, message_class, origin, result, exceptable;

INSERT INTO outcome_hour (hour, kind, outcomes, excepted)
SELECT o.request_time / 3600000000, k.kind, COUNT(*), 0
FROM outcome o JOIN outcome_kind k
    ON k.producer = o.producer AND k.party_id = o.party_id AND k.variant = o.variant
    AND k.message_class = o.message_class AND k.origin = o.origin AND k.result = o.result
    AND k.exceptable = o.exceptable
GROUP BY o.request_time / 3600000000, k.kind;

-- The date of a day, by the arithmetic of the proleptic Gregorian calendar: an era has 146,097 days, and a
-- year begins in March. Of each hour and of the one after it: the last one of a month is followed by another.
INSERT INTO outcome_part (part, kind, outcomes, excepted)
WITH hours AS (
    SELECT DISTINCT hour FROM outcome_hour UNION SELECT DISTINCT hour + 1 FROM outcome_hour
), days AS (
    SELECT hour, (hour / 24 + 719468) / 146097 AS era, (hour / 24 + 719468) % 146097 AS day FROM hours
), years AS (
    SELECT hour, era, day, (day - day / 1460 + day / 36524 - day / 146096) / 365 AS year FROM days
), marches AS (
    SELECT hour, era * 400 + year AS year,
        (5 * (day - (365 * year + year / 4 - year / 100)) + 2) / 153 AS month FROM years
), months AS (
    SELECT hour, CASE WHEN month < 10 THEN year ELSE year + 1 END AS year,
        CASE WHEN month < 10 THEN month + 3 ELSE month - 9 END AS month FROM marches
), parts AS (
    SELECT m.hour, '' || m.year || '-' || CASE WHEN m.month < 10 THEN '0' ELSE '' END
        || m.month || CASE WHEN n.month = m.month THEN '' ELSE '+' END AS part
    FROM months m JOIN months n ON n.hour = m.hour + 1
)
SELECT p.part, h.kind, SUM(h.outcomes), 0 FROM outcome_hour h JOIN parts p ON p.hour = h.hour
GROUP BY p.part, h.kind;

INSERT INTO outcome_open (device_id, request_time, kind, outcomes)
SELECT o.device_id, o.request_time, k.kind, COUNT(*)
FROM outcome o JOIN outcome_kind k
    ON k.producer = o.producer AND k.party_id = o.party_id AND k.variant = o.variant
    AND k.message_class = o.message_class AND k.origin = o.origin AND k.result = o.result
    AND k.exceptable = o.exceptable
WHERE o.exceptable
GROUP BY o.device_id, o.request_time, k.kind;

-- The content as the service writes it.
INSERT INTO outcome_seen (producer, outcome_id, content, recorded_time)
SELECT producer, outcome_id, party_id || ' ' || device_id || ' ' || variant || ' ' || message_class || ' '
    || request_time || ' ' || result || ' ' || origin, recorded_time
FROM outcome;

DROP TABLE outcome_tally;
DROP TABLE outcome;
