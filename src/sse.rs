//! Events as server-sent events: runs are the default event, everything else is named.

use serde_json::Value;

use crate::api::{Event, Told};

/// What a listener needs of an event: its name, nothing for runs, and its data.
pub(crate) fn encode(event: &Event) -> (Option<String>, Value) {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    // The tag is the name.
    let name = data.as_object_mut().and_then(|data| data.shift_remove("event"));
    let name = name.as_ref().and_then(Value::as_str).filter(|name| *name != "run").map(str::to_owned);
    (name, data)
}

/// The event of a name and its data; nothing for a name that is not known here.
fn decode(name: &str, data: &str) -> Option<serde_json::Result<Event>> {
    const KNOWN: [&str; 12] =
        ["registered", "updated", "enabled", "disabled", "parked", "resumed", "deleted", "run", "dead-lettered", "gone", "missed", "reset"];
    let name = if matches!(name, "" | "message") { "run" } else { name };
    let tagged = |mut data: serde_json::Map<_, _>| {
        data.insert("event".to_owned(), name.into());
        serde_json::from_value(Value::Object(data))
    };
    KNOWN.contains(&name).then(|| serde_json::from_str(data).and_then(tagged))
}

/// Reads a stream of server-sent events, in chunks as they come.
#[derive(Default)]
pub(crate) struct Reader {
    /// A line that is not complete yet.
    line: Vec<u8>,
    name: String,
    data: String,
    id: Option<u64>,
}

impl Reader {
    /// The events that are complete after `chunk`.
    pub(crate) fn read(&mut self, chunk: &[u8]) -> Vec<serde_json::Result<Told>> {
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
                let (name, data, seq) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data), self.id.take());
                if !data.is_empty() {
                    events.extend(decode(&name, &data).map(|event| event.map(|event| Told { seq, event })));
                }
            } else if let Some(name) = field(line, "event") {
                name.clone_into(&mut self.name);
            } else if let Some(id) = field(line, "id") {
                self.id = id.parse().ok();
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
        let text = b": hello\n\nevent: missed\ndata: {\"events\":\ndata: 3}\n\nevent: new-in-a-later-version\ndata: 1\n\nid: 7\nevent:missed\r\ndata:{\"events\":4}\r\n\r\n";
        for size in [1, 7, text.len()] {
            let mut reader = Reader::default();
            let events: Vec<_> = text.chunks(size).flat_map(|chunk| reader.read(chunk)).map(Result::unwrap).collect();
            let missed = |seq, events| Told { seq, event: Event::Missed { events } };
            assert_eq!(events, [missed(None, 3), missed(Some(7), 4)]);
        }
        let broken = Reader::default().read(b"data: {\n\nevent: registered\ndata: []\n\n");
        assert!(broken.len() == 2 && broken.iter().all(Result::is_err));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let text = |text: &str| text.to_owned();
        let events = [
            Event::Missed { events: 7 },
            Event::Reset {},
            Event::Deleted { id: text("00"), name: text("a"), at: text("now") },
            Event::DeadLettered { vigy_id: text("00"), key: text("00-1-0"), at: text("now") },
            Event::Gone { vigy_id: text("00"), what: text("registered"), at: text("now") },
        ];
        for event in events {
            let (name, data) = encode(&event);
            assert_eq!(decode(&name.unwrap(), &data.to_string()).unwrap().unwrap(), event);
        }
    }
}
