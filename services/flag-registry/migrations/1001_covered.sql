-- The GSME whose flag covers a GPF. A meter covers at most one other Device, so that `covered` is
-- that Device's ID and can be looked up as it is.
CREATE INDEX flag_entry_by_covered ON flag_entry (covered, to_sequence);
