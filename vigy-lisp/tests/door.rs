//! What crosses between machine and host: calls, answers, data.

mod common;

use common::outcome;
use vigy_lisp::{Arity, Budget, CompileOptions, Data, DecodeError, EncodeError, HostFn, Image, Machine, Step, compile};

const HOSTS: &[&[HostFn]] = &[&[
    HostFn { name: "give", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
    HostFn { name: "ask", arity: Arity::between(1, 2), writes: false, secret: false, doc: "" },
]];

fn image(source: &str) -> Image {
    let options = CompileOptions { hosts: HOSTS, ..CompileOptions::default() };
    compile(source, &options).expect("a program")
}

fn memory(image: &Image) -> Vec<u64> {
    vec![0; image.program().words_needed(&Budget::default())]
}

/// Values of every kind of data, and nested.
fn samples() -> Vec<Data> {
    vec![
        Data::Nil,
        Data::Bool(true),
        Data::Bool(false),
        Data::Int(0),
        Data::Int(i64::MIN),
        Data::Int(i64::MAX),
        Data::Float(0.0),
        Data::Float(-0.0),
        Data::Float(0.1),
        Data::Float(1e300),
        Data::from("héllo"),
        Data::from("a string that is longer than one word"),
        Data::symbol("sym"),
        Data::keyword("key/word"),
        Data::List(vec![Data::Int(1), Data::List(vec![Data::from("x")]), Data::Nil]),
        Data::map([("a", Data::Int(1)), ("b", Data::map([("c", Data::Bool(true))]))]),
        Data::Map((0..40).map(|i| (Data::Int(i), Data::from(i * i))).collect()),
    ]
}

#[test]
fn data_is_written_as_postcard_writes_it() {
    let image = image("(give)");
    let mut memory = memory(&image);
    let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
    assert_eq!(machine.run(u64::MAX), Step::Call);
    for data in samples() {
        let bytes = postcard::to_allocvec(&data).expect("postcard");
        let v = machine.decode(&bytes).expect("a value");
        let mut out = [0; 4096];
        let n = machine.encode(v, &mut out).expect("data");
        assert_eq!(&out[..n], bytes, "{data:?}");
        assert_eq!(postcard::from_bytes::<Data>(&out[..n]), Ok(data));
    }
}

#[test]
fn damaged_bytes_are_typed_errors() {
    let image = image("(give)");
    let mut memory = memory(&image);
    let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
    assert_eq!(machine.decode(&[]), Err(DecodeError::Short));
    assert_eq!(machine.decode(&[9]), Err(DecodeError::Malformed));
    assert_eq!(machine.decode(&[0, 0]), Err(DecodeError::Trailing));
    assert_eq!(machine.decode(&[4, 2, 0xff, 0xff]), Err(DecodeError::NotUtf8));
    assert_eq!(machine.decode(&[7, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(DecodeError::Short));
    assert_eq!(machine.decode(&[&[7, 1].repeat(100)[..], &[0]].concat()), Err(DecodeError::TooDeep));
    // Every prefix and every changed byte of a larger value.
    let bytes = postcard::to_allocvec(&Data::List(samples())).expect("postcard");
    for cut in (0..bytes.len()).step_by(if cfg!(miri) { 37 } else { 1 }) {
        assert!(machine.decode(&bytes[..cut]).is_err());
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[cut] ^= 1 << bit;
            let _ = machine.decode(&changed);
        }
        machine.rewind();
    }
}

#[test]
fn what_is_not_data_cannot_leave() {
    let image = image("(list 1 car)");
    let mut memory = memory(&image);
    let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
    let Step::Done(v) = machine.run(u64::MAX) else { panic!("it runs") };
    assert_eq!(machine.encode(v, &mut [0; 64]), Err(EncodeError::NotData("native-fn")));
    assert_eq!(machine.encode(v, &mut [0; 3]), Err(EncodeError::TooLarge));
}

#[test]
fn a_host_call_stops_the_machine() {
    let image = image("(define (twice x) (* 2 (ask x))) (+ (twice 20) (try (ask 1 2) (catch (e) 2)))");
    assert_eq!(image.program().imports().collect::<Vec<_>>(), ["ask"]);
    let mut memory = memory(&image);
    let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
    assert_eq!(machine.run(u64::MAX), Step::Call);
    assert_eq!(machine.run(u64::MAX), Step::Call, "it waits");
    assert_eq!((machine.call().import, machine.arg_count()), (0, 1));
    let v = machine.arg(0);
    machine.resume(v);
    assert_eq!(machine.run(u64::MAX), Step::Call);
    assert_eq!(machine.arg_count(), 2);
    machine.raise("refused", "not today");
    let Step::Done(v) = machine.run(u64::MAX) else { panic!("{:?}", machine.fault()) };
    assert!(matches!(machine.view(v), vigy_lisp::View::Int(42)));
}

#[test]
fn an_uncaught_host_failure_fails_the_run_at_its_place() {
    let image = image("(+ 1\n   (ask 2))");
    let mut memory = memory(&image);
    let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
    assert_eq!(machine.run(u64::MAX), Step::Call);
    machine.raise("refused", "not today");
    assert_eq!(machine.run(u64::MAX), Step::Failed);
    assert_eq!(machine.fault().map(|fault| fault.to_string()), Some("2:4: refused: not today".to_string()));
}

#[test]
fn slices_change_nothing() {
    let image = image("(define (f n acc) (if (= n 0) acc (f (- n 1) (+ acc n)))) (f 10000 0)");
    let mut memory = memory(&image);
    let mut used = Vec::new();
    for slice in [1, 7, 1_000, u64::MAX] {
        let mut machine = Machine::new(image.program(), &mut memory, &Budget::default()).expect("memory");
        while machine.run(slice) == Step::Paused {}
        used.push(machine.fuel_used());
    }
    assert!(used.iter().all(|u| *u == used[0]), "{used:?}");
}

#[test]
fn less_memory_than_the_budget_is_refused() {
    let image = image("1");
    let needed = image.program().words_needed(&Budget::default());
    let mut memory = vec![0; needed - 1];
    let refused = Machine::new(image.program(), &mut memory, &Budget::default()).err().expect("refused");
    assert_eq!((refused.needed, refused.given), (needed, needed - 1));
}

#[test]
fn an_image_is_its_bytes() {
    let image = image("(define (sq x) (* x x)) (map sq [1 2 3])");
    let copy = Image::from_bytes(image.as_bytes()).expect("the same image");
    assert_eq!(copy.hash(), image.hash());
    assert_eq!(outcome(&copy, &Budget::default()).0, Ok("(1 4 9)".to_string()));
}

#[test]
#[cfg_attr(miri, ignore = "it fills the heap again and again")]
fn answers_and_failures_make_room_for_themselves() {
    // Each answer fills most of the heap; only the last one is kept.
    let source = "(loop [i 0 keep ()] (if (= i 50) (string-length keep) (recur (+ i 1) (if (odd? i) (try (ask i) (catch (e) (error-message e))) (give)))))";
    let image = image(source);
    let budget = Budget { heap_bytes: 4_096, ..Budget::default() };
    let mut memory = vec![0; image.program().words_needed(&budget)];
    let mut machine = Machine::new(image.program(), &mut memory, &budget).expect("memory");
    let answer = postcard::to_allocvec(&Data::from("x".repeat(1_900).as_str())).expect("postcard");
    loop {
        match machine.run(u64::MAX) {
            Step::Call if machine.arg_count() > 0 => machine.raise("refused", &"y".repeat(200)),
            Step::Call => {
                let v = machine.decode(&answer).expect("room");
                machine.resume(v);
            }
            Step::Done(v) => break assert!(matches!(machine.view(v), vigy_lisp::View::Int(200))),
            other => panic!("{other:?} {:?}", machine.fault()),
        }
    }
    assert!(machine.collector_fuel() > 0 && machine.heap_used() <= 4_096);
}

#[test]
fn room_is_made_before_it_is_needed() {
    let image = image("(list 1 2 3) (list 1 2 3) (ask \"what is kept\")");
    let budget = Budget { heap_bytes: 256, ..Budget::default() };
    let mut memory = vec![0; image.program().words_needed(&budget)];
    let mut machine = Machine::new(image.program(), &mut memory, &budget).expect("memory");
    assert_eq!(machine.run(u64::MAX), Step::Call);
    while machine.string("garbage").is_ok() {}
    assert!(machine.reserve(200).is_ok() && machine.string("room again").is_ok());
    assert!(machine.reserve(1_000).is_err());
    let v = machine.arg(0);
    assert_eq!(machine.text(v), Some("what is kept"));
}
