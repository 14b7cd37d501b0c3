//! Programs in the shapes that people write: bracket style, records from hosts, diffs, plans.

mod common;

use common::hosted;
use vigy_lisp::{Arity, Data, HostFn};

const HOSTS: &[&[HostFn]] = &[&[
    HostFn { name: "desired", arity: Arity::exactly(0), writes: false, secret: false, doc: "What should be." },
    HostFn { name: "observed", arity: Arity::exactly(0), writes: false, secret: false, doc: "What is." },
    HostFn { name: "emit", arity: Arity::exactly(2), writes: false, secret: false, doc: "An action." },
    HostFn { name: "prom/query", arity: Arity::at_least(1), writes: false, secret: false, doc: "A query, with keyword arguments." },
]];

fn record(name: &str, replicas: i64) -> Data {
    Data::map([("name", Data::from(name)), ("replicas", Data::Int(replicas))])
}

/// Runs `source`, answers its host calls, and gives back what it emitted.
fn emitted(source: &str) -> Vec<(String, Data)> {
    let mut actions = Vec::new();
    hosted(source, HOSTS, |name, args, _| match name {
        "desired" => Data::List(vec![record("a", 1), record("b", 2), record("c", 3)]),
        "observed" => Data::List(vec![record("b", 2), record("c", 1), record("d", 1)]),
        "prom/query" => Data::map([("used", Data::Int(90)), ("capacity", Data::Int(100 * args.len() as i64))]),
        _ => {
            actions.push((args[0].text().expect("a kind").to_owned(), args[1].clone()));
            Data::Nil
        }
    });
    actions
}

#[test]
fn a_reconciler_emits_the_difference() {
    let actions = emitted(
        "(defn index [records]
           \"by name\"
           (reduce (fn [m r] (assoc m (:name r) r)) {} records))
         (defn when-not-wanted [want name]
           (unless (contains? want name) (emit :delete {:name name})))
         (let [want (index (desired))
               have (index (observed))]
           (doseq [[name r] (seq want)]
             (cond
               (not (contains? have name))  (emit :create r)
               (not= r (get have name))     (emit :update (select-keys r [:name :replicas]))
               :else                        nil))
           (doseq [name (keys have)]
             (when-not-wanted want name)))",
    );
    let short: Vec<_> = actions.iter().map(|(k, d)| (k.as_str(), d.get(":name").and_then(Data::text).unwrap_or(""))).collect();
    assert_eq!(short, [("create", "a"), ("update", "c"), ("delete", "d")]);
}

#[test]
fn keyword_arguments_are_ordinary_arguments() {
    let actions = emitted(
        "(defn usage [pvc]
           (let* [sample (prom/query :url \"http://prom\" :expr (str \"usage{\" (:name pvc) \"}\"))
                  {:keys [used capacity]} sample]
             (/ used capacity)))
         (defmacro defreconcile [name params & body] `(define (,name ,@params) ,@body))
         (defreconcile tick [threshold]
           (for [pvc (desired) :when (> (:replicas pvc) 1)]
             (if-let [share (usage pvc)]
               (when (< share threshold) (emit :apply {:pvc (:name pvc) :share share}))
               nil)))
         (tick 0.5)",
    );
    assert_eq!(actions.len(), 2);
    assert_eq!(actions[0].1.get(":share"), Some(&Data::Float(0.225)));
}
