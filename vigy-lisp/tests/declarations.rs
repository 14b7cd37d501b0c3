//! Programs that open with declarations, as they are published.

mod common;

use common::{check, fails, hosted, refused};
use vigy_lisp::{Arity, Data, HostFn};

const fn host(name: &'static str, arity: Arity) -> HostFn {
    HostFn { name, arity, writes: false, secret: false, doc: "A function of a domain." }
}

const HOSTS: &[&[HostFn]] = &[&[
    host("k8s/list-pvcs", Arity::at_least(0)),
    host("k8s/name", Arity::exactly(1)),
    host("k8s/annotation", Arity::exactly(2)),
    host("k8s/pvc-storage-request", Arity::exactly(1)),
    host("k8s/patch-pvc-storage", Arity::exactly(2)),
    host("prom/query", Arity::exactly(2)),
    host("now-epoch", Arity::exactly(0)),
    host("computeunit/config", Arity::exactly(0)),
    host("emit-event", Arity::exactly(2)),
    host("current-event", Arity::exactly(0)),
    host("current-request", Arity::exactly(0)),
    host("request-verified?", Arity::exactly(1)),
]];

/// A job that enlarges volumes: four of them, one idle, one full, one enlarged a minute ago, one at its largest.
const RESIZER: &str = r#"
(use-domain k8s)
(use-domain prometheus)
(use-library github:owner/repo/quantity.tatara)

(defschema ResizerConfig
  :trigger-at      (default :float 0.8)
  :expand-factor   (default :float 1.25)
  :max-size        (default :integer 100)
  :cooldown        (default :duration 600)
  :prometheus-url  (default :string "http://metrics:8429")
  :selector        (default :map {:matchLabels {:breathable "true"}})
  :namespaces      (default (list-of :string) [])
  :dry-run         (default :bool false))

(defjob resizer
  :version "0.1.0"
  :config-schema ResizerConfig
  :schedule "*/5 * * * *"
  (defreconcile-tick []
    (let [config (current-config)
          pvcs (k8s/list-pvcs :namespaces (:namespaces config) :selector (:selector config))]
      (doseq [pvc pvcs]
        (consider pvc config)))))

(defn usage [pvc config]
  (let [m (prom/query (:prometheus-url config) (str "kubelet_volume_stats{persistentvolumeclaim=\"" (k8s/name pvc) "\"}"))]
    (/ (:used m) (:capacity m))))

(defn in-cooldown? [pvc config]
  (when-let [last-epoch (k8s/annotation pvc "last-expansion-epoch")]
    (< (- (now-epoch) (parse-int last-epoch)) (:cooldown config))))

(defn consider [pvc config]
  (let [size (k8s/pvc-storage-request pvc)
        wanted (math/ceil (* size (:expand-factor config)))]
    (cond
      (< (usage pvc config) (:trigger-at config)) nil
      (in-cooldown? pvc config) (emit-event :pvc-in-cooldown {:pvc (k8s/name pvc)})
      (> wanted (:max-size config)) (emit-event :pvc-at-ceiling {:pvc (k8s/name pvc)})
      (:dry-run config) (emit-event :pvc-expansion-dry-run {:pvc (k8s/name pvc) :to wanted})
      :else (do
              (k8s/patch-pvc-storage pvc wanted)
              (emit-event :pvc-expanded {:pvc (k8s/name pvc) :from size :to wanted})))))
"#;

/// What the functions of the domains answer.
fn answer(name: &str, args: &[Data]) -> Data {
    let pvc = |i: usize| match args.get(i) {
        Some(Data::Int(i)) => *i as usize,
        _ => 0,
    };
    match name {
        "k8s/list-pvcs" => Data::List((0..4).map(Data::Int).collect()),
        "k8s/name" => Data::from(["idle", "full", "fresh", "largest"][pvc(0)]),
        "k8s/annotation" if pvc(0) == 2 => Data::from("940"),
        "k8s/pvc-storage-request" => Data::Int([10, 30, 30, 90][pvc(0)]),
        "prom/query" => {
            let used = if matches!(&args[1], Data::Str(s) if s.contains("idle")) { 10 } else { 90 };
            Data::map([("used", Data::Int(used)), ("capacity", Data::Int(100))])
        }
        "now-epoch" => Data::Int(1_000),
        "current-event" => Data::map([("key", Data::from("a.jpg"))]),
        "current-request" => Data::map([("path", Data::from("/hook")), ("method", Data::from("POST")), ("body", Data::from("{}"))]),
        "request-verified?" => Data::Bool(args[0].get(":secret").is_some_and(|s| *s == Data::from("right"))),
        _ => Data::Nil,
    }
}

/// Runs `source`, and gives back what it wrote to its hosts.
fn written(source: &str) -> Vec<String> {
    let mut out = Vec::new();
    hosted(source, HOSTS, |name, args, line| {
        if matches!(name, "emit-event" | "k8s/patch-pvc-storage" | "k8s/list-pvcs") {
            out.push(line.to_owned());
        }
        answer(name, args)
    });
    out
}

#[test]
fn a_job_runs_its_tick_when_everything_around_it_is_defined() {
    assert_eq!(
        written(RESIZER),
        [
            r#"k8s/list-pvcs :namespaces () :selector {:matchLabels {:breathable "true"}}"#,
            "k8s/patch-pvc-storage 1 38",
            r#"emit-event :pvc-expanded {:pvc "full", :from 30, :to 38}"#,
            r#"emit-event :pvc-in-cooldown {:pvc "fresh"}"#,
            r#"emit-event :pvc-at-ceiling {:pvc "largest"}"#,
        ]
    );
}

#[test]
fn a_function_handles_the_event_of_the_run() {
    let source = "(deffunction thumbs :version \"1\" (defhandler [event] (emit-event :seen {:key (:key event)})))";
    assert_eq!(written(source), [r#"emit-event :seen {:key "a.jpg"}"#]);
}

/// A schema of every type.
const SCHEMA: &str = "(defschema Size :w (default :int 1) :h :int) \
    (defschema Config :one Size :many (default (list-of Size) []) :fit (default (enum :cover :fill :a-a-a-a) :cover) :on (default :bool true) \
       :trigger-at (default :float 0.5) :every (default :duration 60) :token (default :secret-ref nil) :extra (default :map {}) \
       :names (default (list-of :string) [\"a\"]) :code (default :sexp nil)) ";

/// The configuration that `given` decodes to, at the field `field`.
#[track_caller]
fn config(given: &str, field: &str, expected: &str) {
    check(&format!("{SCHEMA} (get (Config {given}) {field})"), expected);
}

/// `given` is refused, with this message.
#[track_caller]
fn invalid(given: &str, message: &str) {
    check(
        &format!("{SCHEMA} (try (Config {given}) (catch (e) (list (error-tag e) (error-message e))))"),
        &format!("(:invalid-config {message:?})"),
    );
}

#[test]
fn a_schema_is_a_function_from_what_is_given_to_the_configuration() {
    let defaults =
        "{:one {:w 1, :h 2}, :many (), :fit :cover, :on #t, :trigger-at 0.5, :every 60, :token (), :extra {}, :names (\"a\"), :code ()}";
    check(&format!("{SCHEMA} (Config {{:one {{:h 2}}}})"), defaults);
    config("{:one {:h 2} :many [{:h 1} {:w 3 :h 4}] :on false}", ":many", "({:w 1, :h 1} {:w 3, :h 4})");
    config("{:one {:h 2} :on false}", ":on", "#f");
    config("{:one {:h 2} :on nil}", ":on", "#t");
}

#[test]
fn a_field_is_given_in_kebab_camel_or_snake_case() {
    for key in [":trigger-at", ":triggerAt", ":trigger_at"] {
        config(&format!("{{:one {{:h 2}} {key} 1}}"), ":trigger-at", "1");
    }
    invalid("{:one {:h 2} :triggerAt 1 :trigger_at 1}", "config.triggerAt: it is given twice, also as trigger_at");
    invalid("{:one {:h 2} :triggerat 1}", "config.triggerat: there is no such key");
}

#[test]
fn values_are_decoded_by_their_types() {
    for (given, seconds) in [("90", "90"), ("\"90s\"", "90"), ("\"1.5h\"", "5400"), ("\"500ms\"", "0.5"), ("\"10m\"", "600")] {
        config(&format!("{{:one {{:h 2}} :every {given}}}"), ":every", seconds);
    }
    for (given, choice) in [("\"fill\"", ":fill"), (":fill", ":fill"), ("\"AAAA\"", ":a-a-a-a")] {
        config(&format!("{{:one {{:h 2}} :fit {given}}}"), ":fit", choice);
    }
    config("{:one {:h 2} :token {:name \"a\" :key \"b\"}}", ":token", "{:name \"a\", :key \"b\"}");
}

#[test]
fn a_wrong_configuration_says_where_and_what() {
    invalid("nil", "config.one: it is missing, and has no default");
    invalid("{:one {:w 2}}", "config.one.h: it is missing, and has no default");
    invalid("[1]", "config: expected a map, got (1)");
    invalid("{:one {:h \"2\"}}", "config.one.h: expected an integer, got \"2\"");
    invalid("{:one {:h 2} :many [{:h 1} {:h 1 :x 1}]}", "config.many[1].x: there is no such key");
    invalid("{:one {:h 2} :many [{:h 1} {:h true}]}", "config.many[1].h: expected an integer, got #t");
    invalid("{:one {:h 2} :names [\"a\" 7]}", "config.names[1]: expected a string, got 7");
    invalid("{:one {:h 2} :names \"a\"}", "config.names: expected a list, got \"a\"");
    invalid("{:one {:h 2} :fit \"cov\"}", "config.fit: expected one of cover fill a-a-a-a, got \"cov\"");
    invalid("{:one {:h 2} :on \"yes\"}", "config.on: expected true or false, got \"yes\"");
    invalid("{:one {:h 2} :every \"soon\"}", "config.every: expected a duration, as 90s, 10m or 1.5h, got \"soon\"");
    invalid("{:one {:h 2} :every -1}", "config.every: expected a duration, as 90s, 10m or 1.5h, got -1");
    invalid("{:one {:h 2} :trigger-at +nan.0}", "config.trigger-at: expected a number, got NaN");
    invalid("{:one {:h 2} :token {:name \"a\"}}", "config.token: expected a secret's {name, key, namespace}, got {:name \"a\"}");
}

#[test]
fn the_host_is_asked_for_the_configuration_once_per_run() {
    let asked = |program: &str| {
        let mut asked = 0;
        hosted(&format!("(defschema C :a (default :int 1)) (defjob j :config-schema C) {program}"), HOSTS, |name, _, _| {
            asked += usize::from(name == "computeunit/config");
            Data::map([("a", Data::Int(7))])
        });
        asked
    };
    assert_eq!(asked("(unless (= 14 (+ (:a (current-config)) (:a (current-config)))) (throw \"decoded wrong\"))"), 1);
    assert_eq!(asked("1"), 0);
}

#[test]
fn a_declaration_says_what_it_is() {
    check("(defmacro same (x) x) (same {:a {} :b []})", "{:a {}, :b ()}");
    check("(defjob j :version \"2\" :schedule \"@daily\") (j)", r#"{:kind :job, :name j, :version "2", :schedule "@daily"}"#);
    check("(defprogram p (defmain [] :ok))", ":ok");
    check("(defreconcile-tick [] (f 2)) (define (f x) (* x 21))", "42");
}

#[test]
fn a_program_may_use_the_names_of_declarations_for_its_own() {
    check("(define (use-domain x) (list x)) (use-domain 1)", "(1)");
    check("(defmacro defjob (name) `(quote (mine ,name))) (defjob j)", "(mine j)");
}

#[test]
fn a_wrong_declaration_is_refused() {
    refused("(defschema S :a :strin)", "1:1: in macro `defschema`: `S`: unknown type :strin");
    refused("(defjob j :version)", "1:1: in macro `defjob`: `j`: an option without a value");
    fails("(defreconcile-tick [x] x)", "bad-special-form");
}

/// Routes of which one asks for a secret, and a handler that says that it was reached.
fn webhook(path: &str, method: &str, secret: &str) -> Vec<String> {
    written(&format!(
        "(defwebhook-handler hook :version \"1\" \
           :routes [{{:path \"/other\" :method :post :handler kick}} \
                    {{:path {path:?} :method {method} :verify {{:secret {secret:?}}} :handler kick}}]) \
         (defn kick [request] (emit-event :kicked (:body request)) (response 200 \"ok\"))"
    ))
}

#[test]
fn a_webhook_reaches_the_handler_of_its_route_when_it_is_verified() {
    assert_eq!(webhook("/hook", ":post", "right"), [r#"emit-event :kicked "{}""#]);
    assert!(webhook("/hook", ":post", "wrong").is_empty());
    assert!(webhook("/hook", ":get", "right").is_empty());
    assert!(webhook("/hooks", ":post", "right").is_empty());
}
