//! How forms are written, for whoever wrote one otherwise.

/// Every form, and how it is written. `…` means any number, `?` perhaps.
#[rustfmt::skip]
const SHAPES: &[(&str, &str)] = &[
    ("quote", "(quote datum)"),
    ("quasiquote", "(quasiquote datum)"),
    ("if", "(if test then else?)"),
    ("cond", "(cond (test result…)… (else result…))"),
    ("case", "(case key (datum result…)… (else result…))"),
    ("match", "(match value (pattern result…)… (else result…))"),
    ("when", "(when test body…)"),
    ("unless", "(unless test body…)"),
    ("and", "(and test…)"),
    ("or", "(or test…)"),
    ("begin", "(begin form…)"),
    ("do", "(do form…)"),
    ("let", "(let [name value …] body…)"),
    ("let*", "(let* [name value …] body…)"),
    ("letrec", "(letrec ((name value)…) body…)"),
    ("loop", "(loop [name value …] body…)"),
    ("recur", "(recur value…)"),
    ("lambda", "(lambda (param…) body…)"),
    ("fn", "(fn [param…] body…)"),
    ("define", "(define name value), or (define (name param…) body…)"),
    ("def", "(def name value)"),
    ("defn", "(defn name \"doc\"? [param…] body…)"),
    ("defn-", "(defn- name \"doc\"? [param…] body…)"),
    ("defn-typed", "(defn-typed name ((param type)…) -> type body…)"),
    ("defmacro", "(defmacro name (param…) body…)"),
    ("set!", "(set! name value)"),
    ("try", "(try body… (catch (name) handler…)? (finally cleanup…)?)"),
    ("catch", "(catch (name) handler…)"),
    ("finally", "(finally cleanup…)"),
    ("delay", "(delay expression)"),
    ("lazy-cons", "(lazy-cons head tail)"),
    ("eval", "(eval expression)"),
    ("macroexpand", "(macroexpand form)"),
    ("macroexpand-1", "(macroexpand-1 form)"),
    ("if-let", "(if-let [name value] then else)"),
    ("when-let", "(when-let [name value] body…)"),
    ("unless-let", "(unless-let [name value] body…)"),
    ("dotimes", "(dotimes [name count] body…)"),
    ("doseq", "(doseq [name list …] body…)"),
    ("dolist", "(dolist (name list) body…)"),
    ("for", "(for [name list … :when test] body)"),
    ("while", "(while test body…)"),
    ("->", "(-> value step…)"),
    ("->>", "(->> value step…)"),
    ("assert", "(assert test message)"),
    ("comment", "(comment form…)"),
    ("with-gensyms", "(with-gensyms (name…) body…)"),
    ("define-record", "(define-record name (field…))"),
    ("defflow", "(defflow name step…)"),
    ("require", "(require \"path\" :as name :refer (name…))"),
    ("provide", "(provide name…)"),
    ("defcommand", "(defcommand bus name (param…) body…)"),
    ("defquery", "(defquery bus name (param…) body…)"),
];

/// What other lisps call something that is called otherwise here.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, &str)] = &[
    ("defun", "defn"), ("setq", "set!"), ("setf", "set!"), ("progn", "do"), ("funcall", "apply"), ("mapcar", "map"),
    ("string-concat", "string-append"), ("concatenate", "append"), ("printf", "format"), ("var", "def"), ("elif", "cond"),
];

/// How the form of that name is written.
pub(super) fn of(name: &str) -> Option<&'static str> {
    SHAPES.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The names of all forms.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|row| row.0)
}

/// What is called so in other lisps is called so here.
pub(super) fn elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|row| row.0 == name).map(|row| row.1)
}
