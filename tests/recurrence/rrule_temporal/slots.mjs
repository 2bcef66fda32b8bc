// Compute the slots of series with rrule-temporal. Read from stdin, as JSON, an object with two members:
// - `series`: for each one, its lines of iCalendar, the number of slots, and the number of periods to look at.
// - `times`: pairs of a wall-clock time and a zone.
// Write, as JSON, an object with `series` (the moments of the slots, and the message of the error or null) and `times`
// (the moment of each, as Temporal reads it).
import "temporal-polyfill/global";
import { readFileSync } from "node:fs";
import { RRuleTemporal } from "rrule-temporal";

function slots([lines, number, maxIterations]) {
  const moments = [];
  try {
    const rule = new RRuleTemporal({ rruleString: lines, includeDtstart: true, maxIterations });
    rule.all((slot, index) => index < number && moments.push(slot.toInstant().toString()));
    return { moments, error: null };
  } catch (error) {
    return { moments, error: error.message };
  }
}

function moment([time, zone]) {
  return Temporal.PlainDateTime.from(time).toZonedDateTime(zone).toInstant().toString();
}

const wanted = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify({ series: wanted.series.map(slots), times: wanted.times.map(moment) }));
