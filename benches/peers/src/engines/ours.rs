//! vigy-lisp: fuel and every budget on, as by default; a fresh heap in each operation.

use super::Operation;
use crate::workload::{Record, Workload, desired, observed, weigh};
use vigy_lisp::{Arity, Budget, CompileOptions, HostFn, Image, Machine, Step, Value, View, compile};

const fn host(name: &'static str, args: u8) -> HostFn {
    HostFn { name, arity: Arity::exactly(args), writes: false, secret: false, doc: "" }
}

const HOSTS: &[HostFn] = &[host("log", 2), host("noop", 0), host("desired", 0), host("observed", 0), host("emit", 2)];

/// What the host functions work with.
struct Host {
    desired: Vec<Record>,
    observed: Vec<Record>,
    seen: i64,
}

impl Host {
    fn new() -> Self {
        Self { desired: desired(), observed: observed(), seen: 0 }
    }

    /// Answers one call. Functions are told apart by their place among the program's imports.
    fn answer(&mut self, functions: &[usize], machine: &mut Machine<'_>) -> Value {
        match functions[machine.call().import as usize] {
            0 => {
                let text = |i| machine.text(machine.arg(i)).expect("texts").len() as i64;
                self.seen += text(0) + text(1);
                Value::NIL
            }
            1 => Value::NIL,
            2 => records(&self.desired, machine),
            3 => records(&self.observed, machine),
            _ => {
                self.seen += action(machine);
                Value::NIL
            }
        }
    }
}

fn records(records: &[Record], machine: &mut Machine<'_>) -> Value {
    let [name, replicas, image] = ["name", "replicas", "image"].map(|k| machine.keyword(k).expect("heap"));
    let mut list = [Value::NIL; 64];
    for (record, item) in records.iter().zip(&mut list) {
        let entries = [
            (name, machine.string(&record.name).expect("heap")),
            (replicas, machine.int(record.replicas).expect("heap")),
            (image, machine.string(&record.image).expect("heap")),
        ];
        *item = machine.map(&entries).expect("heap");
    }
    machine.list(&list[..records.len()]).expect("heap")
}

/// Reads an action and its payload.
fn action(machine: &Machine<'_>) -> i64 {
    let (kind, View::Map(payload)) = (machine.text(machine.arg(0)).expect("a kind"), machine.view(machine.arg(1))) else {
        panic!("a payload is a map");
    };
    let (mut name, mut replicas, mut image) = ("", 0, "");
    for (key, value) in payload {
        match (machine.text(key), machine.view(value)) {
            (Some("name"), View::Str(s)) => name = s,
            (Some("replicas"), View::Int(i)) => replicas = i,
            (Some("image"), View::Str(s)) => image = s,
            _ => panic!("no such field"),
        }
    }
    weigh(kind, name, replicas, image)
}

/// One run of a program.
fn run(machine: &mut Machine<'_>, host: &mut Host, functions: &[usize]) -> i64 {
    host.seen = 0;
    loop {
        match machine.run(u64::MAX) {
            Step::Done(v) => return if let View::Int(i) = machine.view(v) { i } else { host.seen },
            Step::Call => {
                let v = host.answer(functions, machine);
                machine.resume(v);
            }
            step => panic!("{step:?}: {:?}", machine.fault()),
        }
    }
}

fn load(source: &str) -> Image {
    compile(source, &CompileOptions { hosts: &[HOSTS], ..CompileOptions::default() }).expect("the program compiles")
}

fn memory(image: &Image) -> Vec<u64> {
    vec![0; image.program().words_needed(&Budget::default())]
}

/// The number of each import of a program among [`HOSTS`].
fn functions(image: &Image) -> Vec<usize> {
    image.program().imports().map(|i| HOSTS.iter().position(|h| h.name == i).expect("a function of the host")).collect()
}

fn quoted(records: &[Record]) -> String {
    let item = |r: &Record| format!("{{:name {:?} :replicas {} :image {:?}}}\n", r.name, r.replicas, r.image);
    format!("'({})", records.iter().map(item).collect::<String>())
}

/// The text of a workload's program.
fn source(workload: Workload) -> String {
    let diff = include_str!("../../programs/diff.tlisp");
    match workload {
        Workload::TickHello => include_str!("../../programs/hello.tlisp").into(),
        Workload::TickReconcile => format!("{diff}\n(diff (desired) (observed))"),
        Workload::TickResident => format!("{diff}\n(diff {} {})", quoted(&desired()), quoted(&observed())),
        Workload::Fib => include_str!("../../programs/fib.tlisp").into(),
        Workload::Tak => include_str!("../../programs/tak.tlisp").into(),
        Workload::Loop => include_str!("../../programs/loop.tlisp").into(),
        Workload::List => include_str!("../../programs/list.tlisp").into(),
        Workload::Str => include_str!("../../programs/str.tlisp").into(),
        Workload::Clos => include_str!("../../programs/clos.tlisp").into(),
        Workload::Load => include_str!("../../programs/load.tlisp").into(),
    }
}

pub(super) fn prepare(workload: Workload) -> Operation {
    let source = source(workload);
    let image = load(&source);
    let mut words = memory(&image);
    let mut host = Host::new();
    if workload == Workload::Load {
        return Box::new(move || {
            let image = load(&source);
            let mut machine = Machine::new(image.program(), &mut words, &Budget::default()).expect("enough memory");
            run(&mut machine, &mut host, &[])
        });
    }
    // Loaded programs live as long as the process, as they do in a host.
    let image: &'static Image = Box::leak(Box::new(image));
    let functions = functions(image);
    let mut machine = Machine::new(image.program(), words.leak(), &Budget::default()).expect("enough memory");
    Box::new(move || run(&mut machine, &mut host, &functions))
}
