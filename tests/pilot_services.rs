//! pvc-autoresizer against a real API server and a real Prometheus, as its operator runs it: `vigy up FILE --once`.

mod common;
mod services;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Home, Ran};
use serde_json::{Value, json};
use services::{Claim, FIXED, Hold, KEY, Process, Proxy, Services, User, free_port, services};

const SUITE: &str = "pvc-autoresizer against real services";
const LAST_EXPANSION: &str = "pleme.pleme.io/last-expansion-epoch";

// ---- the claims, and what is to become of them -----------------------------------------------------------------------------------

/// What a run makes of a claim.
#[derive(Clone, Copy)]
enum Fate {
    /// It asks for this much afterwards.
    Grows(&'static str),
    /// It stays, and this event says why.
    Stays(&'static str),
    /// It stays, and there is nothing to say.
    Rests,
}
use Fate::{Grows, Rests, Stays};

/// So many seconds from now.
fn epoch(seconds: i64) -> String {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed() + seconds).to_string()
}

/// Twenty claims: trigger at 0.8, factor 1.25, ceiling 100Gi, cooldown 600 s.
fn twenty() -> Vec<(Claim, Fate)> {
    let of = |name, request| Claim::of(name, request).used(900_000);
    vec![
        (of("nearly-empty", "30Gi").used(100_000), Rests),
        (of("just-below", "30Gi").used(799_999), Rests),
        (of("just-there", "30Gi").used(800_000), Grows("38Gi")),
        (of("over-full", "4Gi").used(1_100_000), Grows("5Gi")),
        (of("a-byte-over", "1073741825"), Grows("2Gi")),
        (of("decimal", "10G"), Grows("12Gi")),
        (of("up-to-the-ceiling", "80Gi"), Grows("100Gi")),
        (of("beyond-the-ceiling", "81Gi"), Stays("pvc-at-ceiling")),
        (of("grown-a-minute-ago", "30Gi").annotation(LAST_EXPANSION, &epoch(-60)), Stays("pvc-in-cooldown")),
        (of("grown-by-a-fast-clock", "30Gi").annotation(LAST_EXPANSION, &epoch(300)), Stays("pvc-in-cooldown")),
        (of("grown-an-hour-ago", "30Gi").annotation(LAST_EXPANSION, &epoch(-3600)), Grows("38Gi")),
        (of("grown-in-the-future", "30Gi").annotation(LAST_EXPANSION, &epoch(3600)), Grows("38Gi")),
        (of("grown-yesterday", "30Gi").annotation(LAST_EXPANSION, "yesterday"), Grows("38Gi")),
        (Claim::of("unknown", "30Gi"), Stays("pvc-metrics-missing")),
        (of("not-a-number", "30Gi").volume("NaN", "1000000"), Stays("pvc-metrics-missing")),
        (of("no-capacity", "30Gi").volume("0", "0"), Stays("pvc-metrics-missing")),
        (of("boundless", "30Gi").volume("1000000", "+Inf"), Stays("pvc-metrics-missing")),
        (of("growing-already", "38Gi").capacity("30Gi"), Stays("pvc-resize-in-progress")),
        (of("pending", "30Gi").pending(), Stays("pvc-not-bound")),
        (of("not-selected", "30Gi").label("breathable", "false"), Rests),
    ]
}

// ---- a cluster, and vigy before it -----------------------------------------------------------------------------------------------

/// A namespace with claims, and `vigy` with a home, a ComputeUnit and a proxy to ask it through.
struct Scene {
    services: Arc<Services>,
    namespace: String,
    home: Home,
    proxy: Proxy,
    claims: Vec<(Claim, Fate)>,
    engine: &'static str,
    /// The port of the Prometheus that it asks.
    prometheus: u16,
}

impl Scene {
    fn with(engine: &'static str, user: User, claims: Vec<(Claim, Fate)>) -> Option<Self> {
        let services = services(SUITE)?;
        let namespace = services.namespace("pilot");
        for (claim, _) in &claims {
            services.put(&namespace, &claim.clone().unless_labelled("breathable", "true"));
        }
        services.prometheus.catches_up(&namespace);
        let home = Home::new();
        let proxy = Proxy::before(&services.kube, user);
        home.file("kubeconfig", &proxy.kubeconfig());
        let prometheus = services.prometheus.port;
        let scene = Self { services, namespace, home, proxy, claims, engine, prometheus };
        scene.configure(json!({}));
        Some(scene)
    }

    /// Writes the ComputeUnit, with these fields of its configuration beside what every test has.
    fn configure(&self, config: Value) {
        self.computeunit(config, &["kube-pvc-list", "kube-pvc-patch"]);
    }

    /// The same, with these capabilities beside the one for Prometheus.
    fn computeunit(&self, config: Value, capabilities: &[&str]) {
        let query = format!("prom-query@127.0.0.1:{}", self.prometheus);
        let capabilities = [capabilities, &[&query]].concat();
        let mut all = json!({
            "prometheusUrl": format!("http://127.0.0.1:{}", self.prometheus),
            "namespaces": [self.namespace],
        });
        for (key, value) in config.as_object().expect("a map") {
            all[key] = value.clone();
        }
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/pvc-autoresizer/main.tlisp");
        let unit = json!({
            "apiVersion": "wasm.pleme.io/v1alpha1",
            "kind": "ComputeUnit",
            "metadata": {"name": "pvc-autoresizer", "namespace": "tatara-system"},
            "spec": {
                "module": {"source": format!("file:{program}")},
                "trigger": {"cron": "*/5 * * * *"},
                "capabilities": capabilities,
                "config": all,
            },
        });
        // JSON is YAML.
        self.home.file("computeunit.yaml", &unit.to_string());
    }

    fn command(&self) -> Command {
        let file = self.home.path("computeunit.yaml").display().to_string();
        let mut command = self.home.command(&["up", &file, "--once", "--json", "--engine", self.engine]);
        command.env("KUBECONFIG", self.home.path("kubeconfig"));
        command
    }

    /// Runs it to its end.
    #[track_caller]
    fn vigy(&self) -> Ran {
        Ran::of(&mut self.command())
    }

    /// Runs it, and it ends well.
    #[track_caller]
    fn up(&self) -> Run {
        let ran = self.vigy();
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        Run(serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:#?}")))
    }

    fn start(&self) -> Child {
        self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn size(&self, claim: &Claim) -> String {
        self.services.kube.size(&self.namespace, &claim.name)
    }

    /// The claims that grow, and to what.
    fn growing(&self) -> BTreeMap<String, String> {
        let grows =
            |(claim, fate): &(Claim, Fate)| if let Grows(size) = fate { Some((claim.name.clone(), (*size).to_owned())) } else { None };
        self.claims.iter().filter_map(grows).collect()
    }

    /// Every claim has the size it should have.
    #[track_caller]
    fn sizes_are_right(&self) {
        for (claim, fate) in &self.claims {
            let expected = if let Grows(size) = fate { size } else { claim.request.as_str() };
            assert_eq!(self.size(claim), expected, "{}", claim.name);
        }
    }

    /// Each claim that grows was patched once, each under a key of its own; nothing else was written.
    #[track_caller]
    fn each_grew_by_one_write(&self) {
        let writes = self.proxy.writes();
        let sizes: BTreeMap<_, _> = writes.iter().map(|write| (write.name().to_owned(), write.size().to_owned())).collect();
        assert_eq!(sizes, self.growing());
        assert_eq!(writes.len(), sizes.len(), "{writes:#?}");
        assert!(writes.iter().all(|write| write.method == "PATCH" && write.status == Some(200)), "{writes:#?}");
        let keys: std::collections::BTreeSet<_> = writes.iter().map(|write| write.key().expect("a write has a key")).collect();
        assert_eq!(keys.len(), writes.len(), "{writes:#?}");
    }
}

/// What `vigy up --once --json` says of a run.
struct Run(Value);

impl Run {
    /// The kinds of the events about a claim.
    fn events(&self, name: &str) -> Vec<&str> {
        let about = format!(":name \"{name}\"");
        let events = self.0["events"].as_array().expect("a run has events").iter();
        events
            .filter(|event| event["message"].as_str().is_some_and(|text| text.contains(&about)))
            .filter_map(|event| event["kind"].as_str())
            .collect()
    }

    /// Each claim has the events it should have.
    #[track_caller]
    fn tells(&self, claims: &[(Claim, Fate)]) {
        for (claim, fate) in claims {
            let expected = match fate {
                Grows(_) => &["pvc-expanded"][..],
                Stays(event) => &[*event],
                Rests => &[],
            };
            assert_eq!(self.events(&claim.name), expected, "{}: {:#}", claim.name, self.0);
        }
    }

    /// The event at the end, as the program writes it.
    fn summary(&self) -> &str {
        let events = self.0["events"].as_array().expect("a run has events");
        events
            .last()
            .filter(|event| event["kind"] == "pvc-autoresizer-summary")
            .and_then(|event| event["message"].as_str())
            .expect("a summary")
    }
}

// ---- what must hold in every engine ----------------------------------------------------------------------------------------------

fn the_right_claims_grow_once(engine: &'static str) {
    let Some(scene) = Scene::with(engine, User::Resizer, twenty()) else { return };
    // Of another namespace, though the selector means it.
    let elsewhere = scene.services.namespace("elsewhere");
    scene.services.put(&elsewhere, &Claim::of("elsewhere", "30Gi").used(900_000).label("breathable", "true"));
    scene.services.prometheus.catches_up(&elsewhere);

    let run = scene.up();
    run.tells(&scene.claims);
    assert_eq!(run.summary(), "{:scanned 19, :expanded 8, :skipped_cooldown 2, :at_ceiling 1}");
    scene.sizes_are_right();
    assert_eq!(scene.services.kube.size(&elsewhere, "elsewhere"), "30Gi");
    scene.each_grew_by_one_write();

    // What has just grown is in its cooldown.
    let run = scene.up();
    assert_eq!(run.summary(), "{:scanned 19, :expanded 0, :skipped_cooldown 10, :at_ceiling 1}");
    assert_eq!(scene.proxy.writes(), []);
}

/// Killed when the third patch is under way.
fn killed_between_a_patch_and_its_answer(engine: &'static str, hold: Hold) {
    let Some(scene) = Scene::with(engine, User::Resizer, twenty()) else { return };
    let held = scene.proxy.hold(3, hold);
    let mut vigy = scene.start();
    held.wait(&mut vigy);
    vigy.kill().unwrap();
    vigy.wait().unwrap();
    let before = scene.proxy.writes();
    assert_eq!(before.len(), 3);

    // That patch goes out again, to the byte; those answered before do not.
    scene.up();
    let after = scene.proxy.writes();
    let sent = |write: &services::Write| (write.path.clone(), write.body.clone());
    assert_eq!(sent(&before[2]), sent(&after[0]));
    let status = match hold {
        Hold::Answer => 409, // It was carried out: the claim is not as it was seen. The key on it tells why.
        Hold::Request => 200,
    };
    assert_eq!(after[0].status, Some(status));
    let once: BTreeMap<_, _> = before.iter().chain(&after[1..]).map(|write| (write.name().to_owned(), write.size().to_owned())).collect();
    assert_eq!(once, scene.growing());
    assert_eq!(before.len() + after.len() - 1, once.len(), "{after:#?}");
    scene.sizes_are_right();
    assert_eq!(scene.services.kube.claim_now(&scene.namespace, before[2].name())["metadata"]["annotations"][KEY].as_str(), before[2].key());

    scene.up();
    assert_eq!(scene.proxy.writes(), []);
}

fn killed_before_the_server_hears_of_a_patch(engine: &'static str) {
    killed_between_a_patch_and_its_answer(engine, Hold::Request);
}

fn killed_before_the_client_hears_of_it(engine: &'static str) {
    killed_between_a_patch_and_its_answer(engine, Hold::Answer);
}

fn without_prometheus_nothing_is_written(engine: &'static str) {
    let Some(mut scene) = Scene::with(engine, User::Resizer, twenty()) else { return };
    scene.prometheus = free_port();
    scene.configure(json!({}));
    let run = scene.up();
    for (claim, _) in scene.claims.iter().filter(|(claim, _)| claim.name != "not-selected") {
        assert_eq!(run.events(&claim.name), ["pvc-metrics-missing"], "{}", claim.name);
    }
    assert_eq!(scene.proxy.writes(), []);
}

macro_rules! in_every_engine {
    ($($test:ident)*) => {
        mod native { $(#[test] fn $test() { super::$test("native"); })* }
        mod wasmi { $(#[test] fn $test() { super::$test("wasmi"); })* }
        #[cfg(feature = "wasm3")]
        mod wasm3 { $(#[test] fn $test() { super::$test("wasm3"); })* }
    };
}

in_every_engine! {
    the_right_claims_grow_once
    killed_before_the_server_hears_of_a_patch
    killed_before_the_client_hears_of_it
    without_prometheus_nothing_is_written
}

// ---- what a cluster does to an operator ------------------------------------------------------------------------------------------

fn full(name: &str) -> Claim {
    Claim::of(name, "30Gi").used(900_000)
}

#[test]
fn a_claim_that_cannot_grow_does_not_keep_the_others() {
    let claims = vec![(full("a"), Grows("38Gi")), (full("b").class(FIXED), Stays("pvc-expansion-failed")), (full("c"), Grows("38Gi"))];
    let Some(scene) = Scene::with("native", User::Resizer, claims) else { return };
    scene.up().tells(&scene.claims);
    scene.sizes_are_right();
}

#[test]
fn a_claim_that_changed_since_it_was_seen_is_left_for_the_next_run() {
    let claims = vec![(full("a"), Grows("38Gi")), (full("b"), Stays("pvc-expansion-failed")), (full("c"), Grows("38Gi"))];
    let Some(scene) = Scene::with("native", User::Resizer, claims) else { return };
    let (services, path) = (scene.services.clone(), services::path(&scene.namespace, "b"));
    scene
        .proxy
        .first(2, move || _ = services.kube.merge(User::Admin, &path, &json!({"metadata": {"labels": {"changed": "true"}}})).unwrap());
    scene.up().tells(&scene.claims);
    scene.sizes_are_right();
    let statuses: Vec<_> = scene.proxy.writes().iter().map(|write| write.status).collect();
    assert_eq!(statuses, [Some(200), Some(409), Some(200)]);

    scene.up();
    let writes = scene.proxy.writes();
    assert_eq!(writes.iter().map(|write| (write.name(), write.size())).collect::<Vec<_>>(), [("b", "38Gi")]);
}

#[test]
fn two_operators_at_once_grow_a_claim_once() {
    let names = ["a", "b", "c", "d", "e"];
    let Some(one) = Scene::with("native", User::Resizer, names.map(|name| (full(name), Grows("38Gi"))).to_vec()) else { return };
    let other = Home::new();
    let mut second = one.command();
    second.env("VIGY_DB", other.db());
    let mut second = second.stdout(Stdio::null()).spawn().unwrap();
    one.up();
    assert!(second.wait().unwrap().success());
    one.sizes_are_right();
    let done: Vec<_> = one.proxy.writes().into_iter().filter(|write| write.status == Some(200)).collect();
    assert_eq!(done.len(), names.len(), "{done:#?}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let Some(scene) = Scene::with("native", User::Reader, vec![(full("a"), Stays("pvc-expansion-dry-run"))]) else { return };
    scene.configure(json!({"dryRun": true}));
    scene.up().tells(&scene.claims);
    assert_eq!(scene.proxy.writes(), []);
}

#[test]
fn who_may_only_look_is_told_so() {
    let Some(scene) = Scene::with("native", User::Reader, vec![(full("a"), Stays("pvc-expansion-failed"))]) else { return };
    let run = scene.up();
    run.tells(&scene.claims);
    assert!(run.0["events"][0]["message"].as_str().unwrap().contains(":forbidden"), "{:#}", run.0);
    scene.sizes_are_right();
}

#[test]
fn without_the_capability_to_patch_nothing_is_asked() {
    let Some(scene) = Scene::with("native", User::Resizer, vec![(full("a"), Rests)]) else { return };
    scene.computeunit(json!({}), &["kube-pvc-list"]);
    let ran = scene.vigy();
    assert!(ran.code == Some(2) && ran.err.contains("`kube-pvc-patch`"), "{ran:#?}");
    assert_eq!(scene.proxy.requests(), 0);
}

#[test]
fn a_claim_has_each_event_once_though_vigy_is_killed_while_it_tells_them() {
    let claims = vec![(full("a"), Grows("38Gi")), (Claim::of("b", "30Gi"), Stays("pvc-metrics-missing")), (full("c"), Grows("38Gi"))];
    let Some(scene) = Scene::with("native", User::Resizer, claims) else { return };
    scene.computeunit(json!({}), &["kube-pvc-list", "kube-pvc-patch", "kube-event-emit"]);
    // Two patches, and the first event.
    let held = scene.proxy.hold(3, Hold::Answer);
    let mut vigy = scene.start();
    held.wait(&mut vigy);
    vigy.kill().unwrap();
    vigy.wait().unwrap();
    scene.up();

    let posts: Vec<_> = scene.proxy.writes().into_iter().filter(|write| write.method == "POST").collect();
    assert_eq!(posts[0].body["metadata"], posts[1].body["metadata"], "sent again under the same name");
    assert_eq!([posts[0].status, posts[1].status], [Some(201), Some(409)]);
    let events = scene.services.kube.get(&format!("/api/v1/namespaces/{}/events", scene.namespace));
    let of = |reason: &str| {
        let events = events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == reason);
        let mut names: Vec<_> = events.map(|event| event["involvedObject"]["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(of("PvcExpanded"), ["a", "c"]);
    assert_eq!(of("PvcInCooldown"), ["a", "c"]);
}

#[test]
fn it_works_over_tls_with_the_rights_its_role_has() {
    let Some(scene) = Scene::with("native", User::Resizer, vec![(full("a"), Grows("38Gi"))]) else { return };
    scene.home.file("kubeconfig", &scene.services.kube.kubeconfig(User::Resizer));
    scene.up().tells(&scene.claims);
    scene.sizes_are_right();
    assert_eq!(scene.proxy.requests(), 0, "it went past the proxy");
}

#[test]
fn all_namespaces_are_meant_when_none_is_named() {
    let Some(scene) = Scene::with("native", User::Resizer, vec![]) else { return };
    let (here, there) = (&scene.namespace, scene.services.namespace("there"));
    for namespace in [here, &there] {
        scene.services.put(namespace, &full("a").label("only", here));
        scene.services.prometheus.catches_up(namespace);
    }
    scene.configure(json!({"namespaces": [], "selector": {"matchLabels": {"only": here}}}));
    assert_eq!(scene.up().events("a"), ["pvc-expanded"; 2]);
}

// ---- what these tests stand on ---------------------------------------------------------------------------------------------------

#[test]
fn a_service_ends_with_its_test() {
    let home = Home::new();
    let print_and_wait = ["-c".to_owned(), "echo $$; exec sleep 600".to_owned()];
    let mut process = Process::start("sleeper", "/bin/sh".as_ref(), &print_and_wait, home.dir.path()).unwrap();
    let pid: i32 = process.ready(|log| log.trim().parse().map_err(|_| "no pid".to_owned())).unwrap();
    let alive = || rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_ok();
    assert!(alive());
    drop(process);
    assert!(!alive());
}

#[test]
fn the_server_lets_claims_grow_as_a_cluster_would() {
    let Some(services) = services(SUITE) else { return };
    let (kube, namespace) = (&services.kube, services.namespace("grow"));
    let asks = |user, name: &str, size: &str| {
        kube.merge(user, &services::path(&namespace, name), &json!({"spec": {"resources": {"requests": {"storage": size}}}}))
    };
    kube.claim(&namespace, &Claim::of("grows", "30Gi"));
    kube.claim(&namespace, &Claim::of("fixed", "30Gi").class(FIXED));
    kube.claim(&namespace, &Claim::of("pending", "30Gi").pending());

    assert!(asks(User::Reader, "grows", "38Gi").unwrap_err().contains("403"));
    assert!(asks(User::Resizer, "grows", "38Gi").is_ok());
    assert_eq!(kube.size(&namespace, "grows"), "38Gi");
    assert!(asks(User::Resizer, "grows", "30Gi").unwrap_err().contains("422"));
    assert!(asks(User::Resizer, "fixed", "38Gi").unwrap_err().contains("403"));
    assert!(asks(User::Resizer, "pending", "38Gi").is_err());
}

#[test]
fn the_proxy_counts_writes_and_keeps_answers_to_itself() {
    let Some(services) = services(SUITE) else { return };
    let (kube, namespace, home) = (&services.kube, services.namespace("proxied"), Home::new());
    let proxy = Proxy::before(kube, User::Resizer);
    let kubeconfig = home.file("kubeconfig", &proxy.kubeconfig());
    let annotate = |name: &str| {
        let mut kubectl = Command::new(&services.kubectl);
        let patch = json!({"metadata": {"annotations": {KEY: "key"}}}).to_string();
        kubectl.args(["--kubeconfig", &kubeconfig, "-n", &namespace, "patch", "pvc", name, "--type=merge", "-p", &patch]);
        kubectl.env("HOME", home.dir.path()).stdout(Stdio::null());
        kubectl
    };
    let annotated = |name: &str| kube.claim_now(&namespace, name)["metadata"]["annotations"][KEY] == json!("key");
    for name in ["through", "unanswered", "unheard"] {
        kube.claim(&namespace, &Claim::of(name, "1Gi"));
    }

    let patched = annotate("through").output().unwrap();
    assert!(patched.status.success(), "{patched:?}");
    for (name, hold, done) in [("unanswered", Hold::Answer, true), ("unheard", Hold::Request, false)] {
        let held = proxy.hold(1, hold);
        let mut kubectl = annotate(name).spawn().unwrap();
        held.wait(&mut kubectl);
        kubectl.kill().unwrap();
        kubectl.wait().unwrap();
        assert_eq!(annotated(name), done, "{name}");
    }

    let writes = proxy.writes();
    let seen: Vec<_> = writes.iter().map(|write| (write.method.as_str(), write.name(), write.key(), write.status)).collect();
    let patch = |name, status| ("PATCH", name, Some("key"), status);
    assert_eq!(seen, [patch("through", Some(200)), patch("unanswered", Some(200)), patch("unheard", None)]);
}
