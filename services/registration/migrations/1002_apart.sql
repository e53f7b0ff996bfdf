-- Registrations of one MPxN that stand never overlap. Under the lock of the writers that holds on every engine.
-- A server also refuses the rows themselves, whoever writes them. It looks when a transaction commits: within one,
-- a registration may begin before the one that it follows is ended.
/*postgres
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER TABLE registration ADD CONSTRAINT registration_apart
    EXCLUDE USING gist (mpxn WITH =, int8range(start_time, end_time) WITH &&)
    WHERE (to_sequence = 9223372036854775807)
    DEFERRABLE INITIALLY DEFERRED;
*/
