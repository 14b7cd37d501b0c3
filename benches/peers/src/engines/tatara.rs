//! Upstream's evaluator, tatara-lisp-eval: the tree walker, which its own hosts use. The library is installed once.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use std::sync::Arc;
use tatara_lisp::{Spanned, read_spanned};
use tatara_lisp_eval::{Arity, Interpreter, List, Map, MapKey, Value, install_full_stdlib_with};

struct Host {
    desired: Vec<Record>,
    observed: Vec<Record>,
    seen: i64,
}

fn records(records: &[Record]) -> Value {
    let key = |name: &str| MapKey::Keyword(name.into());
    let record = |r: &Record| {
        let fields = [
            (key("name"), Value::Str(r.name.as_str().into())),
            (key("replicas"), Value::Int(r.replicas)),
            (key("image"), Value::Str(r.image.as_str().into())),
        ];
        Value::Map(Arc::new(fields.into_iter().collect::<Map>()))
    };
    Value::List(Arc::new(records.iter().map(record).collect::<List>()))
}

fn text(v: Option<&Value>) -> &str {
    if let Some(Value::Str(s)) = v { s } else { "" }
}

fn action(args: &[Value]) -> i64 {
    let Value::Map(payload) = &args[1] else { panic!("a payload is a map") };
    let get = |name: &str| payload.get(&MapKey::Keyword(name.into()));
    let replicas = if let Some(Value::Int(i)) = get("replicas") { *i } else { 0 };
    weigh(text(args.first()), text(get("name")), replicas, text(get("image")))
}

fn interpreter(host: &mut Host) -> Interpreter<Host> {
    let mut interpreter = Interpreter::new();
    install_full_stdlib_with(&mut interpreter, host);
    interpreter.register_fn("log", Arity::Exact(2), |args: &[Value], host: &mut Host, _| {
        host.seen += (text(args.first()).len() + text(args.get(1)).len()) as i64;
        Ok(Value::Nil)
    });
    interpreter.register_fn("noop", Arity::Exact(0), |_: &[Value], _: &mut Host, _| Ok(Value::Nil));
    interpreter.register_fn("desired", Arity::Exact(0), |_: &[Value], host: &mut Host, _| Ok(records(&host.desired)));
    interpreter.register_fn("observed", Arity::Exact(0), |_: &[Value], host: &mut Host, _| Ok(records(&host.observed)));
    interpreter.register_fn("emit", Arity::Exact(2), |args: &[Value], host: &mut Host, _| {
        host.seen += action(args);
        Ok(Value::Nil)
    });
    interpreter
}

/// What is evaluated once, and what in each operation.
fn source(workload: Workload) -> (&'static str, &'static str) {
    // The definitions of a program of ours, and its last line.
    fn parts(program: &'static str) -> (&'static str, &'static str) {
        program.trim_end().rsplit_once('\n').expect("definitions and a last line")
    }
    match workload {
        Workload::TickHello => ("", include_str!("../../programs/hello.tlisp")),
        Workload::TickReconcile => (include_str!("../../programs/diff.scm"), "(diff (desired) (observed))"),
        Workload::TickResident => (include_str!("../../programs/diff.scm"), "(diff want have)"),
        Workload::Fib => parts(include_str!("../../programs/fib.tlisp")),
        Workload::Tak => parts(include_str!("../../programs/tak.tlisp")),
        Workload::Loop => parts(include_str!("../../programs/loop.scm")),
        Workload::List => parts(include_str!("../../programs/list.tlisp")),
        Workload::Str => parts(include_str!("../../programs/str.scm")),
        Workload::Clos => parts(include_str!("../../programs/clos.scm")),
        Workload::Load => ("", include_str!("../../programs/load.tlisp")),
    }
}

fn read(source: &str) -> Vec<Spanned> {
    read_spanned(source).expect("the program reads")
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let mut host = Host { desired: desired(), observed: observed(), seen: 0 };
    let mut interpreter = interpreter(&mut host);
    let (once, each) = source(workload);
    interpreter.eval_program(&read(once), &mut host).expect("the definitions run");
    interpreter.define_global("want", records(&host.desired));
    interpreter.define_global("have", records(&host.observed));
    let forms = read(each);
    Box::new(move || {
        host.seen = 0;
        let result = match workload {
            // Into an interpreter that has the library already.
            Workload::Load => interpreter.fork().eval_program(&read(each), &mut host),
            _ => interpreter.eval_program(&forms, &mut host),
        };
        match result.expect("the program runs") {
            Value::Int(i) => i,
            _ => host.seen,
        }
    })
}
