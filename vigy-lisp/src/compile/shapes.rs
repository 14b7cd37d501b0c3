//! The forms: what they are called, and how they are written, for whoever wrote one otherwise.

/// Every form that the language has, the ones that are always meant first, and how it is written: `…` means any number, `?` perhaps.
/// Of a few, only the reference says.
#[rustfmt::skip]
const FORMS: &[(&str, &str)] = &[
    ("quote", "(quote datum)"),
    ("quasiquote", "(quasiquote datum)"),
    ("unquote", ""),
    ("unquote-splice", ""),
    ("if", "(if test then else?)"),
    ("cond", "(cond (test result…)… (else result…))"),
    ("when", "(when test body…)"),
    ("unless", "(unless test body…)"),
    ("let", "(let [name value …] body…)"),
    ("let*", "(let* [name value …] body…)"),
    ("letrec", "(letrec ((name value)…) body…)"),
    ("lambda", "(lambda (param…) body…)"),
    ("define", "(define name value), or (define (name param…) body…)"),
    ("set!", "(set! name value)"),
    ("begin", "(begin form…)"),
    ("and", "(and test…)"),
    ("or", "(or test…)"),
    ("try", "(try body… (catch (name) handler…)? (finally cleanup…)?)"),
    ("delay", "(delay expression)"),
    ("eval", "(eval expression)"),
    ("macroexpand", "(macroexpand form)"),
    ("macroexpand-1", "(macroexpand-1 form)"),
    ("defmacro", "(defmacro name (param…) body…)"),
    ("defcheck", ""),
    ("defpoint-template", ""),
    ("require", "(require \"path\" :as name :refer (name…))"),
    ("provide", "(provide name…)"),
    ("do", "(do form…)"),
    ("fn", "(fn [param…] body…)"),
    ("def", "(def name value)"),
    ("defn", "(defn name \"doc\"? [param…] body…)"),
    ("defn-", "(defn- name \"doc\"? [param…] body…)"),
    ("loop", "(loop [name value …] body…)"),
    ("recur", "(recur value…)"),
    ("->", "(-> value step…)"),
    ("->>", "(->> value step…)"),
    ("if-let", "(if-let [name value] then else)"),
    ("when-let", "(when-let [name value] body…)"),
    ("unless-let", "(unless-let [name value] body…)"),
    ("dotimes", "(dotimes [name count] body…)"),
    ("doseq", "(doseq [name list …] body…)"),
    ("dolist", "(dolist (name list) body…)"),
    ("for", "(for [name list … :when test] body)"),
    ("while", "(while test body…)"),
    ("case", "(case key (datum result…)… (else result…))"),
    ("match", "(match value (pattern result…)… (else result…))"),
    ("comment", "(comment form…)"),
    ("assert", "(assert test message)"),
    ("lazy-cons", "(lazy-cons head tail)"),
    ("with-gensyms", "(with-gensyms (name…) body…)"),
    ("defflow", "(defflow name step…)"),
    ("define-record", "(define-record name (field…))"),
    ("defn-typed", "(defn-typed name ((param type)…) -> type body…)"),
    ("defsm", ""),
    ("defactor", ""),
    ("defstrategy", ""),
    ("defvisitor", ""),
    ("defcommand", "(defcommand bus name (param…) body…)"),
    ("defquery", "(defquery bus name (param…) body…)"),
    ("doc", ""),
];

/// What is written only inside of a form.
#[rustfmt::skip]
const PARTS: &[(&str, &str)] = &[
    ("catch", "(catch (name) handler…)"),
    ("finally", "(finally cleanup…)"),
];

/// What other lisps call something that is called otherwise here.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, &str)] = &[
    ("defun", "defn"), ("setq", "set!"), ("setf", "set!"), ("progn", "do"), ("funcall", "apply"), ("mapcar", "map"),
    ("string-concat", "string-append"), ("concatenate", "append"), ("printf", "format"), ("var", "def"), ("elif", "cond"),
];

/// How the form of that name, or the part of one, is written.
pub(super) fn of(name: &str) -> Option<&'static str> {
    FORMS.iter().chain(PARTS).find(|row| row.0 == name).map(|row| row.1).filter(|shape| !shape.is_empty())
}

/// The names of all forms.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|row| row.0)
}

/// What is called so in other lisps is called so here.
pub(super) fn elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|row| row.0 == name).map(|row| row.1)
}
