//! `vigy up`: a ComputeUnit's program on recorded answers, and on servers that this test plays.

mod common;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use common::{Home, PATIENCE, lines, signal};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A home with the pvc-autoresizer in it.
fn home() -> Home {
    let home = Home::new();
    home.file("main.tlisp", include_str!("../programs/pvc-autoresizer/main.tlisp"));
    home.file("computeunit.yaml", include_str!("../programs/pvc-autoresizer/computeunit.yaml"));
    home.file("answers.jsonl", &answers());
    home
}

fn claim() -> Value {
    json!({"namespace": "apps", "name": "data", "resource-version": "7", "phase": "Bound", "request": "30Gi", "capacity": "30Gi", "annotations": {}})
}

/// One claim that is full.
fn answers() -> String {
    let sample = |value| json!([{"labels": {"namespace": "apps", "persistentvolumeclaim": "data"}, "value": value}]);
    let answers =
        [("k8s/list-pvcs", json!([claim()])), ("prom/query", sample(90)), ("prom/query", sample(100)), ("k8s/patch-pvc", json!({}))];
    answers.iter().map(|(ask, answer)| format!("{}\n", json!({"ask": ask, "answer": answer}))).collect()
}

const UP: [&str; 4] = ["up", "computeunit.yaml", "--once", "--answers"];

/// The kinds of the events of a run.
fn events(run: &Value) -> Vec<&str> {
    run["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

const GROWN: [&str; 2] = ["pvc-expanded", "pvc-autoresizer-summary"];

#[test]
fn a_unit_runs_once_on_recorded_answers_natively_and_as_a_module() {
    for engine in ["native", "wasmi"] {
        let home = home();
        let run = home.json(&[&UP[..], &["answers.jsonl", "--engine", engine]].concat());
        assert_eq!((run["result"].as_str(), events(&run)), (Some("ok"), GROWN.to_vec()), "{engine}");
        // It is registered, with its namespace, its configuration, and the run.
        let vigy = home.json(&["inspect", "pvc-autoresizer"]);
        assert_eq!(
            (&vigy["labels"]["namespace"], &vigy["config"]["maxSize"], &vigy["ticks"]),
            (&json!("tatara-system"), &json!("100Gi"), &json!(1))
        );
        assert_eq!(vigy["enabled"], json!(false), "its trigger is not an interval");
        let again = home.does(&[&UP[..], &["answers.jsonl", "--engine", engine]].concat());
        assert!(again.starts_with("unchanged pvc-autoresizer") && again.contains("tick 2"), "{again}");
    }
}

#[test]
fn a_unit_is_configured_and_limited() {
    let home = home();
    let unit = include_str!("../programs/pvc-autoresizer/computeunit.yaml");
    home.file("computeunit.yaml", &format!("{}  limits: {{memory: 1MiB, fuel: 50000}}\n", unit.replace("dryRun: false", "dryRun: true")));
    let run = home.json(&[&UP[..], &["answers.jsonl"]].concat());
    assert_eq!(events(&run), ["pvc-expansion-dry-run", "pvc-autoresizer-summary"]);
    assert_eq!(home.json(&["inspect", "pvc"])["limits"], json!({"fuel": 50_000, "heap_bytes": 1 << 20}));

    home.file("computeunit.yaml", &unit.replace("expandFactor: 1.25", "expandFactor: 1"));
    let ran = home.vigy(&[&UP[..], &["answers.jsonl"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.out.contains("config.expandFactor: it must be above 1"), "{ran:#?}");
}

#[test]
fn what_the_recorded_answers_do_not_hold_is_refused() {
    let home = home();
    home.file("answers.jsonl", "");
    let ran = home.vigy(&[&UP[..], &["answers.jsonl"]].concat());
    assert!(ran.code == Some(1) && ran.out.contains("not-recorded: no recorded answer for k8s/list-pvcs"), "{ran:#?}");
    home.file("answers.jsonl", "\n{\"ask\": 1}\n");
    home.refuses(&[&UP[..], &["answers.jsonl"]].concat(), 2, &["line 2 is no recorded answer"]);
    home.file("answers.jsonl", r#"{"ask": "k8s/list-pvcs", "refused": {"tag": "tired"}}"#);
    home.refuses(&[&UP[..], &["answers.jsonl"]].concat(), 2, &["line 1: no ask is refused as `tired`"]);
}

#[test]
fn t9_a_unit_without_the_capability_is_not_registered_and_nothing_is_asked() {
    for (capability, operation) in [("kube-pvc-patch", "k8s/patch-pvc"), ("kube-pvc-list", "k8s/list-pvcs")] {
        let home = home();
        let unit = include_str!("../programs/pvc-autoresizer/computeunit.yaml").replace(&format!("    - {capability}\n"), "");
        home.file("computeunit.yaml", &unit);
        home.refuses(&[&UP[..], &["answers.jsonl"]].concat(), 2, &[operation, &format!("needs the capability `{capability}`")]);
        assert_eq!(home.json(&["list"]), json!([]));
    }
    // Granted for another server: the query is denied, and without numbers nothing is done.
    let home = home();
    home.file(
        "computeunit.yaml",
        &include_str!("../programs/pvc-autoresizer/computeunit.yaml").replace("prom-query@vmsingle-vm", "prom-query@other"),
    );
    let run = home.json(&[&UP[..], &["answers.jsonl"]].concat());
    assert_eq!(events(&run)[0], "pvc-metrics-missing");
    let warning = run["logs"][0]["message"].as_str().unwrap();
    assert!(warning.contains("needs the capability `prom-query@vmsingle-vm.monitoring.svc:8429`"), "{warning}");
}

#[test]
fn a_unit_that_is_wrong_is_named_with_its_field() {
    let home = home();
    let unit = include_str!("../programs/pvc-autoresizer/computeunit.yaml");
    let refused = |from: &str, to: &str, words: &[&str]| {
        home.file("computeunit.yaml", &unit.replace(from, to));
        home.refuses(&["up", "computeunit.yaml", "--once"], 2, words);
    };
    refused("cron: \"*/5 * * * *\"", "cron: sometimes", &["computeunit.yaml", "spec.trigger.cron", "`sometimes` is no schedule"]);
    refused("cron: \"*/5 * * * *\"", "service: {port: 80}", &["spec.trigger.service", "cron and oneShot"]);
    refused("- kube-pvc-list", "- kube-everything", &["spec.capabilities[0]", "`kube-everything` is no capability"]);
    refused("source: main.tlisp", "source: other.tlisp", &["cannot read the program", "other.tlisp"]);
    home.refuses(&["up", "nothing.yaml"], 2, &["cannot read the ComputeUnit nothing.yaml"]);
}

#[test]
fn a_daemon_runs_a_unit_too() {
    let home = Home::new();
    home.hello();
    let head = "apiVersion: wasm.pleme.io/v1alpha1\nkind: ComputeUnit\nmetadata: {name: hello}\n";
    home.file(
        "computeunit.yaml",
        &format!("{head}spec: {{module: {{source: hello.tlisp}}, trigger: {{oneShot: {{}}}}, config: {{a: 1}}}}\n"),
    );
    let daemon = home.serve(&[]);
    let run = home.json(&["up", "computeunit.yaml"]);
    assert_eq!(run["logs"][0]["message"], json!("hello from a vigy"));
    assert!(home.does(&["inspect", "hello"]).contains("config       a = 1"));
    // It has the store: other answers or another engine cannot have it at the same time.
    home.refuses(&["up", "computeunit.yaml", "--engine", "wasmi"], 4, &["vigy.redb"]);
    assert!(daemon.stop().success());
}

#[test]
fn a_one_shot_runs_once_and_a_schedule_until_it_is_stopped() {
    let home = home();
    let unit = include_str!("../programs/pvc-autoresizer/computeunit.yaml");
    home.file("computeunit.yaml", &unit.replace("cron: \"*/5 * * * *\"", "oneShot: {}"));
    let run = home.json(&["up", "computeunit.yaml", "--answers", "answers.jsonl"]);
    assert_eq!(events(&run), GROWN);

    home.file("computeunit.yaml", &unit.replace("*/5 * * * *", "@yearly"));
    let mut child = home.command(&["up", "computeunit.yaml", "--answers", "answers.jsonl"]).stdout(Stdio::piped()).spawn().unwrap();
    let said = lines(child.stdout.take().unwrap());
    assert!(said.recv_timeout(PATIENCE).unwrap().starts_with("updated pvc-autoresizer"));
    let next = said.recv_timeout(PATIENCE).unwrap();
    assert!(next.starts_with("next run ") && next.ends_with("-01-01T00:00:00.000Z"), "{next}");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// ---- Servers -----------------------------------------------------------------------------------------------------------------------

/// What the API server has, and what it was told: one claim.
#[derive(Default)]
struct Cluster {
    claim: Value,
    /// Keys of the patches that arrived, and what each was answered with.
    patches: Vec<(String, u16)>,
    /// The Events that were made.
    events: Vec<Value>,
    /// How many patches are carried out and never answered.
    swallowed: usize,
}

type Shared = Arc<Mutex<Cluster>>;

/// A Kubernetes API and a Prometheus, over plain HTTP.
async fn serve(State(cluster): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    if parts.uri.path() == "/api/v1/query" {
        let value = if parts.uri.query().unwrap().contains("used_bytes") { "90" } else { "100" };
        let labels = json!({"namespace": "apps", "persistentvolumeclaim": "data"});
        return json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": labels, "value": [0, value]}]}})
            .to_string()
            .into_response();
    }
    let answer = {
        let mut cluster = cluster.lock().unwrap();
        match (parts.method, parts.uri.path()) {
            (Method::GET, "/api/v1/persistentvolumeclaims") => {
                assert!(parts.uri.query().unwrap().contains("labelSelector=breathable%3Dtrue"), "{}", parts.uri);
                Some((
                    StatusCode::OK,
                    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaimList", "metadata": {}, "items": [cluster.claim]}),
                ))
            }
            (Method::GET, "/api/v1/namespaces/apps/persistentvolumeclaims/data") => Some((StatusCode::OK, cluster.claim.clone())),
            (Method::PATCH, "/api/v1/namespaces/apps/persistentvolumeclaims/data") => {
                patch(&mut cluster, &serde_json::from_slice(&body).unwrap())
            }
            (Method::POST, "/api/v1/namespaces/apps/events") => {
                let event: Value = serde_json::from_slice(&body).unwrap();
                cluster.events.push(event.clone());
                Some((StatusCode::CREATED, event))
            }
            (method, path) => Some((StatusCode::NOT_FOUND, status(404, &format!("{method} {path}")))),
        }
    };
    match answer {
        Some((code, body)) => (code, body.to_string()).into_response(),
        None => std::future::pending().await,
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": message, "code": code})
}

/// As the API server patches: at that version only, and then the claim has another one.
fn patch(cluster: &mut Cluster, patch: &Value) -> Option<(StatusCode, Value)> {
    let key = patch["metadata"]["annotations"]["vigy.pleme.io/last-write"].as_str().unwrap().to_owned();
    if patch["metadata"]["resourceVersion"] != cluster.claim["metadata"]["resourceVersion"] {
        cluster.patches.push((key, 409));
        return Some((StatusCode::CONFLICT, status(409, "the object has been modified")));
    }
    cluster.patches.push((key, 200));
    cluster.claim["metadata"]["annotations"] = patch["metadata"]["annotations"].clone();
    cluster.claim["metadata"]["resourceVersion"] = json!("8");
    cluster.claim["spec"] = patch["spec"].clone();
    if cluster.swallowed > 0 {
        cluster.swallowed -= 1;
        return None;
    }
    Some((StatusCode::OK, cluster.claim.clone()))
}

/// Both servers, and a home whose unit and kubeconfig mean them.
async fn cluster(swallowed: usize) -> (Home, Shared) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "apps", "name": "data", "resourceVersion": "7", "uid": "0-1"},
        "spec": {"resources": {"requests": {"storage": "30Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "30Gi"}},
    });
    let shared = Shared::new(Mutex::new(Cluster { claim, swallowed, ..Cluster::default() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(serve).with_state(shared.clone());
    tokio::spawn(axum::serve(listener, router).into_future());

    let home = home();
    let unit =
        include_str!("../programs/pvc-autoresizer/computeunit.yaml").replace("vmsingle-vm.monitoring.svc:8429", &address.to_string());
    home.file("computeunit.yaml", &unit);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    });
    home.file("kubeconfig", &kubeconfig.to_string());
    (home, shared)
}

/// The command that runs the unit once against the servers.
fn up_once(home: &Home) -> std::process::Command {
    let mut command = home.command(&["up", "computeunit.yaml", "--once", "--json"]);
    command.env("KUBECONFIG", home.path("kubeconfig")).stdout(Stdio::piped());
    command
}

async fn run(home: &Home) -> Value {
    let mut command = up_once(home);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_grows_once_and_then_is_in_its_cooldown() {
    let (home, cluster) = cluster(0).await;
    assert_eq!(events(&run(&home).await), GROWN);
    assert_eq!(cluster.lock().unwrap().claim["spec"]["resources"]["requests"]["storage"], "38Gi");
    assert_eq!(events(&run(&home).await)[0], "pvc-in-cooldown");
    assert_eq!(cluster.lock().unwrap().patches.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_a_claim_is_an_event_of_it() {
    let (home, cluster) = cluster(0).await;
    let ran = run(&home).await;
    let results: Vec<_> = ran["actions"].as_array().unwrap().iter().map(|action| &action["result"]).collect();
    assert_eq!(results, ["ok", "ok"], "{ran}");
    let events = cluster.lock().unwrap().events.clone();
    let [event] = &events[..] else { panic!("the summary is of no object: {events:?}") };
    assert_eq!((&event["reason"], &event["involvedObject"]["uid"]), (&json!("PvcExpanded"), &json!("0-1")));
    assert_eq!(event["message"], json!(r#"{"from":"30Gi","to":"38Gi"}"#));
    assert_eq!(event["metadata"]["name"], json!(format!("vigy.{}-0", ran["id"].as_str().unwrap())));
}

/// A run that is killed between a patch and its answer goes on when it is started again: the patch goes out once more, under its key,
/// and is known to be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_goes_on_under_the_same_key() {
    let (home, cluster) = cluster(1).await;
    let mut child = up_once(&home).spawn().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while cluster.lock().unwrap().patches.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the patch arrives");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let resumed = run(&home).await;
    assert_eq!((events(&resumed), &resumed["tick"]), (GROWN.to_vec(), &json!(1)));
    let patches = cluster.lock().unwrap().patches.clone();
    let [(first, 200), (second, 409)] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!(first, second);
}
