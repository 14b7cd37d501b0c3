//! pvc-autoresizer against a real API server and a real Prometheus, as its operator runs it.

mod common;
mod services;

use std::process::Command;

use common::Home;
use serde_json::json;
use services::{Claim, FIXED, Hold, Process, Proxy, User, services};

const SUITE: &str = "pvc-autoresizer against real services";

// ---- what the other tests stand on -----------------------------------------------------------------------------------------------

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
fn prometheus_says_what_the_page_says() {
    let Some(services) = services(SUITE) else { return };
    let namespace = services.namespace("scraped");
    services.prometheus.volume(&namespace, "a", "800000", "1e+06");
    services.prometheus.volume(&namespace, "b", "NaN", "0");
    services.prometheus.catches_up(&namespace);
}

#[test]
fn the_proxy_counts_writes_and_keeps_answers_to_itself() {
    let Some(services) = services(SUITE) else { return };
    let (kube, namespace, home) = (&services.kube, services.namespace("proxied"), Home::new());
    let proxy = Proxy::before(kube, User::Resizer);
    let kubeconfig = home.file("kubeconfig", &proxy.kubeconfig());
    let label = |name: &str| {
        let mut kubectl = Command::new(&services.kubectl);
        let patch = json!({"metadata": {"annotations": {services::KEY: "key"}}}).to_string();
        kubectl
            .args(["--kubeconfig", &kubeconfig, "-n", &namespace, "patch", "pvc", name, "--type=merge", "-p", &patch])
            .env("HOME", home.dir.path());
        kubectl
    };
    let labelled = |name: &str| kube.claim_now(&namespace, name)["metadata"]["annotations"][services::KEY] == json!("key");
    for name in ["through", "unanswered", "unheard", "refused"] {
        kube.claim(&namespace, &Claim::of(name, "1Gi"));
    }

    let patched = label("through").output().unwrap();
    assert!(patched.status.success(), "{patched:?}");
    for (name, hold, done) in [("unanswered", Hold::Answer, true), ("unheard", Hold::Request, false)] {
        let held = proxy.hold(1, hold);
        let mut kubectl = label(name).spawn().unwrap();
        held.wait();
        kubectl.kill().unwrap();
        kubectl.wait().unwrap();
        assert_eq!(labelled(name), done, "{name}");
    }
    proxy.refuse(1, 409);
    assert!(!label("refused").output().unwrap().status.success());
    assert!(!labelled("refused"));

    let writes = proxy.writes();
    let seen: Vec<_> = writes.iter().map(|write| (write.method.as_str(), write.name(), write.key(), write.status)).collect();
    let patch = |name, status| ("PATCH", name, Some("key"), status);
    assert_eq!(seen, [patch("through", Some(200)), patch("unanswered", Some(200)), patch("unheard", None), patch("refused", Some(409))]);
}
