//! How values are written on the command line.

use std::net::{Ipv4Addr, SocketAddr};

use vigy::{Capability, TickInterval};

pub(super) fn interval(text: &str) -> Result<TickInterval, String> {
    TickInterval::from_millis(duration(text)?).map_err(|error| error.to_string())
}

/// Milliseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().filter(|_| factor > 0).and_then(|number| number.checked_mul(factor));
    ms.ok_or_else(|| "a duration is a whole number of milliseconds, or one with a unit: 500ms, 10s, 5m, 1h, 1d".to_owned())
}

pub(super) fn jitter(text: &str) -> Result<u32, String> {
    u32::try_from(duration(text)?).map_err(|_| "a jitter is at most 49 days".to_owned())
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "a label is KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn capability(text: &str) -> Result<String, String> {
    let capability: Capability = text.parse().map_err(|error: vigy::InvalidCapability| error.to_string())?;
    let base = std::env::current_dir().map_err(|error| error.to_string())?;
    Ok(capability.absolute(&base).to_string())
}

pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = match text.strip_prefix("localhost:") {
        Some(port) => {
            port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| "a port is a number up to 65535".to_owned())?
        }
        None => text.parse().map_err(|_| "an address is ADDRESS:PORT, as 127.0.0.1:38821".to_owned())?,
    };
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("only loopback addresses can be bound, as 127.0.0.1:38821: the API has no authentication beyond this machine yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [("500", 500), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000)];
        assert!(cases.iter().all(|(text, ms)| duration(text) == Ok(*ms)));
        assert!(
            ["", "s", "1.5s", "-1", "1 s", "1w", "99999999999999999999", "18446744073709551615h"]
                .iter()
                .all(|text| duration(text).is_err())
        );
    }

    #[test]
    fn only_loopback_is_bound() {
        assert!(loopback("127.0.0.1:38821").is_ok() && loopback("[::1]:0").is_ok() && loopback("localhost:1").is_ok());
        assert!(loopback("0.0.0.0:38821").unwrap_err().contains("loopback"));
        assert!(loopback("example.org:80").is_err());
    }
}
