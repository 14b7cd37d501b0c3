//! Schedules by the calendar: cron, in a time zone.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use vigy_core::{Plan, Schedule, Timestamp};

/// What may stand before the fields, as `CRON_TZ=Europe/Berlin 0 3 * * *`.
const ZONE: &str = "CRON_TZ=";

/// When to run by the calendar: five fields of cron, or `@hourly` and its kind. In UTC, or in the IANA time zone that stands before them.
///
/// ```
/// # use adapter_tokio::Calendar;
/// let at_three: Calendar = "CRON_TZ=Europe/Berlin 0 3 * * *".parse()?;
/// assert_eq!(at_three.to_string(), "CRON_TZ=Europe/Berlin 0 3 * * *");
/// # Ok::<(), adapter_tokio::InvalidCalendar>(())
/// ```
///
/// # When the clocks change
///
/// - A time of day that is skipped (`30 2 * * *` on the night that has no 2:30) runs once, when the clocks have been put forward.
/// - A time of day that comes twice runs once, the first time.
/// - What runs every so often (`*/15 * * * *`, `0 * * * *`) goes on doing so, by the time that has really passed.
#[derive(Clone, PartialEq, Debug)]
pub struct Calendar {
    fields: Box<Cron>,
    zone: TimeZone,
}

/// A text that is no schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no schedule: {problem}; write five fields (minute hour day month weekday), as `*/5 * * * *`, or @hourly")]
pub struct InvalidCalendar {
    text: String,
    problem: String,
}

impl FromStr for Calendar {
    type Err = InvalidCalendar;

    fn from_str(text: &str) -> Result<Self, InvalidCalendar> {
        let invalid = |problem: String| InvalidCalendar { text: text.escape_debug().to_string(), problem };
        let (zone, fields) = match text.trim_start().strip_prefix(ZONE) {
            None => (TimeZone::UTC, text),
            Some(rest) => {
                let (name, fields) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (TimeZone::get(name).map_err(|_| invalid(format!("there is no time zone `{}`", name.escape_debug())))?, fields)
            }
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let fields = Box::new(parser.parse(fields).map_err(|error| invalid(error.to_string()))?);
        let calendar = Self { fields, zone };
        // 30 February can be written, and never comes.
        if calendar.after(Timestamp(0)).is_none() {
            return Err(invalid("its time never comes".to_owned()));
        }
        Ok(calendar)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.zone.iana_name().filter(|_| self.zone != TimeZone::UTC) {
            write!(f, "{ZONE}{name} ")?;
        }
        f.write_str(self.fields.as_str())
    }
}

impl Calendar {
    /// The first time after `time`; nothing when none comes any more.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let from = jiff::Timestamp::from_millisecond(i64::try_from(time.0).ok()?).ok()?.to_zoned(self.zone.clone());
        let next = self.fields.find_next_occurrence(&from, false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok().map(Timestamp)
    }
}

/// When the ticks of a schedule are due, for a tick that begins at `now`, or before the first one.
pub(crate) fn plan(schedule: &Schedule, now: Timestamp) -> Plan {
    match schedule {
        Schedule::Every(cadence) => Plan::Every(*cadence),
        Schedule::Cron(text) => {
            // It was a calendar when it was registered. Should that change, or its last time have come, the vigy waits for ever.
            let next = text.as_str().parse::<Calendar>().ok().and_then(|calendar| calendar.after(now));
            Plan::At(next.unwrap_or(Timestamp(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first times of a schedule after this one, as the clocks of its zone show them.
    fn times(calendar: &str, after: &str, count: usize) -> Vec<String> {
        let calendar: Calendar = calendar.parse().unwrap();
        let after: jiff::Timestamp = after.parse().unwrap();
        let mut time = Timestamp(after.as_millisecond() as u64);
        let mut next = || {
            time = calendar.after(time).unwrap();
            let time = jiff::Timestamp::from_millisecond(time.0 as i64).unwrap();
            time.to_zoned(calendar.zone.clone()).strftime("%m-%d %H:%M %z").to_string()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn calendars_are_cron() {
        // A Thursday.
        let new_year = "2026-01-01T00:00Z";
        assert_eq!(times("*/5 * * * *", new_year, 2), ["01-01 00:05 +0000", "01-01 00:10 +0000"]);
        assert_eq!(times("@hourly", new_year, 1), ["01-01 01:00 +0000"]);
        let days = times("7,37 9-17/4 * * mon-fri", new_year, 3);
        assert_eq!(days, ["01-01 09:07 +0000", "01-01 09:37 +0000", "01-01 13:07 +0000"]);
        // Both days restricted: either.
        assert_eq!(times("0 0 13 * 5", new_year, 3), ["01-02 00:00 +0000", "01-09 00:00 +0000", "01-13 00:00 +0000"]);
        let wrong = [
            "",
            "* * * * *  *",
            "60 * * * *",
            "@often",
            "0 0 30 2 *",
            "a b c d e",
            "CRON_TZ=Mars/Olympus 0 0 * * *",
            "CRON_TZ=Europe/Berlin",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Calendar>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_runs_when_they_have_been_put_forward() {
        let night = times("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:00Z", 3);
        assert_eq!(night, ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"]);
        let new_york = times("CRON_TZ=America/New_York 30 2 * * *", "2026-03-07T12:00Z", 2);
        assert_eq!(new_york, ["03-08 03:00 -0400", "03-09 02:30 -0400"]);
    }

    #[test]
    fn a_time_that_comes_twice_runs_once() {
        let night = times("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00Z", 2);
        assert_eq!(night, ["10-25 02:30 +0200", "10-26 02:30 +0100"]);
    }

    #[test]
    fn what_runs_every_so_often_does_so_through_both_nights() {
        let gaps = |zone: &str, from: &str| {
            let calendar: Calendar = format!("CRON_TZ={zone} */15 * * * *").parse().unwrap();
            let from: jiff::Timestamp = from.parse().unwrap();
            let mut time = Timestamp(from.as_millisecond() as u64);
            (0..40).all(|_| {
                let next = calendar.after(time).unwrap();
                let gap = next.since(std::mem::replace(&mut time, next));
                gap == 15 * 60 * 1000
            })
        };
        assert!(gaps("Europe/Berlin", "2026-03-28T22:00Z") && gaps("Europe/Berlin", "2026-10-24T22:00Z"));
        // Half an hour of summer.
        assert!(gaps("Australia/Lord_Howe", "2026-10-03T12:00Z") && gaps("Australia/Lord_Howe", "2026-04-04T12:00Z"));
    }
}
