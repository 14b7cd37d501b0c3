//! Prometheus, and the page it scrapes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};

use super::http;
use super::process::{Process, eventually, free_port, with_retries};

const USED: &str = "kubelet_volume_stats_used_bytes";
const CAPACITY: &str = "kubelet_volume_stats_capacity_bytes";

/// Namespace and claim.
type Volume = (String, String);

/// What the kubelet would say of volumes: used and capacity, as text, so that `NaN` is as good as any.
type Page = Arc<Mutex<BTreeMap<Volume, (String, String)>>>;

/// A Prometheus that scrapes a page every second.
pub(crate) struct Scraper {
    pub(crate) port: u16,
    _process: Process,
}

impl Scraper {
    /// Starts it; the page is `/metrics` of the target, as `127.0.0.1:80`.
    pub(crate) fn start(program: &Path, directory: &Path, job: &str, target: &str) -> Self {
        // JSON is YAML.
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]}],
        });
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("a file is written");
        let (process, port) = with_retries(|| {
            let port = free_port();
            let arguments = [
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", directory.join("prometheus").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            let mut process = Process::start("prometheus", program, &arguments, directory).map_err(|error| error.to_string())?;
            process.ready(|_| http::request(Method::GET, &format!("http://127.0.0.1:{port}/-/ready"), None, None))?;
            Ok((process, port))
        });
        Self { port, _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it answers to a query: the series, each with its labels in `metric` and its last sample in `value`.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url()), [("query", query)])
            .map_err(|error| error.to_string())?;
        let answer = http::get_json(url.as_str())?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

pub(crate) struct Prometheus {
    pub(crate) port: u16,
    page: Page,
    scraper: Scraper,
}

impl Prometheus {
    pub(crate) fn start(program: &Path, directory: &Path) -> Self {
        let page = Page::default();
        let read = page.clone();
        let target = http::serve(Router::new().route("/metrics", get(async move || printed(&locked(&read)))));
        let scraper = Scraper::start(program, directory, "kubelet", &format!("127.0.0.1:{target}"));
        Self { port: scraper.port, page, scraper }
    }

    /// Puts a volume on the page.
    pub(crate) fn volume(&self, namespace: &str, claim: &str, used: &str, capacity: &str) {
        locked(&self.page).insert((namespace.to_owned(), claim.to_owned()), (used.to_owned(), capacity.to_owned()));
    }

    /// Waits until Prometheus says of this namespace what the page says.
    #[track_caller]
    pub(crate) fn catches_up(&self, namespace: &str) {
        let page: Vec<_> =
            locked(&self.page).iter().filter(|(volume, _)| volume.0 == namespace).map(|(v, s)| (v.1.clone(), s.clone())).collect();
        for metric in [USED, CAPACITY] {
            let mut expected: Vec<_> = page
                .iter()
                .map(|(claim, (used, capacity))| (claim.clone(), number(if metric == USED { used } else { capacity })))
                .collect();
            expected.sort();
            eventually("Prometheus has scraped the page", || match self.samples(&format!("{metric}{{namespace=\"{namespace}\"}}")) {
                Ok(samples) if samples == expected => Ok(()),
                other => Err(format!("{other:?} is not {expected:?}")),
            });
        }
    }

    /// Claim and value of every sample, in order.
    fn samples(&self, query: &str) -> Result<Vec<(String, String)>, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let sample = |sample: &Value| (text(&sample["metric"]["persistentvolumeclaim"]), number(&text(&sample["value"][1])));
        let mut samples: Vec<_> = self.scraper.query(query)?.iter().map(sample).collect();
        samples.sort();
        Ok(samples)
    }
}

fn locked<T>(page: &Mutex<T>) -> MutexGuard<'_, T> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}

fn printed(page: &BTreeMap<Volume, (String, String)>) -> String {
    let mut text = String::new();
    for ((namespace, claim), (used, capacity)) in page {
        for (metric, value) in [(USED, used), (CAPACITY, capacity)] {
            _ = writeln!(text, "{metric}{{namespace=\"{namespace}\",persistentvolumeclaim=\"{claim}\"}} {value}");
        }
    }
    text
}

/// The same number in the same words, however it was written.
fn number(text: &str) -> String {
    text.parse::<f64>().expect("a sample is a number").to_string()
}
