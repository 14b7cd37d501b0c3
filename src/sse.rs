//! Events as server-sent events: runs are the default event, everything else is named.

use serde_json::Value;

use crate::api::Event;

/// An event's name, nothing for runs, and its data.
pub(crate) fn encode(event: &Event) -> (Option<&'static str>, Value) {
    let json = |data: &dyn Fn() -> serde_json::Result<Value>| data().unwrap_or_default();
    match event {
        Event::Run(run) => (None, json(&|| serde_json::to_value(run))),
        Event::Registered(vigy) => (Some("registered"), json(&|| serde_json::to_value(vigy))),
        Event::Updated(vigy) => (Some("updated"), json(&|| serde_json::to_value(vigy))),
        Event::Enabled(vigy) => (Some("enabled"), json(&|| serde_json::to_value(vigy))),
        Event::Disabled(vigy) => (Some("disabled"), json(&|| serde_json::to_value(vigy))),
        Event::Parked(vigy) => (Some("parked"), json(&|| serde_json::to_value(vigy))),
        Event::Resumed(vigy) => (Some("resumed"), json(&|| serde_json::to_value(vigy))),
        Event::Deleted { id, name, at } => (Some("deleted"), serde_json::json!({ "id": id, "name": name, "at": at })),
        Event::Missed { events } => (Some("missed"), serde_json::json!({ "events": events })),
    }
}

/// The event of a name and its data; nothing for a name that is not known here.
fn decode(name: &str, data: &str) -> Option<serde_json::Result<Event>> {
    if matches!(name, "" | "message") {
        return Some(serde_json::from_str(data).map(Event::Run));
    }
    let tagged = |mut data: Value| {
        data["event"] = name.into();
        serde_json::from_value(data)
    };
    let known = ["registered", "updated", "enabled", "disabled", "parked", "resumed", "deleted", "missed"].contains(&name);
    known.then(|| serde_json::from_str::<serde_json::Map<_, _>>(data).and_then(|data| tagged(Value::Object(data))))
}

/// Reads a stream of server-sent events, in chunks as they come.
#[derive(Default)]
pub(crate) struct Reader {
    /// A line that is not complete yet.
    line: Vec<u8>,
    name: String,
    data: String,
}

impl Reader {
    /// The events that are complete after `chunk`.
    pub(crate) fn read(&mut self, chunk: &[u8]) -> Vec<serde_json::Result<Event>> {
        let mut events = Vec::new();
        for &byte in chunk {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if !data.is_empty() {
                    events.extend(decode(&name, &data));
                }
            } else if let Some(name) = field(line, "event") {
                name.clone_into(&mut self.name);
            } else if let Some(data) = field(line, "data") {
                self.data.push_str(data);
                self.data.push('\n');
            }
        }
        events
    }
}

fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_the_chunks() {
        let text = b": hello\n\nevent: missed\ndata: {\"events\":\ndata: 3}\n\nevent: new-in-a-later-version\ndata: 1\n\nevent:missed\r\ndata:{\"events\":4}\r\n\r\n";
        for size in [1, 7, text.len()] {
            let mut reader = Reader::default();
            let events: Vec<_> = text.chunks(size).flat_map(|chunk| reader.read(chunk)).map(Result::unwrap).collect();
            assert_eq!(events, [Event::Missed { events: 3 }, Event::Missed { events: 4 }]);
        }
        let broken = Reader::default().read(b"data: {\n\nevent: registered\ndata: []\n\n");
        assert!(broken.len() == 2 && broken.iter().all(Result::is_err));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let event = Event::Missed { events: 7 };
        let (name, data) = encode(&event);
        assert_eq!(decode(name.unwrap(), &data.to_string()).unwrap().unwrap(), event);
    }
}
