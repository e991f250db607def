-- What clients were refused lately, so that "why was I refused?" can be answered after a restart too. How many are kept,
-- and whose, is decided in memory; this table is a copy of that, a second or so late.

CREATE TABLE refusals (
    -- given in the order in which they were first seen
    number INTEGER PRIMARY KEY NOT NULL,
    -- JSON
    record TEXT NOT NULL
) STRICT;
