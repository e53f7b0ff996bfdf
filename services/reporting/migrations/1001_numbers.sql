-- The number of an outcome, from 1 on without a hole: the order in which they came. A comparison of the
-- tallies with the outcomes goes by it, page by page, while others come.
ALTER TABLE outcome ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE outcome SET number = counted.number FROM (
    SELECT producer, outcome_id, row_number() OVER (ORDER BY recorded_time, producer, outcome_id) AS number
    FROM outcome
) AS counted
WHERE outcome.producer = counted.producer AND outcome.outcome_id = counted.outcome_id;
CREATE UNIQUE INDEX outcome_by_number ON outcome (number);
