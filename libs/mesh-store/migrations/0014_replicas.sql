-- The processes that have the database open. On a server each has its row's pulse go up every few seconds;
-- whoever sees one stand still for too long removes it. See `replicas.rs`.
CREATE TABLE replica (
    -- Drawn at each start.
    id    BIGINT NOT NULL PRIMARY KEY,
    pulse BIGINT NOT NULL
);
