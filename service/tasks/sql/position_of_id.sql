-- Return the position of a task or list that has none of its own: an order key, see `position_between.sql`. The key is an
-- integer whose digits are hexadecimal, and decreases as the id grows, so a newer task sorts before all older ones.
--
-- It also sorts before the keys that result from `n` inserts at the start, if the id has grown by more than `n` since:
-- such an insert decreases the last digit by one of 62 digits, and the id decreases it by one of 16. Each write takes a
-- revision, and an id is a revision, so a new task comes first.
--
-- This function must remain a single expression, so that PostgreSQL inlines it. Its evaluation is a part of each write
-- and must be cheap, so short ids have short keys: `U` begins an integer of 6 digits, `K` one of 16.
CREATE FUNCTION position_of_id(id bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN id < 1048576 THEN 'U' || to_hex(2097151 - id) ELSE 'K' || to_hex(-id) END
$$;
