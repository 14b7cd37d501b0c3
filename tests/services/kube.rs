//! An API server: etcd, kube-apiserver, and `kubectl proxy` before it, so that tests speak plain HTTP.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::Tools;
use super::claim::{self, Claim};
use super::http::{self, Body};
use super::process::eventually;
use super::process::{Process, free_port, with_retries};

pub(crate) const CLAIMS: &str = "persistentvolumeclaims";

/// Who may ask the API server, by a static token.
#[derive(Clone, Copy)]
pub(crate) enum User {
    /// May do everything; the tests themselves.
    Admin,
    /// May do what an autoresizer needs.
    Resizer,
    /// May look at claims, and nothing else.
    Reader,
}

impl User {
    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Resizer => "resizer",
            Self::Reader => "reader",
        }
    }

    pub(crate) fn token(self) -> String {
        format!("token-of-{}", self.name())
    }
}

pub(crate) struct Kube {
    /// Where it speaks plain HTTP; who is asking is as the request says.
    pub(crate) url: String,
    secure_url: String,
    certificate: PathBuf,
    // In the order in which they end.
    _proxy: Process,
    _server: Process,
    _etcd: Process,
}

impl Kube {
    pub(crate) fn start(tools: &Tools, directory: &Path) -> Self {
        let (etcd, etcd_url) = with_retries(|| start_etcd(&tools.etcd, directory));
        let (server, secure_url) = with_retries(|| start_server(&tools.kube_apiserver, &etcd_url, directory));
        let certificate = directory.join("certs/apiserver.crt");
        // Each request brings its user. kubectl insists on credentials of its own; these are nobody's.
        let kubeconfig = directory.join("proxy.kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(&secure_url, Some(&certificate), "nobody")).expect("a file is written");
        let arguments = ["proxy".to_owned(), "--port=0".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
        let mut proxy = Process::start("kubectl-proxy", &tools.kubectl, &arguments, directory).expect("kubectl starts");
        let listening =
            |log: &str| log.lines().find_map(|line| Some(line.strip_prefix("Starting to serve on ")?.to_owned())).ok_or_else(String::new);
        let address = proxy.ready(listening).unwrap_or_else(|error| panic!("{error}"));

        let kube = Self { url: format!("http://{address}"), secure_url, certificate, _proxy: proxy, _server: server, _etcd: etcd };
        eventually("the API server is ready", || {
            http::request(Method::GET, &format!("{}/readyz", kube.url), Some(&User::Admin.token()), None)
        });
        kube.furnish();
        kube
    }

    /// Two storage classes, and what the users may do.
    fn furnish(&self) {
        for (name, expandable) in [(claim::EXPANDABLE, true), (claim::FIXED, false)] {
            let class = json!({"metadata": {"name": name}, "provisioner": "vigy.test/none", "allowVolumeExpansion": expandable});
            self.create("/apis/storage.k8s.io/v1/storageclasses", &class);
        }
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        for (user, verbs) in [(User::Resizer, json!(["get", "list", "patch"])), (User::Reader, json!(["get", "list"]))] {
            let name = user.name();
            let mut rules = vec![json!({"apiGroups": [""], "resources": [CLAIMS], "verbs": verbs})];
            if let User::Resizer = user {
                rules.push(json!({"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}));
            }
            self.create(roles, &json!({"metadata": {"name": name}, "rules": rules}));
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
            let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
            self.create(
                &roles.replace("roles", "rolebindings"),
                &json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}),
            );
        }
        // The authorizer learns of a role a moment after it is stored.
        let claims = format!("{}/api/v1/{CLAIMS}", self.url);
        for user in [User::Resizer, User::Reader] {
            eventually("a user's role holds", || http::request(Method::GET, &claims, Some(&user.token()), None));
        }
    }

    /// A kubeconfig for a client of the server itself, over TLS.
    pub(crate) fn kubeconfig(&self, user: User) -> String {
        kubeconfig_for(&self.secure_url, Some(&self.certificate), &user.token())
    }

    fn ask(&self, user: User, method: Method, path: &str, body: Option<Body<'_>>) -> Result<Value, String> {
        let answer = http::request(method, &format!("{}{path}", self.url), Some(&user.token()), body.as_ref())?;
        serde_json::from_str(&answer).map_err(|error| error.to_string())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask(User::Admin, Method::GET, path, None).expect("the server has it")
    }

    #[track_caller]
    pub(crate) fn create(&self, path: &str, object: &Value) -> Value {
        self.ask(User::Admin, Method::POST, path, Some(Body { kind: "application/json", json: object })).expect("the server takes it")
    }

    pub(crate) fn merge(&self, user: User, path: &str, patch: &Value) -> Result<Value, String> {
        self.ask(user, Method::PATCH, path, Some(Body { kind: "application/merge-patch+json", json: patch }))
    }

    /// Creates the claim and, since nobody here provisions volumes, says of it what a provisioner would.
    #[track_caller]
    pub(crate) fn claim(&self, namespace: &str, claim: &Claim) {
        self.create(&format!("/api/v1/namespaces/{namespace}/{CLAIMS}"), &claim.object());
        let status = json!({"status": claim.status()});
        self.merge(User::Admin, &format!("{}/status", path(namespace, &claim.name)), &status).expect("the server takes it");
    }

    /// A claim as it is now.
    #[track_caller]
    pub(crate) fn claim_now(&self, namespace: &str, name: &str) -> Value {
        self.get(&path(namespace, name))
    }

    /// The size it asks for.
    #[track_caller]
    pub(crate) fn size(&self, namespace: &str, name: &str) -> String {
        self.claim_now(namespace, name)["spec"]["resources"]["requests"]["storage"].as_str().expect("a claim has a size").to_owned()
    }
}

/// The path of a claim.
pub(crate) fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{CLAIMS}/{name}")
}

/// A kubeconfig is YAML, and JSON is YAML.
pub(crate) fn kubeconfig_for(url: &str, certificate: Option<&Path>, token: &str) -> String {
    let mut cluster = json!({"server": url});
    if let Some(certificate) = certificate {
        cluster["certificate-authority"] = json!(certificate);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
    .to_string()
}

fn start_etcd(etcd: &Path, directory: &Path) -> Result<(Process, String), String> {
    let [client, peer] = [(); 2].map(|()| format!("http://127.0.0.1:{}", free_port()));
    let arguments = [
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    // Another attempt names another peer: it must not find the data of this one.
    _ = std::fs::remove_dir_all(directory.join("etcd"));
    let mut process = Process::start("etcd", etcd, &arguments, directory).map_err(|error| error.to_string())?;
    process.ready(|_| http::request(Method::GET, &format!("{client}/health"), None, None))?;
    Ok((process, client))
}

fn start_server(server: &Path, etcd_url: &str, directory: &Path) -> Result<(Process, String), String> {
    let tokens = directory.join("tokens.csv");
    let line = |user: User| {
        format!("{},{name},{name}{}\n", user.token(), if let User::Admin = user { ",system:masters" } else { "" }, name = user.name())
    };
    std::fs::write(&tokens, [User::Admin, User::Resizer, User::Reader].map(line).concat()).map_err(|error| error.to_string())?;
    let port = free_port();
    let certificates = directory.join("certs");
    // The server makes itself a certificate. Nobody here has a service account, so its key serves for their tokens too.
    let key = certificates.join("apiserver.key");
    let arguments = [
        format!("--etcd-servers={etcd_url}"),
        format!("--cert-dir={}", certificates.display()),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--token-auth-file={}", tokens.display()),
        "--authorization-mode=RBAC".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    let mut process = Process::start("kube-apiserver", server, &arguments, directory).map_err(|error| error.to_string())?;
    process.ready(|_| std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()))?;
    Ok((process, format!("https://127.0.0.1:{port}")))
}
