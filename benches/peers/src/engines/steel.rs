//! steel, with its default prelude.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use std::cell::Cell;
use std::collections::HashMap;
use steel::SteelVal;
use steel::rvals::IntoSteelVal;
use steel::steel_vm::engine::Engine;
use steel::steel_vm::register_fn::RegisterFn;

thread_local! {
    // Host functions of steel must be `Send`, so the sum cannot be theirs.
    static SEEN: Cell<i64> = const { Cell::new(0) };
}

fn see(n: i64) {
    SEEN.set(SEEN.get() + n);
}

fn symbol(name: &str) -> SteelVal {
    SteelVal::SymbolV(name.into())
}

fn records(records: &[Record]) -> SteelVal {
    let record = |r: &Record| {
        let fields: HashMap<SteelVal, SteelVal> = HashMap::from([
            (symbol("name"), r.name.clone().into_steelval().expect("a text")),
            (symbol("replicas"), SteelVal::IntV(r.replicas as isize)),
            (symbol("image"), r.image.clone().into_steelval().expect("a text")),
        ]);
        fields.into_steelval().expect("a map")
    };
    records.iter().map(record).collect::<Vec<_>>().into_steelval().expect("a list")
}

fn text(v: Option<&SteelVal>) -> &str {
    if let Some(SteelVal::StringV(s)) = v { s.as_str() } else { "" }
}

fn emit(kind: SteelVal, payload: SteelVal) {
    let SteelVal::HashMapV(payload) = &payload else { panic!("a payload is a map") };
    let get = |name: &str| payload.get(&symbol(name));
    let replicas = if let Some(SteelVal::IntV(i)) = get("replicas") { *i as i64 } else { 0 };
    see(weigh(text(Some(&kind)), text(get("name")), replicas, text(get("image"))));
}

fn host() -> Engine {
    let mut engine = Engine::new();
    engine.register_fn("host-log", |level: SteelVal, message: SteelVal| {
        see((text(Some(&level)).len() + text(Some(&message)).len()) as i64);
    });
    engine.register_fn("noop", || ());
    let (want, have) = (desired(), observed());
    engine.register_fn("desired", move || records(&want));
    engine.register_fn("observed", move || records(&have));
    engine.register_fn("emit", emit);
    engine
}

fn source(workload: Workload) -> String {
    let diff = include_str!("../../programs/diff.steel");
    match workload {
        Workload::TickHello => include_str!("../../programs/hello.steel").into(),
        Workload::TickReconcile => format!("{diff}\n(define (tick) (diff (desired) (observed)))"),
        Workload::TickResident => {
            format!("{diff}\n(define want (desired))\n(define have (observed))\n(define (tick) (diff want have))")
        }
        Workload::Fib => include_str!("../../programs/fib.steel").into(),
        Workload::Tak => include_str!("../../programs/tak.steel").into(),
        Workload::Loop => include_str!("../../programs/loop.steel").into(),
        Workload::List => include_str!("../../programs/list.steel").into(),
        Workload::Str => include_str!("../../programs/str.steel").into(),
        Workload::Clos => include_str!("../../programs/clos.steel").into(),
        Workload::Load => include_str!("../../programs/load.steel").into(),
    }
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let mut engine = host();
    let source = source(workload);
    engine.run(source.clone()).expect("the program loads");
    Box::new(move || {
        SEEN.set(0);
        if workload == Workload::Load {
            engine.run(source.clone()).expect("the program loads");
        }
        match engine.call_function_by_name_with_args("tick", Vec::new()).expect("the program runs") {
            SteelVal::IntV(i) => i as i64,
            _ => SEEN.get(),
        }
    })
}
