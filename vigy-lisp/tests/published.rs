//! Programs in the shapes and the style in which they are published: each compiles against the functions it names, and runs against
//! simulated answers.

mod common;

use common::hosted;
use vigy_lisp::{Arity, Data, HostFn};

const fn any(name: &'static str) -> HostFn {
    HostFn { name, arity: Arity::at_least(0), writes: false, secret: false, doc: "A function of a domain." }
}

const HOSTS: &[&[HostFn]] = &[&[
    any("computeunit/config"),
    any("current-args"),
    any("current-event"),
    any("current-request"),
    any("current-resource"),
    any("dns/upsert"),
    any("emit-event"),
    any("fluxcd/applied-artifact"),
    any("fluxcd/readiness"),
    any("http-serve-static"),
    any("image/decode"),
    any("image/encode"),
    any("image/resize"),
    any("k8s/annotate"),
    any("k8s/annotate-pvc"),
    any("k8s/annotation"),
    any("k8s/apply-resource"),
    any("k8s/list-cluster-secrets"),
    any("k8s/list-pvcs"),
    any("k8s/list-resources"),
    any("k8s/name"),
    any("k8s/namespace"),
    any("k8s/patch-pvc-storage"),
    any("k8s/patch-status"),
    any("k8s/pvc-storage-request"),
    any("k8s/read-secret"),
    any("k8s/resource-address"),
    any("k8s/spec-field"),
    any("k8s/spec-snapshot"),
    any("k8s/status-field"),
    any("kensa/control-state"),
    any("kensa/passes?"),
    any("nats/publish"),
    any("now-epoch"),
    any("now-iso8601"),
    any("prom/query"),
    any("request-verified?"),
    any("s3/get"),
    any("s3/put"),
    any("substrate/flux-resources"),
    any("substrate/resolve"),
    any("tameshi/attestation-chain"),
    any("tameshi/last-error"),
    any("tameshi/three-pillar-blake3"),
    any("tameshi/verify-chain"),
    any("write-status"),
]];

fn text(s: &str) -> Data {
    Data::from(s)
}

/// What the program told the world: calls of these functions, as people would write them.
fn told(source: &str, functions: &[&str], answer: impl Fn(&str, &[Data]) -> Data) -> Vec<String> {
    let mut out = Vec::new();
    hosted(source, HOSTS, |name, args, line| {
        if functions.contains(&name) {
            out.push(line.to_owned());
        }
        answer(name, args)
    });
    out
}

#[test]
fn hello_world_serves_its_documents() {
    let out = told(include_str!("published/hello-world.tlisp"), &["http-serve-static"], |_, _| Data::Nil);
    assert_eq!(out.len(), 1);
    assert!(out[0].contains(r#"("/hello" 200 "{\"message\":\"Hello, world!\",\"served-by\":\"tatara-script\"}")"#), "{}", out[0]);
}

#[test]
fn a_job_grows_what_is_full() {
    let out = told(
        include_str!("published/pvc-autoresizer.tlisp"),
        &["emit-event", "k8s/patch-pvc-storage", "k8s/annotate-pvc"],
        |name, args| match name {
            "k8s/list-pvcs" => Data::List(vec![text("idle"), text("full")]),
            "k8s/name" => args[0].clone(),
            "k8s/namespace" => text("apps"),
            "k8s/pvc-storage-request" => text("30Gi"),
            "prom/query" => {
                let query = args[1].text().unwrap_or_default();
                Data::Int(if query.contains("capacity") {
                    100
                } else if query.contains("idle") {
                    10
                } else {
                    90
                })
            }
            "now-epoch" => Data::Int(1_000),
            _ => Data::Nil,
        },
    );
    assert_eq!(
        out,
        [
            r#"k8s/patch-pvc-storage "full" "38Gi""#,
            r#"k8s/annotate-pvc "full" "pleme.pleme.io/last-expansion-epoch" "1000""#,
            r#"emit-event :pvc-expanded {:pvc "full", :to "38Gi"}"#,
        ]
    );
}

#[test]
fn a_controller_applies_each_rule_to_the_resource() {
    let rule = |kind: &str, record: &str, transform: Data| {
        Data::map([("match", Data::map([("kind", text(kind))])), ("recordType", text(record)), ("transform", transform)])
    };
    let out = told(include_str!("published/dns-reconciler.tlisp"), &["dns/upsert", "write-status"], |name, _| match name {
        "computeunit/config" => Data::map([
            ("provider", text("cloudflare")),
            ("zoneId", text("z1")),
            ("credentialSecret", Data::map([("name", text("s")), ("key", text("k"))])),
            (
                "rules",
                Data::List(vec![
                    rule("Ingress", "A", Data::Nil),
                    rule("Service", "A", Data::Nil),
                    rule("Service", "TXT", text("(str \"host=\" host)")),
                ]),
            ),
        ]),
        "current-resource" => Data::map([("kind", text("Service"))]),
        "k8s/annotation" => text("app.example.com"),
        "k8s/resource-address" => text("10.0.0.1"),
        "now-iso8601" => text("2026-11-21T00:00:00Z"),
        _ => Data::Nil,
    });
    let upserts: Vec<&String> = out.iter().filter(|line| line.starts_with("dns/upsert")).collect();
    assert_eq!(upserts.len(), 2, "{out:?}");
    assert!(upserts[0].ends_with(r#":record-type :a :name "app.example.com" :value "10.0.0.1" :ttl 300 :proxied #f"#), "{}", upserts[0]);
    assert!(upserts[1].contains(r#":value "host=app.example.com""#), "{}", upserts[1]);
}

#[test]
fn a_webhook_kicks_the_repository_that_was_pushed_to() {
    let kicked = |full_name: &str, verified: bool| {
        told(include_str!("published/github-webhook-flux.tlisp"), &["k8s/annotate"], |name, args| match name {
            "current-request" => Data::map([
                ("path", text("/git-webhook")),
                ("method", text("POST")),
                ("body", text(&format!("{{\"repository\":{{\"full_name\":\"{full_name}\"}}}}"))),
            ]),
            "request-verified?" => Data::Bool(verified),
            "k8s/list-resources" => {
                Data::List(vec![text("ssh://git@github.com:22/org/App-extra.git"), text("https://github.com/org/App.git")])
            }
            "k8s/spec-field" | "k8s/name" => args[0].clone(),
            "now-iso8601" => text("2026-11-21T00:00:00Z"),
            _ => Data::Nil,
        })
    };
    assert_eq!(
        kicked("org/app", true),
        [r#"k8s/annotate "https://github.com/org/App.git" "reconcile.fluxcd.io/requestedAt" "2026-11-21T00:00:00Z""#]
    );
    assert!(kicked("org/other", true).is_empty());
    assert!(kicked("org/app", false).is_empty());
}

#[test]
fn a_program_sweeps_the_clusters_that_its_arguments_name() {
    let out = told(include_str!("published/fleet-attestation-sweep.tlisp"), &["emit-event", "write-status"], |name, args| match name {
        "current-args" => Data::List(vec![text("--clusters=plo,rio")]),
        "k8s/list-resources" => {
            Data::List(vec![text("good"), text(if args.iter().any(|a| a.text() == Some("rio")) { "bad" } else { "fine" })])
        }
        "k8s/name" | "tameshi/attestation-chain" => args[0].clone(),
        "tameshi/verify-chain" => Data::Bool(args[0].text() != Some("bad")),
        "tameshi/last-error" => text("link 3"),
        "now-iso8601" => text("2026-11-21T00:00:00Z"),
        _ => Data::Nil,
    });
    assert_eq!(out[0], r#"emit-event :attestation-failures {:count 1, :clusters ("rio")}"#);
    assert!(
        out[1].contains(r#"{:cluster "rio", :total 2, :verified 1, :failed 1, :failed-architectures ({:name "bad", :reason "link 3"})}"#)
    );
}

#[test]
fn a_function_renders_every_variant_of_its_event() {
    let out = told(include_str!("published/thumbnail-fn.tlisp"), &["s3/put", "nats/publish"], |name, args| match name {
        "computeunit/config" => Data::map([
            ("originalsBucket", text("in")),
            ("thumbnailsBucket", text("out")),
            ("natsUrl", text("nats://n")),
            (
                "variants",
                Data::List(vec![
                    Data::map([("name", text("small")), ("width", Data::Int(200)), ("height", Data::Int(200))]),
                    Data::map([("name", text("large")), ("width", Data::Int(1920)), ("height", Data::Int(1920)), ("format", text("jpeg"))]),
                ]),
            ),
        ]),
        "current-event" => Data::map([("s3_url", text("s3://in/photos/a.JPG"))]),
        "image/encode" => Data::List(args[1..].to_vec()),
        "now-iso8601" => text("2026-11-21T00:00:00Z"),
        _ => text("pixels"),
    });
    assert!(out[0].ends_with(r#""photos/a.small.webp" (:webp 85)"#), "{}", out[0]);
    assert!(out[1].ends_with(r#""photos/a.large.jpeg" (:jpeg 85)"#), "{}", out[1]);
    assert!(out[2].contains(r#"{:original "s3://in/photos/a.JPG", :thumbnails ("small" "large"), :produced-at "2026-11-21T00:00:00Z"}"#));
}

#[test]
fn a_state_machine_takes_one_step_each_time() {
    let step = |phase: &str, passes: bool| {
        let source = include_str!("published/convergence-controller.tlisp");
        told(source, &["k8s/patch-status"], |name, _| match name {
            "k8s/status-field" => text(phase),
            "k8s/spec-snapshot" => Data::map([
                ("pid", text("p1")),
                ("substrate", Data::map([("flakeUrl", text("github:o/r")), ("flakeOutput", text("default"))])),
            ]),
            "kensa/passes?" => Data::Bool(passes),
            "substrate/resolve" => Data::Bool(true),
            _ => Data::Nil,
        })
    };
    // Two controllers see the process, each once.
    let moved = |phase, passes| step(phase, passes).first().cloned().unwrap_or_default();
    assert_eq!(moved("Pending", true), r#"k8s/patch-status () {:phase "Planning"}"#);
    assert_eq!(moved("Planning", true), r#"k8s/patch-status () {:phase "Validating"}"#);
    assert_eq!(moved("Validating", true), r#"k8s/patch-status () {:phase "Applying"}"#);
    assert_eq!(moved("Validating", false), r#"k8s/patch-status () {:phase "Failed"}"#);
    assert_eq!(moved("Verifying", true), "");
    assert_eq!(moved("Succeeded", true), "");
}
