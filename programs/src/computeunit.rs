//! ComputeUnits: programs with everything it takes to run them, as YAML.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use adapter_tokio::Calendar;
use serde::Deserialize;
use serde_json::{Map, Value};
use vigy_core::{Labels, Name};

use crate::Capability;

/// The only version there is.
pub const API_VERSION: &str = "wasm.pleme.io/v1alpha1";

const KIND: &str = "ComputeUnit";

/// A program with its trigger, its capabilities, its configuration and its limits.
#[derive(Clone, PartialEq, Debug)]
pub struct ComputeUnit {
    /// `metadata.name`: the vigy's name.
    pub name: Name,
    /// `metadata.labels`, and the namespace as `namespace` if there is one.
    pub labels: Labels,
    /// `spec.module.source`: where the program lies, from the ComputeUnit's own directory on.
    pub source: PathBuf,
    /// `spec.trigger`.
    pub trigger: Trigger,
    /// `spec.capabilities`.
    pub capabilities: Vec<Capability>,
    /// `spec.config`, as it is written there.
    pub config: Option<Map<String, Value>>,
    /// `spec.limits`.
    pub limits: UnitLimits,
}

/// What makes it run. Of the last three, this version of the platform keeps what they say, and runs none.
#[derive(Clone, PartialEq, Debug)]
pub enum Trigger {
    /// Once, with these arguments.
    OneShot(Vec<String>),
    /// By the calendar.
    Cron(Calendar),
    /// For requests.
    Service(Map<String, Value>),
    /// For messages.
    Event(Map<String, Value>),
    /// For changes of objects.
    Watch(Map<String, Value>),
}

/// What a run may use; the rest is as for any vigy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnitLimits {
    /// `memory`: bytes of heap.
    pub memory: Option<u32>,
    /// `fuel`.
    pub fuel: Option<u64>,
}

/// A text that is no ComputeUnit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidUnit {
    /// No YAML.
    #[error("this is no YAML: {0}")]
    Yaml(String),
    /// A field that is missing, unknown, or not as it should be.
    #[error("{path}: {problem}")]
    Field {
        /// Where, as `spec.trigger.cron`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong<T>(path: &str, problem: impl fmt::Display) -> Result<T, InvalidUnit> {
    Err(InvalidUnit::Field { path: path.to_owned(), problem: problem.to_string() })
}

// ---- As it is written --------------------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// For other tools.
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    module: Module,
    trigger: Triggers,
    #[serde(default)]
    capabilities: Vec<String>,
    config: Option<Map<String, Value>>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    source: String,
}

/// An empty trigger (`oneShot: {}`) is one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Triggers {
    one_shot: Option<OneShot>,
    cron: Option<String>,
    service: Option<Map<String, Value>>,
    event: Option<Map<String, Value>>,
    watch: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneShot {
    #[serde(default)]
    args: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Limits {
    memory: Option<Value>,
    fuel: Option<u64>,
}

impl FromStr for ComputeUnit {
    type Err = InvalidUnit;

    fn from_str(yaml: &str) -> Result<Self, InvalidUnit> {
        let document: Value = serde_saphyr::from_str(yaml).map_err(|error| InvalidUnit::Yaml(error.to_string()))?;
        let Written { api_version, kind, metadata, spec } = serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            InvalidUnit::Field { path: if path == "." { "the document".to_owned() } else { path }, problem: error.inner().to_string() }
        })?;
        if api_version != API_VERSION {
            return wrong("apiVersion", format_args!("`{}` is not known here: write `{API_VERSION}`", api_version.escape_debug()));
        }
        if kind != KIND {
            return wrong("kind", format_args!("`{}` is not known here: write `{KIND}`", kind.escape_debug()));
        }
        let name = Name::new(&metadata.name).or_else(|error| wrong("metadata.name", error))?;
        let mut labels = Labels::try_from(metadata.labels).or_else(|error| wrong("metadata.labels", error))?;
        if let Some(namespace) = &metadata.namespace {
            labels.insert("namespace", namespace).or_else(|error| wrong("metadata.namespace", error))?;
        }
        let capability = |(index, text): (usize, &String)| {
            text.parse::<Capability>().or_else(|error| wrong(&format!("spec.capabilities[{index}]"), error))
        };
        Ok(Self {
            name,
            labels,
            source: source(&spec.module.source)?,
            trigger: trigger(spec.trigger)?,
            capabilities: spec.capabilities.iter().enumerate().map(capability).collect::<Result<_, _>>()?,
            config: spec.config,
            limits: UnitLimits { memory: spec.limits.memory.as_ref().map(memory).transpose()?, fuel: spec.limits.fuel },
        })
    }
}

fn source(text: &str) -> Result<PathBuf, InvalidUnit> {
    const PATH: &str = "spec.module.source";
    let (scheme, rest) = text.split_once(':').unwrap_or(("file", text));
    if scheme != "file" {
        return wrong(PATH, format_args!("`{}` is not fetched here: write `file:PATH`, or a path from here on", text.escape_debug()));
    }
    // `file:///a` has an empty host.
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.contains('\0') || (rest.starts_with("//") && !path.starts_with('/')) {
        return wrong(PATH, format_args!("`{}` names no file", text.escape_debug()));
    }
    Ok(PathBuf::from(path))
}

fn trigger(written: Triggers) -> Result<Trigger, InvalidUnit> {
    const PATH: &str = "spec.trigger";
    let Triggers { one_shot, cron, service, event, watch } = written;
    let cron = cron.map(|text| text.parse().map(Trigger::Cron).or_else(|error| wrong("spec.trigger.cron", error))).transpose()?;
    let given = [
        one_shot.map(|one_shot| Trigger::OneShot(one_shot.args)),
        cron,
        service.map(Trigger::Service),
        event.map(Trigger::Event),
        watch.map(Trigger::Watch),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.count()) {
        (Some(trigger), 0) => Ok(trigger),
        (Some(_), more) => wrong(PATH, format_args!("there are {} triggers: a ComputeUnit has exactly one", more + 1)),
        (None, _) => wrong(PATH, "there is none: one of oneShot, cron, service, event, watch"),
    }
}

/// Bytes: a number, or text with a unit.
fn memory(value: &Value) -> Result<u32, InvalidUnit> {
    let number = |text: &str| {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &text[digits.len()..] {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    };
    let bytes = match value {
        Value::String(text) => number(text),
        other => other.as_u64(),
    };
    let bytes = bytes.and_then(|bytes| u32::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    bytes.map_or_else(|| wrong("spec.limits.memory", format_args!("{value} is no size below 4 GiB, as 16MiB")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ComputeUnit whose `spec` has these lines beside its module.
    fn unit(spec: &str) -> Result<ComputeUnit, InvalidUnit> {
        let head = "apiVersion: wasm.pleme.io/v1alpha1\nkind: ComputeUnit\nmetadata: {name: a}\nspec:\n  module: {source: main.tlisp}\n";
        format!("{head}  {}\n", spec.replace('\n', "\n  ")).parse()
    }

    /// The whole text is refused, at this path.
    #[track_caller]
    fn refused(unit: Result<ComputeUnit, InvalidUnit>, path: &str, words: &str) {
        match unit.unwrap_err() {
            InvalidUnit::Field { path: at, problem } => assert!(at == path && problem.contains(words), "{at}: {problem}"),
            InvalidUnit::Yaml(problem) => panic!("{problem}"),
        }
    }

    const CRON: &str = "trigger: {cron: '@hourly'}";

    #[test]
    fn a_unit_is_all_that_a_program_needs() {
        let text = "apiVersion: wasm.pleme.io/v1alpha1\nkind: ComputeUnit\nmetadata: {name: grow, namespace: ops, labels: {a: b}}\n\
            spec:\n  module: {source: 'file:///srv/grow.tlisp'}\n  trigger: {cron: '*/5 * * * *'}\n  capabilities: [kube-pvc-list]\n  \
            config: {triggerAt: 0.9, namespaces: [], dryRun: true}\n  limits: {memory: 16MiB, fuel: 1000}\n";
        let unit: ComputeUnit = text.parse().unwrap();
        assert_eq!((unit.name.as_str(), unit.labels.get("namespace"), unit.labels.get("a")), ("grow", Some("ops"), Some("b")));
        assert_eq!(unit.source, PathBuf::from("/srv/grow.tlisp"));
        assert_eq!(unit.capabilities, [Capability::ListClaims(None)]);
        assert_eq!(Value::Object(unit.config.unwrap()).to_string(), r#"{"triggerAt":0.9,"namespaces":[],"dryRun":true}"#);
        assert_eq!(unit.limits, UnitLimits { memory: Some(16 << 20), fuel: Some(1000) });
        assert!(matches!(unit.trigger, Trigger::Cron(calendar) if calendar.to_string() == "*/5 * * * *"));
    }

    #[test]
    fn there_is_exactly_one_trigger_and_an_empty_one_counts() {
        assert_eq!(unit("trigger: {oneShot: {}}").unwrap().trigger, Trigger::OneShot(Vec::new()));
        assert_eq!(unit("trigger: {oneShot: {args: [a]}}").unwrap().trigger, Trigger::OneShot(vec!["a".to_owned()]));
        assert!(matches!(unit("trigger: {service: {port: 1}}").unwrap().trigger, Trigger::Service(_)));
        refused(unit("trigger: {}"), "spec.trigger", "there is none");
        refused(unit("trigger: {oneShot: {}, cron: '@daily'}"), "spec.trigger", "there are 2 triggers");
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        refused("{}".parse(), "the document", "missing field `apiVersion`");
        refused(unit("capabilities: []"), "spec", "missing field `trigger`");
        refused(unit("trigger: {cron: '@hourly', cronn: x}"), "spec.trigger.cronn", "unknown field");
        refused(unit(&format!("{CRON}\nreplicas: 3")), "spec.replicas", "unknown field `replicas`");
        refused(unit(&format!("{CRON}\nlimits: {{fuel: lots}}")), "spec.limits.fuel", "invalid type: string");
        refused(unit(&format!("{CRON}\nlimits: {{memory: 5TiB}}")), "spec.limits.memory", "\"5TiB\" is no size");
        refused(unit(&format!("{CRON}\nlimits: {{memory: 4GiB}}")), "spec.limits.memory", "below 4 GiB");
        refused(unit(&format!("{CRON}\ncapabilities: [kube-pvc-list, kube-all]")), "spec.capabilities[1]", "`kube-all` is no capability");
        refused(unit(&format!("{CRON}\nconfig: [a]")), "spec.config", "invalid type: sequence");
        refused(unit("trigger: {cron: often}"), "spec.trigger.cron", "`often` is no schedule");
    }

    #[test]
    fn other_documents_are_refused() {
        let document = |from: &str, to: &str| {
            let text = "apiVersion: wasm.pleme.io/v1alpha1\nkind: ComputeUnit\nmetadata: {name: a}\nspec: {module: {source: a}, trigger: {cron: '@daily'}}\n";
            assert!(text.contains(from));
            text.replace(from, to).parse::<ComputeUnit>()
        };
        refused(document("v1alpha1", "v2"), "apiVersion", "write `wasm.pleme.io/v1alpha1`");
        refused(document("ComputeUnit", "Pod"), "kind", "write `ComputeUnit`");
        refused(document("name: a", "name: a/b"), "metadata.name", "cannot name a vigy");
        refused(document("source: a", "source: 'github:a/b/c'"), "spec.module.source", "is not fetched here");
        refused(document("source: a", "source: ''"), "spec.module.source", "names no file");
        assert!(matches!("a: [".parse::<ComputeUnit>(), Err(InvalidUnit::Yaml(_))));
        assert!(matches!("a: 1\na: 2\n".parse::<ComputeUnit>(), Err(InvalidUnit::Yaml(problem)) if problem.contains("duplicate")));
    }
}
