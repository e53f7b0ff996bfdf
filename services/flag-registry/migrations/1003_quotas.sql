-- What the present supplier of a Device has done to it within the last day that has a quota, by hours
-- of UTC since 1970: `490000:2 490001:1`. Flags lifted, and preferences that changed nothing.
ALTER TABLE flag_entry ADD COLUMN lifts TEXT NOT NULL DEFAULT '';
ALTER TABLE flag_entry ADD COLUMN repeats TEXT NOT NULL DEFAULT '';

-- The same of all Devices of a supplier together.
CREATE TABLE supplier_spent (
    party   TEXT NOT NULL PRIMARY KEY,
    lifts   TEXT NOT NULL,
    repeats TEXT NOT NULL
);
