-- The secret under which Devices get their pseudonyms in this database's records.
CREATE TABLE audit_secret (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    secret BYTEA  NOT NULL CHECK (length(secret) = 32)
);
