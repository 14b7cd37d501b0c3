//! Waiting until a vigy is due, for commands that tick it themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vigy::Timestamp;
use vigy::service::Service;

use super::failure::{Exit, Failure};

/// The longest sleep in one piece: after it the wall clock is read again, so that a clock that jumped is noticed.
const NAP: Duration = Duration::from_secs(30);

/// When the schedule of a vigy has its next tick.
pub(crate) async fn due(service: &dyn Service, id: &str) -> Result<Timestamp, Failure> {
    let vigy = service.get(id).await?;
    if vigy.parked {
        let failures = vigy.failures;
        return Err(Failure::new(
            Exit::Failed,
            format_args!("it is parked after {failures} failures in a row: `vigy resume` lets it go on"),
        ));
    }
    let due: jiff::Timestamp = vigy.due_at.parse().map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(Timestamp(u64::try_from(due.as_millisecond()).unwrap_or_default()))
}

pub(crate) async fn sleep_until(due: Timestamp) {
    while let left @ 1.. = due.since(now()) {
        tokio::time::sleep(Duration::from_millis(left).min(NAP)).await;
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
