//! rhai, with its default limits and features.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use rhai::{AST, Array, CallFnOptions, Dynamic, Engine, Map, Scope};
use std::cell::Cell;
use std::rc::Rc;

fn records(records: &[Record]) -> Array {
    let record = |r: &Record| {
        let mut map = Map::new();
        map.insert("name".into(), r.name.clone().into());
        map.insert("replicas".into(), r.replicas.into());
        map.insert("image".into(), r.image.clone().into());
        Dynamic::from_map(map)
    };
    records.iter().map(record).collect()
}

fn host(seen: &Rc<Cell<i64>>) -> Engine {
    let mut engine = Engine::new();
    let s = Rc::clone(seen);
    engine.register_fn("log", move |level: &str, text: &str| s.set(s.get() + level.len() as i64 + text.len() as i64));
    engine.register_fn("noop", || ());
    let (want, have) = (desired(), observed());
    engine.register_fn("desired", move || records(&want));
    engine.register_fn("observed", move || records(&have));
    let s = Rc::clone(seen);
    engine.register_fn("emit", move |kind: &str, payload: Map| {
        let text = |key: &str| payload.get(key).and_then(|v| v.read_lock::<rhai::ImmutableString>()).map(|t| t.to_string());
        let (name, image) = (text("name").unwrap_or_default(), text("image").unwrap_or_default());
        let replicas = payload.get("replicas").and_then(|v| v.as_int().ok()).unwrap_or(0);
        s.set(s.get() + weigh(kind, &name, replicas, &image));
    });
    engine
}

fn source(workload: Workload) -> String {
    let diff = include_str!("../../programs/diff.rhai");
    match workload {
        Workload::TickHello => include_str!("../../programs/hello.rhai").into(),
        Workload::TickReconcile => format!("{diff}\nfn tick() {{ diff(desired(), observed()) }}"),
        Workload::TickResident => format!("{diff}\nfn tick(want, have) {{ diff(want, have) }}"),
        Workload::Fib => include_str!("../../programs/fib.rhai").into(),
        Workload::Tak => include_str!("../../programs/tak.rhai").into(),
        Workload::Loop => include_str!("../../programs/loop.rhai").into(),
        Workload::List => include_str!("../../programs/list.rhai").into(),
        Workload::Str => include_str!("../../programs/str.rhai").into(),
        Workload::Clos => include_str!("../../programs/clos.rhai").into(),
        Workload::Load => include_str!("../../programs/load.rhai").into(),
    }
}

fn call(engine: &Engine, ast: &AST, args: Vec<Dynamic>) -> Dynamic {
    let options = CallFnOptions::new().eval_ast(false);
    let mut args = args;
    let result = match args.as_mut_slice() {
        [] => engine.call_fn_with_options(options, &mut Scope::new(), ast, "tick", ()),
        [want, have] => engine.call_fn_with_options(options, &mut Scope::new(), ast, "tick", (want.take(), have.take())),
        _ => unreachable!("a tick takes none or both of the lists"),
    };
    result.expect("the program runs")
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let seen = Rc::new(Cell::new(0));
    let engine = host(&seen);
    let source = source(workload);
    if workload == Workload::Load {
        // Closures are functions, too: those without a name of their own are none of the 25.
        return Box::new(move || {
            let ast = engine.compile(&source).expect("the program loads");
            ast.iter_functions().filter(|f| !f.name.starts_with("anon$")).count() as i64
        });
    }
    let ast = engine.compile(&source).expect("the program loads");
    // Functions of rhai see no globals: what is resident is handed to them, shared.
    let lists = match workload {
        Workload::TickResident => vec![Dynamic::from_array(records(&desired())), Dynamic::from_array(records(&observed()))],
        _ => Vec::new(),
    };
    Box::new(move || {
        seen.set(0);
        call(&engine, &ast, lists.clone()).as_int().unwrap_or_else(|_| seen.get())
    })
}
