//! Rust values become values of the language and come back, through a machine and through `Data`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vigy_lisp::{Budget, CompileOptions, Data, Image, Machine, Style, compile};

/// Does something with a machine that runs nothing.
fn with_machine<T>(work: impl FnOnce(&mut Machine<'_>) -> T) -> T {
    let image: Image = compile("()", &CompileOptions::default()).expect("a program");
    let budget = Budget { heap_bytes: 1 << 20, stack_words: 1 << 10, ..Budget::default() };
    let mut memory = vec![0; image.program().words_needed(&budget)];
    work(&mut Machine::new(image.program(), &mut memory, &budget).expect("memory"))
}

/// `value` is written as `expected`, and comes back the same.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, expected: &str) {
    with_machine(|machine| {
        let made = machine.to_value(&value).expect("a value");
        let mut text = String::new();
        machine.display(made, Style::Readable, &mut text).expect("a string takes everything");
        assert_eq!(text, expected);
        assert_eq!(machine.from_value::<T>(made).as_ref(), Ok(&value));
        let data = Data::of(&value).expect("data");
        assert_eq!(machine.from_value::<Data>(made).as_ref(), Ok(&data));
        assert_eq!(data.to::<T>(), Ok(value));
    });
}

/// `data` is no `T`, and the error says so.
#[track_caller]
fn fails<T: DeserializeOwned + Debug>(data: Data, message: &str) {
    assert_eq!(data.to::<T>().expect_err("it does not fit").to_string(), message);
    let held = with_machine(|machine| {
        let made = machine.to_value(&data).expect("a value");
        machine.from_value::<T>(made).expect_err("it does not fit").to_string()
    });
    assert_eq!(held, message);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i64, i64),
    Rect { width: u32, height: u32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    tags: Vec<String>,
    shape: Shape,
    parent: Option<Box<Self>>,
    labels: BTreeMap<String, i64>,
    scores: BTreeMap<i64, bool>,
    pair: (u8, char),
    #[serde(rename = "any-thing")]
    anything: Data,
}

#[test]
fn every_type_has_its_value() {
    check((), "()");
    check(Unit, "()");
    check(true, "#t");
    check(-7_i8, "-7");
    check(i64::MIN, "-9223372036854775808");
    check(u64::from(u32::MAX), "4294967295");
    check(1.5_f64, "1.5");
    check(0.5_f32, "0.5");
    check('é', "\"é\"");
    check("text".to_string(), "\"text\"");
    check(Some(3), "3");
    check(None::<i64>, "()");
    check(vec![1, 2, 3], "(1 2 3)");
    check(Vec::<i64>::new(), "()");
    check((1, "two".to_string(), 3.5), "(1 \"two\" 3.5)");
    check([1_u8; 3], "(1 1 1)");
    check(Meters(2.5), "2.5");
    check(BTreeMap::from([("a".to_string(), 1), ("b/c d".to_string(), 2)]), "{:a 1, :b/c d 2}");
    check(BTreeMap::from([(1, "x".to_string()), (2, "y".to_string())]), "{1 \"x\", 2 \"y\"}");
    check(BTreeMap::<String, i64>::new(), "{}");
    check((0..300).collect::<Vec<i64>>(), &format!("({})", (0..300).map(|i| i.to_string()).collect::<Vec<_>>().join(" ")));
}

#[test]
fn enums_are_keywords_or_maps() {
    check(Shape::Point, ":Point");
    check(Shape::Circle(1.5), "{:Circle 1.5}");
    check(Shape::Line(1, 2), "{:Line (1 2)}");
    check(Shape::Rect { width: 1, height: 2 }, "{:Rect {:width 1, :height 2}}");
}

#[test]
fn a_key_that_comes_twice_keeps_its_place_and_gets_the_later_value() {
    let twice = |n: i64| Data::Map((0..n).chain(0..n).map(|i| (Data::keyword(&format!("k{i}")), Data::Int(i % 3))).collect());
    for n in [1, 3, 8, 20] {
        with_machine(|machine| {
            let made = machine.to_value(&twice(n)).expect("a value");
            let entries = machine.from_value::<Vec<(String, i64)>>(made).expect("entries");
            assert_eq!(entries, (0..n).map(|i| (format!("k{i}"), i % 3)).collect::<Vec<_>>());
        });
    }
}

#[test]
fn data_inside_of_other_types_stays_what_it_is() {
    check(Data::List(vec![Data::symbol("s"), Data::keyword("k"), Data::from("t"), Data::Nil]), "(s :k \"t\" ())");
    check(
        Data::Map(vec![(Data::Int(1), Data::map([("a", Data::symbol("x"))])), (Data::from("k"), Data::Bool(true))]),
        "{1 {:a x}, \"k\" #t}",
    );
    check(vec![(Data::keyword("a"), 1)], "((:a 1))");
}

#[test]
fn texts_are_borrowed_and_taken_from_names_too() {
    with_machine(|machine| {
        let made = machine.to_value(&["a", "b"]).expect("a value");
        assert_eq!(machine.from_value::<Vec<&str>>(made), Ok(vec!["a", "b"]));
    });
    assert_eq!(Data::keyword("a").to::<String>(), Ok("a".to_string()));
    assert_eq!(Data::symbol("Point").to::<Shape>(), Ok(Shape::Point));
    assert_eq!(Data::from("Point").to::<Shape>(), Ok(Shape::Point));
    assert_eq!(Data::map([("a", Data::Int(1))]).to::<Vec<(String, i64)>>(), Ok(vec![("a".to_string(), 1)]));
    assert_eq!(Data::Nil.to::<BTreeMap<String, i64>>(), Ok(BTreeMap::new()));
    assert_eq!(Data::from("anything").to::<()>(), Ok(()));
}

#[test]
fn what_does_not_fit_says_where_and_what() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Pod {
        spec: Spec,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Spec {
        ports: Vec<u16>,
    }
    let pod = |spec: Data| Data::map([("spec", spec)]);
    let ports = |list: Vec<Data>| pod(Data::map([("ports", Data::from(list))]));
    fails::<i64>(Data::from("3"), "expected i64, got \"3\"");
    fails::<u8>(Data::Int(-1), "expected u8, got -1");
    fails::<i64>(Data::Float(1.5), "expected i64, got 1.5");
    fails::<Vec<i64>>(Data::Int(1), "expected a sequence, got 1");
    fails::<(i64, i64)>(Data::from(vec![Data::Int(1)]), "expected a tuple of size 2, got 1 elements");
    fails::<Pod>(Data::Nil, "expected struct Pod, got ()");
    fails::<Pod>(pod(Data::Int(1)), "at [:spec]: expected struct Spec, got 1");
    fails::<Pod>(pod(Data::map([])), "at [:spec]: `:ports` is missing");
    fails::<Pod>(pod(Data::map([("port", Data::Nil)])), "at [:spec]: `:port` is unknown; did you mean `:ports`?");
    fails::<Pod>(ports(vec![Data::Int(1), Data::from("x")]), "at [:spec :ports 1]: expected u16, got \"x\"");
    fails::<Pod>(ports(vec![Data::Int(70_000)]), "at [:spec :ports 0]: expected u16, got 70000");
    fails::<Shape>(Data::keyword("Pint"), "`:Pint` is unknown; did you mean `:Point`?");
    fails::<Shape>(Data::keyword("Circle"), "expected a map from `:Circle` to what it holds");
    fails::<Shape>(Data::map([("Line", Data::from(vec![Data::Int(1), Data::Nil]))]), "at [:Line 1]: expected i64, got ()");
    fails::<BTreeMap<String, bool>>(Data::map([("a", Data::Bool(true)), ("b", Data::Nil)]), "at [:b]: expected a boolean, got ()");
}

#[test]
fn what_is_no_value_says_where_and_what() {
    assert_eq!(Data::of(&u64::MAX).expect_err("too large").to_string(), "18446744073709551615 does not fit into an int");
    let nested = BTreeMap::from([("a", vec![1_u64, u64::MAX])]);
    assert_eq!(Data::of(&vec![nested]).expect_err("too large").path().collect::<Vec<_>>(), ["0", "entry 0", "1"]);
    let mut deep = Data::Nil;
    for _ in 0..100 {
        deep = Data::List(vec![deep]);
    }
    assert_eq!(Data::of(&deep).expect_err("too deep").to_string(), "the value is nested deeper than 64");
    assert_eq!(deep.to::<Data>().expect_err("too deep").message(), "the value is nested deeper than 64");
}

/// Random values, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn text(&mut self) -> String {
        (0..self.below(12)).map(|_| ['a', 'Z', '-', '/', ' ', 'é', '☃', '"'][self.below(8) as usize]).collect()
    }

    fn shape(&mut self) -> Shape {
        match self.below(4) {
            0 => Shape::Point,
            1 => Shape::Circle(self.float()),
            2 => Shape::Line(self.int(), self.int()),
            _ => Shape::Rect { width: self.next() as u32, height: self.next() as u32 },
        }
    }

    fn int(&mut self) -> i64 {
        self.next() as i64 >> self.below(64)
    }

    fn float(&mut self) -> f64 {
        let x = f64::from_bits(self.next());
        if x.is_nan() { 0.5 } else { x }
    }

    fn data(&mut self, depth: u64) -> Data {
        match self.below(if depth == 0 { 7 } else { 9 }) {
            0 => Data::Nil,
            1 => Data::Bool(self.below(2) == 0),
            2 => Data::Int(self.int()),
            3 => Data::Float(self.float()),
            4 => Data::Str(self.text()),
            5 => Data::Symbol(self.text()),
            6 => Data::Keyword(self.text()),
            // The empty list is nil.
            7 => Data::from((0..self.below(5)).map(|_| self.data(depth - 1)).collect::<Vec<_>>()),
            // A map has a key once.
            _ => Data::Map((0..self.below(5)).map(|i| (Data::Int(i as i64), self.data(depth - 1))).collect()),
        }
    }

    fn record(&mut self, depth: u64) -> Record {
        Record {
            name: self.text(),
            tags: (0..self.below(4)).map(|_| self.text()).collect(),
            shape: self.shape(),
            parent: (depth > 0 && self.below(2) == 0).then(|| Box::new(self.record(depth - 1))),
            labels: (0..self.below(20)).map(|_| (self.text(), self.int())).collect(),
            scores: (0..self.below(4)).map(|_| (self.int(), true)).collect(),
            pair: (self.next() as u8, 'ß'),
            anything: self.data(3),
        }
    }
}

#[test]
fn random_values_come_back_the_same() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    with_machine(|machine| {
        for _ in 0..10_000 {
            let record = random.record(3);
            machine.rewind();
            let made = machine.to_value(&record).expect("a value");
            assert_eq!(machine.from_value::<Record>(made).as_ref(), Ok(&record));
            let data = Data::of(&record).expect("data");
            assert_eq!(machine.from_value::<Data>(made).as_ref(), Ok(&data));
            assert_eq!(data.to::<Record>(), Ok(record));
        }
    });
}

#[test]
fn data_go_into_a_machine_as_their_bytes_would() {
    let mut random = Random(42);
    with_machine(|machine| {
        for _ in 0..1_000 {
            let data = random.data(4);
            machine.rewind();
            let made = machine.to_value(&data).expect("a value");
            let mut bytes = [0; 65_536];
            let n = machine.encode(made, &mut bytes).expect("data");
            assert_eq!(bytes[..n], postcard::to_allocvec(&data).expect("postcard"));
            assert_eq!(Data::decode(&bytes[..n]), Ok(data));
        }
    });
}

#[test]
fn damaged_bytes_are_no_data() {
    let bytes = postcard::to_allocvec(&Random(7).data(4)).expect("postcard");
    for cut in 0..bytes.len() {
        assert!(Data::decode(&bytes[..cut]).is_err());
    }
    for bytes in [&[9][..], &[0, 0], &[4, 2, 0xff, 0xff], &[7, 0xff, 0xff, 0xff, 0xff, 0x0f], &[7, 1].repeat(100)] {
        assert!(Data::decode(bytes).is_err(), "{bytes:?}");
    }
}
