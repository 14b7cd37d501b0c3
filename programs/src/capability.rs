//! What a vigy may ask, as words: `fs:PATH:r`, `kube-pvc-list`, `prom-query@HOST:PORT`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::operation;

/// Something a vigy may do beyond computing. The grammar is closed: what is not listed here is no capability.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Capability {
    /// `fs:PATH:r`: list, hash and read what lies at and below a path.
    ReadFiles(PathBuf),
    /// `kube-pvc-list`, `kube-pvc-list@NAMESPACE`: list PersistentVolumeClaims, of one namespace or of all.
    ListClaims(Option<String>),
    /// `kube-pvc-patch`, `kube-pvc-patch@NAMESPACE`: change PersistentVolumeClaims, in one namespace or in all.
    PatchClaims(Option<String>),
    /// `prom-query@HOST:PORT`: query the Prometheus there. Without a port, port 80.
    QueryPrometheus {
        /// A name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// `kube-event-emit`: what the program tells of an object by `emit-event` becomes an Event of that object, too.
    EmitEvents,
}

/// A text that is no capability.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidCapability {
    /// Another kind of capability.
    #[error("`{0}` is no capability: there are {ALL}")]
    Unknown(String),
    /// Another right.
    #[error("`{0}` ends in no right: write `fs:PATH:r` (`r` reads; programs change files by actions, which a handler carries out)")]
    Right(String),
    /// No path.
    #[error("`{0}` has no path: write `fs:PATH:r`, as `fs:/etc:r`")]
    NoPath(String),
    /// No namespace.
    #[error("`{0}` names no namespace: write `{1}` for all of them, or `{1}@NAMESPACE`")]
    Namespace(String, &'static str),
    /// No host.
    #[error("`{0}` names no host: write `prom-query@HOST:PORT`, as `prom-query@prometheus.monitoring.svc:9090`")]
    Host(String),
}

const ALL: &str = "`fs:PATH:r`, `kube-pvc-list`, `kube-pvc-patch` (both also for one namespace, with `@NAMESPACE`), `prom-query@HOST:PORT`, `kube-event-emit`";

const LIST_CLAIMS: &str = "kube-pvc-list";
const PATCH_CLAIMS: &str = "kube-pvc-patch";
const QUERY_PROMETHEUS: &str = "prom-query";
const EMIT_EVENTS: &str = "kube-event-emit";

impl FromStr for Capability {
    type Err = InvalidCapability;

    fn from_str(text: &str) -> Result<Self, InvalidCapability> {
        let shown = || text.escape_debug().to_string();
        if let Some(rest) = text.strip_prefix("fs:") {
            // The path itself may have colons.
            let path = rest.strip_suffix(":r").ok_or_else(|| InvalidCapability::Right(shown()))?;
            if path.is_empty() || path.contains('\0') {
                return Err(InvalidCapability::NoPath(shown()));
            }
            return Ok(Self::ReadFiles(PathBuf::from(path)));
        }
        let (head, scope) = text.split_once('@').map_or((text, None), |(head, scope)| (head, Some(scope)));
        let namespace = |head| match scope {
            Some(scope) if !is_label(scope) => Err(InvalidCapability::Namespace(shown(), head)),
            scope => Ok(scope.map(str::to_owned)),
        };
        match (head, scope) {
            (LIST_CLAIMS, _) => Ok(Self::ListClaims(namespace(LIST_CLAIMS)?)),
            (PATCH_CLAIMS, _) => Ok(Self::PatchClaims(namespace(PATCH_CLAIMS)?)),
            (QUERY_PROMETHEUS, scope) => {
                let (host, port) = scope.and_then(authority).ok_or_else(|| InvalidCapability::Host(shown()))?;
                Ok(Self::QueryPrometheus { host, port })
            }
            (EMIT_EVENTS, None) => Ok(Self::EmitEvents),
            _ => Err(InvalidCapability::Unknown(shown())),
        }
    }
}

/// Whether this can name a namespace: a DNS label.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// `HOST:PORT`, as a URL would have it, so that both say the same host in the same way.
fn authority(text: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(&format!("http://{text}/")).ok()?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    // A wildcard is no host.
    if !plain || text.contains(['/', '@', '*', '?', '#', '\\']) {
        return None;
    }
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadFiles(path) => write!(f, "fs:{}:r", path.display()),
            Self::ListClaims(None) => f.write_str(LIST_CLAIMS),
            Self::ListClaims(Some(namespace)) => write!(f, "{LIST_CLAIMS}@{namespace}"),
            Self::PatchClaims(None) => f.write_str(PATCH_CLAIMS),
            Self::PatchClaims(Some(namespace)) => write!(f, "{PATCH_CLAIMS}@{namespace}"),
            Self::QueryPrometheus { host, port } => write!(f, "{QUERY_PROMETHEUS}@{host}:{port}"),
            Self::EmitEvents => f.write_str(EMIT_EVENTS),
        }
    }
}

impl Capability {
    /// The same capability with its path made absolute, starting from `base`.
    #[must_use]
    pub fn absolute(self, base: &Path) -> Self {
        match self {
            Self::ReadFiles(path) => Self::ReadFiles(absolute(base, &path)),
            other => other,
        }
    }

    /// Whether it grants `needed`, too.
    #[must_use]
    pub fn covers(&self, needed: &Self) -> bool {
        match (self, needed) {
            (Self::ReadFiles(granted), Self::ReadFiles(needed)) => needed.starts_with(granted),
            (Self::ListClaims(None), Self::ListClaims(_)) | (Self::PatchClaims(None), Self::PatchClaims(_)) => true,
            (granted, needed) => granted == needed,
        }
    }

    /// Whether it is of the kind that `operation` needs. Whether it covers what is asked then is decided by the ask.
    #[must_use]
    pub fn is_for(&self, operation: &str) -> bool {
        match self {
            Self::ReadFiles(_) => operation.starts_with("fs/"),
            Self::ListClaims(_) => operation == operation::LIST_CLAIMS,
            Self::PatchClaims(_) => operation == operation::PATCH_CLAIM,
            Self::QueryPrometheus { .. } => operation == operation::QUERY,
            Self::EmitEvents => false,
        }
    }
}

/// `path` from `base`, with `.` and `..` taken out of the text. What symlinks make of it is for those who open it to watch over.
pub(crate) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = clean.pop(),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, advice: &str) {
        let error = text.parse::<Capability>().unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    }

    #[test]
    fn capabilities_are_written_as_they_are_read() {
        let kubernetes = ["kube-pvc-list", "kube-pvc-list@apps", "kube-pvc-patch", "kube-pvc-patch@a-1", "kube-event-emit"];
        let others = ["fs:/etc:r", "fs:relative/path:r", "fs:/with:colon:r", "prom-query@prom.mon.svc:9090", "prom-query@[::1]:80"];
        for text in kubernetes.into_iter().chain(others) {
            assert_eq!(text.parse::<Capability>().unwrap().to_string(), text);
        }
        let relative: Capability = "fs:a/../b/./c:r".parse().unwrap();
        assert_eq!(relative.absolute(Path::new("/base")).to_string(), "fs:/base/b/c:r");
        assert_eq!("prom-query@Prom".parse::<Capability>().unwrap().to_string(), "prom-query@prom:80");
    }

    #[test]
    fn a_capability_covers_what_lies_within_it() {
        let covers = |granted: &str, needed: &str| granted.parse::<Capability>().unwrap().covers(&needed.parse().unwrap());
        assert!(covers("kube-pvc-list", "kube-pvc-list@apps") && !covers("kube-pvc-list@apps", "kube-pvc-list"));
        assert!(covers("kube-pvc-patch@apps", "kube-pvc-patch@apps") && !covers("kube-pvc-patch@apps", "kube-pvc-patch@other"));
        assert!(!covers("kube-pvc-list", "kube-pvc-patch"));
        assert!(covers("prom-query@prom:80", "prom-query@prom") && !covers("prom-query@prom:9090", "prom-query@prom"));
        assert!(covers("fs:/etc:r", "fs:/etc/a:r") && !covers("fs:/etc:r", "fs:/etcetera:r"));
    }

    #[test]
    fn malformed_capabilities_say_what_to_write() {
        refused("", "fs:PATH:r");
        refused("net:example.org", "`net:example.org` is no capability");
        refused("kube-pvc-delete", "`kube-pvc-delete` is no capability");
        refused("kube-event-emit@apps", "is no capability");
        refused("fs:/etc", "ends in no right");
        refused("fs:/etc:rw", "actions");
        refused("fs::r", "has no path");
        refused("kube-pvc-list@", "`kube-pvc-list` for all");
        refused("kube-pvc-patch@*", "names no namespace");
        for host in
            ["prom-query", "prom-query@", "prom-query@*", "prom-query@a:99999", "prom-query@a/b", "prom-query@u:p@a:1", "prom-query@a?b:1"]
        {
            refused(host, "names no host");
        }
        refused("\u{1b}[2J", "\\u{1b}");
    }
}
