-- Return the order key between the keys `below` and `above`. NULL is an open end: before the first key or after the last.
-- Both must be valid keys, and `below` must sort before `above`. Otherwise the function raises
-- `invalid_parameter_value`; in particular, no key lies between equal keys.
--
-- The result is, byte for byte, that of `generateKeyBetween` in the npm package `fractional-indexing` 4.0.0 (CC0 1.0,
-- https://github.com/rocicorp/fractional-indexing), with two exceptions. The package accepts keys in the wrong order.
-- Before `A`, 25 zeros and `1`, it returns the smallest integer, which it then refuses as a key.
--
-- A key is an integer, and a fraction or nothing. The digits are those of base 62. The first letter gives the length of
-- the integer: two characters for `a` and `Z`, three for `b` and `Y`, to 27 for `z` and `A`. `a0` is 0, `Zz` is -1. A
-- fraction does not end in 0. The smallest integer alone is not a key, because no key sorts before it.
CREATE FUNCTION position_between(below text, above text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    -- All texts have the collation "C", which compares by byte. The database may have any other.
    digits CONSTANT text COLLATE "C" := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    smallest CONSTANT text COLLATE "C" := 'A00000000000000000000000000';
    low CONSTANT text COLLATE "C" := below;
    high CONSTANT text COLLATE "C" := above;
    -- The length of an integer follows from the place of its letter in `digits`, from 1: Z is 36, a is 37.
    low_length CONSTANT integer := greatest(38 - strpos(digits, left(low, 1)), strpos(digits, left(low, 1)) - 35);
    high_length CONSTANT integer := greatest(38 - strpos(digits, left(high, 1)), strpos(digits, left(high, 1)) - 35);
    low_integer CONSTANT text COLLATE "C" := coalesce(left(low, low_length), smallest);
    high_integer CONSTANT text COLLATE "C" := left(high, high_length);
    low_fraction text COLLATE "C" := coalesce(substr(low, low_length + 1), '');
    high_fraction CONSTANT text COLLATE "C" := substr(high, high_length + 1);
    key text COLLATE "C";
    shared integer := 0;
    digit integer;  -- a place in `digits`, from 1
    low_digit integer;
    high_digit integer;
BEGIN
    IF low !~ '^[A-Za-z][0-9A-Za-z]+$' OR length(low) < low_length OR low = smallest OR low_fraction LIKE '%0'
        OR high !~ '^[A-Za-z][0-9A-Za-z]+$' OR length(high) < high_length OR high = smallest OR high_fraction LIKE '%0'
        OR low >= high
    THEN
        RAISE 'no order key lies between % and %', coalesce(quote_literal(below), 'the start'),
            coalesce(quote_literal(above), 'the end') USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Prefer an integer: above `low` the next one, below `high` its own integer or else the one before. In a step, the
    -- last digits that cannot change further start anew, and the character before them changes. If that is the letter,
    -- the length changes too. A step beyond the last letter gives a text that sorts before all keys.
    IF low IS NOT NULL THEN
        key := left(low, 1) || rtrim(substr(low_integer, 2), 'z');
        digit := strpos(digits, right(key, 1)) + 1;
        key := rpad(left(key, -1) || substr(digits, digit, 1),
                    CASE WHEN length(key) > 1 THEN low_length ELSE greatest(38 - digit, digit - 35) END, '0');
    ELSIF high IS NULL THEN
        key := 'a0';
    ELSIF high_fraction <> '' THEN
        key := high_integer;
    ELSE
        key := rtrim(high_integer, '0');
        digit := strpos(digits, right(key, 1)) - 1;
        key := rpad(left(key, -1) || substr(digits, digit, 1),
                    CASE WHEN length(key) > 1 THEN high_length ELSE greatest(38 - digit, digit - 35) END, 'z');
    END IF;
    IF key > smallest AND (high IS NULL OR key < high) THEN
        RETURN key;
    END IF;

    -- Otherwise append a fraction to the integer of `low`. Only in the same integer, the fraction of `high` limits it.
    key := low_integer;
    IF low_integer = high_integer THEN
        -- Both fractions share their first digits; the shorter one continues with zeros.
        low_fraction := rpad(low_fraction, greatest(length(low_fraction), length(high_fraction)), '0');
        WHILE substr(low_fraction, shared + 1, 1) = substr(high_fraction, shared + 1, 1) LOOP
            shared := shared + 1;
        END LOOP;
        key := key || left(high_fraction, shared);
        low_digit := strpos(digits, substr(low_fraction, shared + 1, 1));
        high_digit := strpos(digits, substr(high_fraction, shared + 1, 1));
        IF high_digit - low_digit > 1 THEN
            RETURN key || substr(digits, (low_digit + high_digit + 1) / 2, 1);
        ELSIF length(high_fraction) > shared + 1 THEN
            RETURN key || substr(digits, high_digit, 1);
        END IF;
        -- No digit lies between the two. The rest of the fraction of `low` has no upper limit any more.
        key := key || substr(digits, low_digit, 1);
        low_fraction := substr(low_fraction, shared + 2);
    END IF;
    -- Keep the digits z, and take the digit in the middle between the next one, 0 at the end, and the limit after z.
    shared := length(low_fraction) - length(ltrim(low_fraction, 'z'));
    digit := strpos(digits, substr(low_fraction, shared + 1, 1));  -- 1 at the end: the place of an empty text
    RETURN key || left(low_fraction, shared) || substr(digits, (digit + 64) / 2, 1);
END
$$;
