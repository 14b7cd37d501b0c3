//! When a vigy ticks, as the API says it.

use adapter_tokio::Calendar;
use serde::{Deserialize, Serialize};
use vigy_core::{Cadence, CronText, InvalidCadence, InvalidInterval, InvalidVigy, Pace, TickInterval};

/// What a calendar's text begins with when it is in a time zone.
const ZONE: &str = "CRON_TZ=";

/// When a vigy ticks, beyond its interval; or by the calendar, in place of an interval. What is left out is as for any vigy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// From where the interval counts: `steady`, `sharp` or `idle`; `steady` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Milliseconds from the registration to the first tick; 0 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay_ms: Option<u64>,
    /// The most milliseconds by which a vigy's ticks are put off, so that many do not wake together. When left out, the interval up to
    /// 10 seconds, and of longer ones a tenth, from 10 to 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u32>,
    /// Five fields of cron, as `0 3 * * *`, in place of an interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA time zone of `cron`, as `Europe/Berlin`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A schedule that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSchedule {
    /// A calendar says when, and there is something else that would say so, too.
    #[error("a schedule is an interval or a calendar: `cron` leaves no room for `{0}`")]
    Both(&'static str),
    /// A time zone of nothing.
    #[error("`time_zone` is the zone of a `cron`, and there is none: intervals know no zones")]
    ZoneOfNothing,
    /// Two time zones.
    #[error("`cron` begins with a time zone of its own: leave `time_zone` out")]
    TwoZones,
    /// Jitter on a grid that has none.
    #[error("a sharp vigy ticks on the multiples of its interval: it has no `jitter_ms`")]
    SharpJitter,
    /// An interval out of bounds.
    #[error(transparent)]
    Interval(#[from] InvalidInterval),
    /// A delay out of bounds.
    #[error("{0}")]
    Cadence(InvalidCadence),
    /// A calendar that is none.
    #[error("{0}")]
    Calendar(String),
}

impl From<InvalidCadence> for InvalidSchedule {
    fn from(error: InvalidCadence) -> Self {
        Self::Cadence(error)
    }
}

impl From<InvalidVigy> for InvalidSchedule {
    fn from(error: InvalidVigy) -> Self {
        Self::Calendar(error.to_string())
    }
}

impl Schedule {
    /// What a vigy declares with this schedule and this interval; 1,000 ms when it says neither.
    ///
    /// # Errors
    /// [`InvalidSchedule`].
    pub fn declared(&self, interval_ms: Option<u64>) -> Result<vigy_core::Schedule, InvalidSchedule> {
        let Self { pace, initial_delay_ms, jitter_ms, cron, time_zone } = self;
        let Some(cron) = cron else {
            if time_zone.is_some() {
                return Err(InvalidSchedule::ZoneOfNothing);
            }
            let interval = interval_ms.map_or_else(|| Ok(TickInterval::default()), TickInterval::from_millis)?;
            let mut cadence = Cadence { pace: pace.unwrap_or_default(), ..Cadence::every(interval) };
            if cadence.pace == Pace::Sharp {
                if jitter_ms.is_some_and(|jitter| jitter > 0) {
                    return Err(InvalidSchedule::SharpJitter);
                }
                cadence.jitter_ms = 0;
            }
            cadence.initial_delay_ms = initial_delay_ms.unwrap_or(cadence.initial_delay_ms);
            cadence.jitter_ms = jitter_ms.unwrap_or(cadence.jitter_ms);
            cadence.check()?;
            return Ok(cadence.into());
        };
        let others = [
            ("tick_interval_ms", interval_ms.is_some()),
            ("pace", pace.is_some()),
            ("initial_delay_ms", initial_delay_ms.is_some()),
            ("jitter_ms", jitter_ms.is_some()),
        ];
        if let Some((other, _)) = others.into_iter().find(|(_, said)| *said) {
            return Err(InvalidSchedule::Both(other));
        }
        let text = match time_zone {
            Some(_) if cron.trim_start().starts_with(ZONE) => return Err(InvalidSchedule::TwoZones),
            Some(zone) => format!("{ZONE}{zone} {}", cron.trim()),
            None => cron.clone(),
        };
        text.parse::<Calendar>().map_err(|error| InvalidSchedule::Calendar(error.to_string()))?;
        Ok(CronText::new(&text)?.into())
    }

    /// What a declaration says, and its interval in milliseconds.
    #[must_use]
    pub fn of(declared: &vigy_core::Schedule) -> (Option<u64>, Self) {
        match declared {
            vigy_core::Schedule::Every(Cadence { interval, pace, initial_delay_ms, jitter_ms }) => {
                let (pace, initial_delay_ms, jitter_ms) = (Some(*pace), Some(*initial_delay_ms), Some(*jitter_ms));
                (Some(interval.as_millis()), Self { pace, initial_delay_ms, jitter_ms, ..Self::default() })
            }
            vigy_core::Schedule::Cron(text) => {
                let text = text.as_str();
                let zoned = text.strip_prefix(ZONE).and_then(|rest| rest.split_once(char::is_whitespace));
                let (zone, cron) = zoned.map_or((None, text), |(zone, cron)| (Some(zone.to_owned()), cron.trim_start()));
                (None, Self { cron: Some(cron.to_owned()), time_zone: zone, ..Self::default() })
            }
        }
    }

    /// For people: `every 1000 ms, sharp`, or `at 0 3 * * *, Europe/Berlin`.
    #[must_use]
    pub fn shown(&self, interval_ms: Option<u64>) -> String {
        let zone = self.time_zone.as_ref().map_or_else(String::new, |zone| format!(", {zone}"));
        match (&self.cron, self.pace) {
            (Some(cron), _) => format!("at {cron}{zone}"),
            (None, Some(Pace::Sharp)) => format!("every {} ms, sharp", interval_ms.unwrap_or_default()),
            (None, Some(Pace::Idle)) => format!("every {} ms, idle", interval_ms.unwrap_or_default()),
            (None, _) => format!("every {} ms", interval_ms.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(json: serde_json::Value) -> Schedule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_schedule_is_an_interval_or_a_calendar() {
        let refused = |json, interval| schedule(json).declared(interval).unwrap_err().to_string();
        assert!(refused(serde_json::json!({"cron": "@hourly"}), Some(1000)).contains("no room for `tick_interval_ms`"));
        assert!(refused(serde_json::json!({"cron": "@hourly", "pace": "idle"}), None).contains("no room for `pace`"));
        assert!(refused(serde_json::json!({"cron": "@hourly", "jitter_ms": 0}), None).contains("no room for `jitter_ms`"));
        assert!(refused(serde_json::json!({"time_zone": "Europe/Berlin"}), None).contains("zone of a `cron`"));
        assert!(refused(serde_json::json!({"cron": "CRON_TZ=UTC @hourly", "time_zone": "Europe/Berlin"}), None).contains("of its own"));
        assert!(refused(serde_json::json!({"cron": "@hourly", "time_zone": "Mars/Olympus"}), None).contains("Mars/Olympus"));
        assert!(refused(serde_json::json!({"pace": "sharp", "jitter_ms": 5}), None).contains("no `jitter_ms`"));
        assert!(refused(serde_json::json!({"jitter_ms": 2000}), Some(1000)).contains("longer than the interval"));
        assert!(refused(serde_json::json!({}), Some(99)).contains("100 ms"));
    }

    #[test]
    fn what_is_declared_is_shown() {
        let cases = [
            (serde_json::json!({}), Some(500), "every 500 ms"),
            (serde_json::json!({}), None, "every 1000 ms"),
            (serde_json::json!({"pace": "sharp"}), Some(60_000), "every 60000 ms, sharp"),
            (serde_json::json!({"pace": "idle", "initial_delay_ms": 5, "jitter_ms": 0}), Some(500), "every 500 ms, idle"),
            (serde_json::json!({"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}), None, "at 0 3 * * *, Europe/Berlin"),
            (serde_json::json!({"cron": "CRON_TZ=Europe/Berlin 0 3 * * *"}), None, "at 0 3 * * *, Europe/Berlin"),
            (serde_json::json!({"cron": "@hourly"}), None, "at @hourly"),
        ];
        for (json, interval, shown) in cases {
            let declared = schedule(json).declared(interval).unwrap();
            let (interval, again) = Schedule::of(&declared);
            assert_eq!(again.shown(interval), shown);
            assert_eq!(again.declared(interval).unwrap(), declared, "{shown}");
        }
    }
}
