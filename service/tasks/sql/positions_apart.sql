-- Return the sorted order keys `keys` with changes, so that a key of at most 100 characters fits after the first `gap` of
-- them. The order stays the same. Both ends are open: the keys at the places 0 and after the last one are NULL.
--
-- If the two keys at the gap are equal, the keys change that are equal to them on one side of it: on the side that has
-- fewer, or else on the upper one. If a key would have more than 100 characters, all keys become those of
-- `positions_spread`.
CREATE FUNCTION positions_apart(keys text[], gap integer) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    tied CONSTANT text := keys[gap];
    lowest integer := gap;
    highest integer := gap + 1;
    longest integer := 0;
BEGIN
    IF tied = keys[highest] THEN
        WHILE keys[lowest - 1] = tied LOOP
            lowest := lowest - 1;
        END LOOP;
        WHILE keys[highest + 1] = tied LOOP
            highest := highest + 1;
        END LOOP;
        IF highest - gap <= gap + 1 - lowest THEN
            FOR place IN gap + 1..highest LOOP
                keys[place] := position_between(keys[place - 1], keys[highest + 1]);
                longest := greatest(longest, length(keys[place]));
                EXIT WHEN longest > 100;
            END LOOP;
        ELSE
            FOR place IN REVERSE gap..lowest LOOP
                keys[place] := position_between(keys[lowest - 1], keys[place + 1]);
                longest := greatest(longest, length(keys[place]));
                EXIT WHEN longest > 100;
            END LOOP;
        END IF;
    END IF;
    IF greatest(longest, length(position_between(keys[gap], keys[gap + 1]))) > 100 THEN
        RETURN positions_spread(cardinality(keys));
    END IF;
    RETURN keys;
END
$$;
