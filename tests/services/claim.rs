//! Claims, in one line each.

use serde_json::{Map, Value, json};

/// A storage class whose volumes grow.
pub(crate) const EXPANDABLE: &str = "expandable";
/// One whose volumes do not.
pub(crate) const FIXED: &str = "fixed";

/// A claim that is Bound and has the size it asks for, unless it says otherwise.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) request: String,
    capacity: String,
    phase: &'static str,
    class: &'static str,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    /// Bytes used and bytes there are, as Prometheus would print them.
    pub(crate) volume: Option<(String, String)>,
}

impl Claim {
    pub(crate) fn of(name: &str, request: &str) -> Self {
        Self {
            name: name.to_owned(),
            request: request.to_owned(),
            capacity: request.to_owned(),
            phase: "Bound",
            class: EXPANDABLE,
            labels: Map::new(),
            annotations: Map::new(),
            volume: None,
        }
    }

    /// Its volume has 1,000,000 bytes, and this many of them are used.
    pub(crate) fn used(self, millionths: u32) -> Self {
        self.volume(&millionths.to_string(), "1000000")
    }

    pub(crate) fn volume(mut self, used: &str, capacity: &str) -> Self {
        self.volume = Some((used.to_owned(), capacity.to_owned()));
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), json!(value));
        self
    }

    /// This label, unless it has one of that key.
    pub(crate) fn unless_labelled(mut self, key: &str, value: &str) -> Self {
        self.labels.entry(key).or_insert_with(|| json!(value));
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), json!(value));
        self
    }

    /// What its volume has by now.
    pub(crate) fn capacity(mut self, capacity: &str) -> Self {
        self.capacity = capacity.to_owned();
        self
    }

    pub(crate) fn pending(mut self) -> Self {
        self.phase = "Pending";
        self
    }

    pub(crate) fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn object(&self) -> Value {
        json!({
            "metadata": {"name": self.name, "labels": self.labels, "annotations": self.annotations},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": self.class,
                "resources": {"requests": {"storage": self.request}},
            },
        })
    }

    pub(crate) fn status(&self) -> Value {
        if self.phase == "Bound" {
            json!({"phase": self.phase, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": self.capacity}})
        } else {
            json!({"phase": self.phase})
        }
    }
}
