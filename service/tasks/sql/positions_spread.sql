-- Return the first `number` order keys from `a0` upwards: the keys of the integers 0, 1, 2, and so on. The array is
-- that of `generateNKeysBetween(null, null, number)`, see `position_between.sql`. It is empty for 0 and below.
--
-- The digits are those of `position_of_id.sql`, but they increase. Five are enough for the longest array.
CREATE FUNCTION positions_spread(number integer) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
SELECT ARRAY(
    SELECT
        CASE WHEN place < 63 THEN 'a' ELSE
        CASE WHEN place < 3907 THEN 'b' ELSE
        CASE WHEN place < 242235 THEN 'c' ELSE
        CASE WHEN place < 15018571 THEN 'd' ELSE
        'e'
        || chr(get_byte(digits, (place - 15018571) / 14776336 % 62)) END
        || chr(get_byte(digits, (place - 242235) / 238328 % 62)) END
        || chr(get_byte(digits, (place - 3907) / 3844 % 62)) END
        || chr(get_byte(digits, (place - 63) / 62 % 62)) END
        || chr(get_byte(digits, (place - 1) % 62))
    FROM generate_series(1, number) AS place,
        (VALUES ('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'::bytea)) AS alphabet (digits)
    ORDER BY place
)
$$;
