//! Asking Kubernetes: `k8s/list-pvcs` under `kube-pvc-list`, `k8s/patch-pvc` under `kube-pvc-patch`. Telling it: what a program emits of an
//! object becomes an Event of that object, under `kube-event-emit`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{Expression, Selector};
use kube::{Client, Config, ResourceExt as _};
use serde::Deserialize;
use tokio::sync::OnceCell;
use vigy_core::{ActionKey, AskError};
use vigy_lisp::Data;

use crate::Capability;

/// How long one question to the API server may take: 15 seconds.
pub const KUBE_TIMEOUT: Duration = Duration::from_secs(15);

/// The most claims that one `k8s/list-pvcs` answers: 10,000.
pub const MAX_CLAIMS: usize = 10_000;

/// Claims per page, so that no answer of the API server grows with the cluster.
const PAGE: u32 = 250;

/// The annotation that names the last write: by it a write that is sent again after a crash is known to have been done.
pub const LAST_WRITE: &str = "vigy.pleme.io/last-write";

/// The API server that this process is configured for: in a cluster by its service account, else by `$KUBECONFIG` or `~/.kube/config`.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<OnceCell<Client>>);

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

/// What `k8s/list-pvcs` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Claims {
    namespaces: Option<Vec<String>>,
    selector: Option<LabelSelector>,
    annotations: Option<Vec<String>>,
}

/// A label selector, as Kubernetes objects have them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LabelSelector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Option<BTreeSet<String>>,
}

#[derive(Debug, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// What `k8s/patch-pvc` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClaimPatch {
    namespace: String,
    name: String,
    resource_version: String,
    request: String,
    annotations: Option<BTreeMap<String, String>>,
}

/// What a program told of an object by `emit-event`.
#[derive(Debug, Deserialize)]
pub(crate) struct Emitted {
    event: String,
    details: Details,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Details {
    #[serde(default = "core_version")]
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

fn core_version() -> String {
    "v1".to_owned()
}

impl Emitted {
    /// The event of an action's payload; nothing when it is another action, or when the event is of no object.
    pub(crate) fn of(payload: &serde_json::Value) -> Option<Self> {
        Self::deserialize(payload).ok()
    }

    /// `pvc-expanded` as `PvcExpanded`, which is how Kubernetes writes reasons.
    fn reason(&self) -> String {
        let capitalised = |word: &str| {
            let mut chars = word.chars();
            chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect::<String>()
        };
        self.event.split('-').map(capitalised).collect()
    }

    /// The Event. Its name comes from the key, so that there is one however often the action is carried out.
    fn object(&self, key: ActionKey, vigy: &str, uid: Option<String>, now: jiff::Timestamp) -> Event {
        let Details { api_version, kind, namespace, name, rest } = &self.details;
        // Events of Kubernetes have whole seconds.
        let now = Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now));
        Event {
            metadata: ObjectMeta { name: Some(format!("vigy.{key}")), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            involved_object: ObjectReference {
                api_version: Some(api_version.clone()),
                kind: Some(kind.clone()),
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid,
                ..ObjectReference::default()
            },
            reason: Some(self.reason()),
            message: Some(serde_json::Value::Object(rest.clone()).to_string()),
            type_: Some(if self.event.ends_with("-failed") { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource { component: Some(vigy.to_owned()), host: None }),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        }
    }

    fn resource(&self) -> ApiResource {
        let Details { api_version, kind, .. } = &self.details;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }
}

impl Claims {
    /// The capabilities that it needs: one for each namespace, or the one for all.
    pub(crate) fn needs(&self) -> Vec<Capability> {
        match self.namespaces.as_deref().unwrap_or_default() {
            [] => vec![Capability::ListClaims(None)],
            namespaces => namespaces.iter().map(|namespace| Capability::ListClaims(Some(namespace.clone()))).collect(),
        }
    }
}

impl ClaimPatch {
    /// The capability that it needs.
    pub(crate) fn needs(&self) -> Capability {
        Capability::PatchClaims(Some(self.namespace.clone()))
    }

    /// The merge patch. It holds for the claim at that version only, and leaves the key of the write on it.
    fn body(&self, key: ActionKey) -> serde_json::Value {
        let mut annotations = self.annotations.clone().unwrap_or_default();
        annotations.insert(LAST_WRITE.to_owned(), key.to_string());
        serde_json::json!({
            "metadata": { "resourceVersion": self.resource_version, "annotations": annotations },
            "spec": { "resources": { "requests": { "storage": self.request } } },
        })
    }
}

impl Cluster {
    async fn client(&self) -> Result<Client, AskError> {
        let connect = async {
            let mut config = Config::infer().await.map_err(|error| unavailable(&error))?;
            // A program's next tick is the retry; and a write goes out once.
            config.default_retry = false;
            Client::try_from(config).map_err(|error| unavailable(&error))
        };
        self.0.get_or_try_init(|| connect).await.cloned()
    }

    /// The claims that are meant, by namespace and name.
    pub(crate) async fn claims(&self, claims: &Claims) -> Result<Data, AskError> {
        let mut params = ListParams::default().limit(PAGE);
        if let Some(selector) = &claims.selector {
            params = params.labels_from(&selector.parse()?);
        }
        let namespaces: BTreeSet<&str> = claims.namespaces.iter().flatten().map(String::as_str).collect();
        namespaces.iter().try_for_each(|namespace| check_name("namespace", namespace))?;
        in_time(async {
            let client = self.client().await?;
            let apis: Vec<Api<PersistentVolumeClaim>> = if namespaces.is_empty() {
                vec![Api::all(client)]
            } else {
                namespaces.into_iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
            };
            let wanted = claims.annotations.as_deref().unwrap_or_default();
            let mut found = Vec::new();
            for api in apis {
                list(&api, params.clone(), wanted, &mut found).await?;
            }
            Ok(Data::from(found))
        })
        .await
    }

    /// Patches a claim. Sent again with a key that is on the claim already, it is done already.
    pub(crate) async fn patch(&self, patch: &ClaimPatch, key: ActionKey) -> Result<Data, AskError> {
        check_name("namespace", &patch.namespace)?;
        check_name("claim", &patch.name)?;
        in_time(async {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client().await?, &patch.namespace);
            let patched = api.patch(&patch.name, &PatchParams::default(), &Patch::Merge(patch.body(key))).await;
            let version = match patched {
                Ok(claim) => claim.resource_version(),
                // The claim changed since it was seen; if it was by this very write, all is well.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    let now = api.get_metadata(&patch.name).await.map_err(|error| refused(&error))?;
                    if now.annotations().get(LAST_WRITE) != Some(&key.to_string()) {
                        return Err(AskError::new("conflict", format_args!("{}", status.message)));
                    }
                    now.resource_version()
                }
                Err(error) => return Err(refused(&error)),
            };
            Ok(Data::map([("resource-version", version.map_or(Data::Nil, Data::from))]))
        })
        .await
    }
}

impl Cluster {
    /// Makes an Event of what a program told. One that is there already was made by this very action.
    pub(crate) async fn emit(&self, emitted: &Emitted, key: ActionKey, vigy: &str) -> Result<(), AskError> {
        let Details { namespace, name, .. } = &emitted.details;
        check_name("namespace", namespace)?;
        check_name("object", name)?;
        in_time(async {
            let client = self.client().await?;
            // By its uid, `kubectl describe` finds the Event; without the right to look, there is an Event all the same.
            let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &emitted.resource());
            let uid = objects.get_metadata(name).await.ok().and_then(|object| object.uid());
            let event = emitted.object(key, vigy, uid, jiff::Timestamp::now());
            match Api::<Event>::namespaced(client, namespace).create(&PostParams::default(), &event).await {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                created => created.map(|_| ()).map_err(|error| refused(&error)),
            }
        })
        .await
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, AskError>>) -> Result<T, AskError> {
    let late = |_| AskError::new("timeout", format_args!("the API server did not answer within {KUBE_TIMEOUT:?}"));
    tokio::time::timeout(KUBE_TIMEOUT, asked).await.map_err(late)?
}

async fn list(
    api: &Api<PersistentVolumeClaim>,
    mut params: ListParams,
    annotations: &[String],
    found: &mut Vec<Data>,
) -> Result<(), AskError> {
    loop {
        let page = api.list(&params).await.map_err(|error| refused(&error))?;
        found.extend(page.items.iter().map(|claim| row(claim, annotations)));
        if found.len() > MAX_CLAIMS {
            return Err(AskError::new("too-large", format_args!("there are more than {MAX_CLAIMS} claims: select fewer")));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// A claim, as little of it as programs need.
fn row(claim: &PersistentVolumeClaim, annotations: &[String]) -> Data {
    let text = |text: Option<&str>| text.map_or(Data::Nil, Data::from);
    let request = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let status = claim.status.as_ref();
    let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
    let present =
        annotations.iter().filter_map(|name| Some((Data::Keyword(name.clone()), Data::from(claim.annotations().get(name)?.as_str()))));
    Data::map([
        ("namespace", text(claim.metadata.namespace.as_deref())),
        ("name", text(claim.metadata.name.as_deref())),
        ("resource-version", text(claim.metadata.resource_version.as_deref())),
        ("phase", text(status.and_then(|status| status.phase.as_deref()))),
        ("request", text(request.map(|quantity| quantity.0.as_str()))),
        ("capacity", text(capacity.map(|quantity| quantity.0.as_str()))),
        ("annotations", Data::Map(present.collect())),
    ])
}

impl LabelSelector {
    /// The selector as the API takes it. Keys and values are checked: what they hold must not become a part of its syntax.
    fn parse(&self) -> Result<Selector, AskError> {
        let labels = self.match_labels.iter().flatten().map(|(key, value)| {
            check_label(key, value)?;
            Ok(Expression::Equal(key.clone(), value.clone()))
        });
        let requirements = self.match_expressions.iter().flatten().map(Requirement::parse);
        let expressions = labels.chain(requirements).collect::<Result<Vec<_>, AskError>>()?;
        Ok(expressions.into_iter().collect())
    }
}

impl Requirement {
    fn parse(&self) -> Result<Expression, AskError> {
        let Self { key, operator, values } = self;
        let values = values.clone().unwrap_or_default();
        check_label(key, "")?;
        values.iter().try_for_each(|value| check_label(key, value))?;
        if matches!(operator, Operator::In | Operator::NotIn) == values.is_empty() {
            let problem = "In and NotIn have values, Exists and DoesNotExist have none";
            return Err(AskError::new("invalid", format_args!("the selector's expression for {key}: {problem}")));
        }
        Ok(match operator {
            Operator::In => Expression::In(key.clone(), values),
            Operator::NotIn => Expression::NotIn(key.clone(), values),
            Operator::Exists => Expression::Exists(key.clone()),
            Operator::DoesNotExist => Expression::DoesNotExist(key.clone()),
        })
    }
}

fn check_label(key: &str, value: &str) -> Result<(), AskError> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_key = !key.is_empty() && key.len() <= 317 && key.bytes().all(|byte| inner(byte) || byte == b'/');
    if is_key && value.len() <= 63 && value.bytes().all(inner) {
        return Ok(());
    }
    Err(AskError::new("invalid", format_args!("no label is {}={}", key.escape_debug(), value.escape_debug())))
}

/// A name becomes a part of a URL's path.
fn check_name(what: &str, name: &str) -> Result<(), AskError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if (1..=253).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('.') {
        return Ok(());
    }
    Err(AskError::new("invalid", format_args!("no {what} is named `{}`", name.escape_debug())))
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> AskError {
    AskError::new("unavailable", format_args!("there is no API server to ask: {}", crate::handler::root_cause(error)))
}

/// The error under the tag that programs know it by.
fn refused(error: &kube::Error) -> AskError {
    let kube::Error::Api(status) = error else { return unavailable(error) };
    let tag = match status.code {
        401 | 403 => "forbidden",
        404 => "not-found",
        409 => "conflict",
        400 | 422 => "invalid",
        429 | 500.. => "unavailable",
        _ => "failed",
    };
    AskError::new(tag, format_args!("{}", status.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        serde_json::from_str(json).unwrap()
    }

    /// The selector as the API gets it.
    fn selector(json: &str) -> Result<String, String> {
        let selector = claims(&format!("{{\"selector\":{json}}}")).selector.unwrap().parse();
        selector.map(|selector| selector.to_string()).map_err(|error| error.message.to_string())
    }

    #[test]
    fn selectors_are_what_kubernetes_means_by_them() {
        assert_eq!(selector(r#"{"matchLabels":{"breathable":"true"}}"#).unwrap(), "breathable=true");
        let expressions = r#"[{"key":"a","operator":"In","values":["x","y"]},{"key":"b","operator":"DoesNotExist"}]"#;
        assert_eq!(selector(&format!(r#"{{"matchExpressions":{expressions}}}"#)).unwrap(), "a in (x,y),!b");
        assert_eq!(selector("{}").unwrap(), "");
    }

    #[test]
    fn a_selector_cannot_be_talked_into_another() {
        assert!(selector(r#"{"matchLabels":{"a":"b,c=d"}}"#).unwrap_err().contains("no label is a=b,c=d"));
        assert!(selector(r#"{"matchLabels":{"a)":"b"}}"#).is_err());
        assert!(
            selector(r#"{"matchExpressions":[{"key":"a","operator":"In","values":[]}]}"#).unwrap_err().contains("In and NotIn have values")
        );
        assert!(selector(r#"{"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}"#).is_err());
        assert!(serde_json::from_str::<Claims>(r#"{"selector":{"matchlabels":{}}}"#).is_err());
        assert!(serde_json::from_str::<Claims>(r#"{"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}}"#).is_err());
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        for name in ["", "..", "a/b", "a?b", "A", "a%2f"] {
            assert!(check_name("claim", name).is_err(), "{name}");
        }
        assert!(check_name("claim", "data-0.x").is_ok());
    }

    #[test]
    fn listing_needs_the_capability_for_each_namespace_or_for_all() {
        let needs = |json| claims(json).needs().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(needs("{}"), ["kube-pvc-list"]);
        assert_eq!(needs(r#"{"namespaces":["a","b"]}"#), ["kube-pvc-list@a", "kube-pvc-list@b"]);
    }

    #[test]
    fn a_patch_carries_size_annotation_version_and_key_at_once() {
        let patch = r#"{"namespace":"a","name":"b","resource-version":"7","request":"38Gi","annotations":{"x":"1","vigy.pleme.io/last-write":"forged"}}"#;
        let patch: ClaimPatch = serde_json::from_str(patch).unwrap();
        let expected = serde_json::json!({
            "metadata": { "resourceVersion": "7", "annotations": { "vigy.pleme.io/last-write": "0000000000000007-3-1", "x": "1" } },
            "spec": { "resources": { "requests": { "storage": "38Gi" } } },
        });
        let run = "0000000000000007-3".parse().unwrap();
        assert_eq!(patch.body(ActionKey { run, index: 1 }), expected);
        assert_eq!(patch.needs().to_string(), "kube-pvc-patch@a");
    }

    #[test]
    fn what_is_told_of_an_object_becomes_an_event_of_it() {
        let payload = |details| serde_json::json!({ "event": "pvc-expansion-failed", "details": details });
        let told = serde_json::json!({ "kind": "PersistentVolumeClaim", "namespace": "a", "name": "b", "reason": "conflict" });
        let emitted = Emitted::of(&payload(told)).unwrap();
        let key = ActionKey { run: "0000000000000007-3".parse().unwrap(), index: 1 };
        let event = serde_json::to_value(emitted.object(key, "grow", None, "2026-01-01T00:00:00.5Z".parse().unwrap())).unwrap();
        assert_eq!(event["metadata"], serde_json::json!({ "name": "vigy.0000000000000007-3-1", "namespace": "a" }));
        let object = serde_json::json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "b", "namespace": "a" });
        assert_eq!((&event["involvedObject"], &event["reason"]), (&object, &serde_json::json!("PvcExpansionFailed")));
        assert_eq!((&event["type"], &event["lastTimestamp"]), (&serde_json::json!("Warning"), &serde_json::json!("2026-01-01T00:00:00Z")));
        assert_eq!(event["message"], serde_json::json!(r#"{"reason":"conflict"}"#));
        assert_eq!(emitted.resource().plural, "persistentvolumeclaims");
        // Of no object.
        assert!(Emitted::of(&payload(serde_json::json!({ "scanned": 3 }))).is_none());
    }

    #[test]
    fn a_claim_becomes_a_small_map() {
        let claim = serde_json::json!({
            "metadata": { "namespace": "a", "name": "b", "resourceVersion": "7", "annotations": { "seen": "1", "other": "2" } },
            "spec": { "resources": { "requests": { "storage": "30Gi" } } },
            "status": { "phase": "Bound", "capacity": { "storage": "20Gi" } },
        });
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        let row = row(&claim, &["seen".to_owned(), "missing".to_owned()]);
        let expected = r#"{"namespace":"a","name":"b","resource-version":"7","phase":"Bound","request":"30Gi","capacity":"20Gi","annotations":{"seen":"1"}}"#;
        assert_eq!(crate::json::show(&row).to_string(), expected);
        assert_eq!(super::row(&PersistentVolumeClaim::default(), &[]).get(":request"), Some(&Data::Nil));
    }
}
