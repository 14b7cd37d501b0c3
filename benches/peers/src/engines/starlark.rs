//! starlark: the module frozen, a fresh heap in each operation.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use starlark::any::ProvidesStaticType;
use starlark::environment::{FrozenModule, Globals, GlobalsBuilder, Module};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::none::NoneType;
use starlark::values::{Heap, Value};
use std::cell::Cell;

#[derive(Debug, ProvidesStaticType)]
struct Host {
    desired: Vec<Record>,
    observed: Vec<Record>,
    seen: Cell<i64>,
}

impl Host {
    fn of<'e>(eval: &Evaluator<'_, 'e, '_>) -> &'e Self {
        eval.extra.and_then(|extra| extra.downcast_ref()).expect("the host is there")
    }

    fn see(&self, n: i64) {
        self.seen.set(self.seen.get() + n);
    }
}

fn records<'v>(records: &[Record], heap: &'v Heap) -> Value<'v> {
    let record = |r: &Record| {
        let fields = [("name", heap.alloc(r.name.as_str())), ("replicas", heap.alloc(r.replicas)), ("image", heap.alloc(r.image.as_str()))];
        heap.alloc(AllocDict(fields))
    };
    heap.alloc(records.iter().map(record).collect::<Vec<_>>())
}

#[starlark_module]
fn hosts(builder: &mut GlobalsBuilder) {
    fn log<'v>(level: &str, text: &str, eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<NoneType> {
        Host::of(eval).see(level.len() as i64 + text.len() as i64);
        Ok(NoneType)
    }

    fn noop() -> anyhow::Result<NoneType> {
        Ok(NoneType)
    }

    fn desired<'v>(eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<Value<'v>> {
        Ok(records(&Host::of(eval).desired, eval.heap()))
    }

    fn observed<'v>(eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<Value<'v>> {
        Ok(records(&Host::of(eval).observed, eval.heap()))
    }

    fn emit<'v>(kind: &str, payload: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<NoneType> {
        let payload = DictRef::from_value(payload).expect("a payload is a dict");
        let text = |key| payload.get_str(key).and_then(Value::unpack_str).unwrap_or("");
        let replicas = payload.get_str("replicas").and_then(Value::unpack_i32).unwrap_or(0);
        Host::of(eval).see(weigh(kind, text("name"), i64::from(replicas), text("image")));
        Ok(NoneType)
    }
}

fn literal(records: &[Record]) -> String {
    let item = |r: &Record| format!("{{\"name\": {:?}, \"replicas\": {}, \"image\": {:?}}},\n", r.name, r.replicas, r.image);
    format!("[{}]", records.iter().map(item).collect::<String>())
}

fn source(workload: Workload) -> String {
    let diff = include_str!("../../programs/diff.star");
    match workload {
        Workload::TickHello => include_str!("../../programs/hello.star").into(),
        Workload::TickReconcile => format!("{diff}\ndef tick():\n    diff(desired(), observed())\n"),
        Workload::TickResident => {
            format!("{diff}\nwant = {}\nhave = {}\ndef tick():\n    diff(want, have)\n", literal(&desired()), literal(&observed()))
        }
        Workload::Fib => include_str!("../../programs/fib.star").into(),
        Workload::Tak => include_str!("../../programs/tak.star").into(),
        Workload::Loop => include_str!("../../programs/loop.star").into(),
        Workload::List => include_str!("../../programs/list.star").into(),
        Workload::Str => include_str!("../../programs/str.star").into(),
        Workload::Clos => include_str!("../../programs/clos.star").into(),
        Workload::Load => include_str!("../../programs/load.star").into(),
    }
}

fn load(source: &str, globals: &Globals) -> FrozenModule {
    let ast = AstModule::parse("program.star", source.to_owned(), &Dialect::Extended).expect("the program parses");
    let module = Module::new();
    Evaluator::new(&module).eval_module(ast, globals).expect("the program loads");
    module.freeze().expect("the module freezes")
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let globals = GlobalsBuilder::standard().with(hosts).build();
    let source = source(workload);
    if workload == Workload::Load {
        return Box::new(move || {
            let module = load(&source, &globals);
            i64::from(module.get("count").expect("a count").value().unpack_i32().expect("a number"))
        });
    }
    let module = load(&source, &globals);
    let host = Host { desired: desired(), observed: observed(), seen: Cell::new(0) };
    let tick = module.get("tick").expect("a tick");
    Box::new(move || {
        host.seen.set(0);
        let module = Module::new();
        let tick = tick.owned_value(module.frozen_heap());
        let mut eval = Evaluator::new(&module);
        eval.extra = Some(&host);
        let result = eval.eval_function(tick, &[], &[]).expect("the program runs");
        if result.is_none() { host.seen.get() } else { result.to_repr().parse().expect("a number") }
    })
}
