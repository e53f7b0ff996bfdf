-- The meter that a GPF mirrors: of the GSMEs that name it the one that is not decommissioned (6 in the
-- contract), as it stands. At most one, however many there were before and however often it was changed.
CREATE INDEX device_mirrored_standing ON device (gpf_id)
    WHERE gpf_id IS NOT NULL AND smi_status <> 6 AND to_sequence = 9223372036854775807;
