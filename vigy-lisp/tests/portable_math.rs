//! Logarithms, powers and angles as definitions in the language: bit by bit the answers of the builtins.

use vigy_lisp::{Arity, Budget, Builtin, Builtins, CompileOptions, Data, HostFn, Image, Library, Machine, Step, compile};

const INPUTS: HostFn = HostFn { name: "inputs", arity: Arity::exactly(0), writes: false, secret: false, doc: "" };

/// Arguments at a time.
const BATCH: usize = 1_000;

fn image(function: &str, library: Library) -> Image {
    let source = format!("(map (fn [arguments] (apply {function} arguments)) (inputs))");
    compile(&source, &CompileOptions { hosts: &[&[INPUTS]], library, ..CompileOptions::default() }).expect("a program")
}

/// What the function of an image gives for each list of arguments, in a machine with these builtins: the bits of doubles, `None` for nil.
fn answers(image: &Image, builtins: &Builtins, arguments: &[Vec<Data>]) -> Vec<Option<u64>> {
    let inputs = postcard::to_allocvec(&Data::List(arguments.iter().cloned().map(Data::List).collect())).expect("data is serialisable");
    let budget = Budget { fuel: 1 << 40, heap_bytes: 8 << 20, ..Budget::default() };
    let mut memory = vec![0; image.program().words_needed(&budget)];
    let mut machine = Machine::with_builtins(image.program(), builtins, &mut memory, &budget).expect("memory of the size asked for");
    loop {
        match machine.run(u64::MAX) {
            Step::Call => {
                let list = machine.decode(&inputs).expect("a list");
                machine.resume(list);
            }
            Step::Done(v) => {
                let mut bytes = vec![0; 64 << 10];
                let n = machine.encode(v, &mut bytes).expect("data");
                let Ok(Data::List(list)) = postcard::from_bytes(&bytes[..n]) else { panic!("no list") };
                let bits = |x: Data| match x {
                    Data::Float(x) => Some(x.to_bits()),
                    Data::Nil => None,
                    other => panic!("{other:?} is no double"),
                };
                return list.into_iter().map(bits).collect();
            }
            other => panic!("{other:?}: {:?}", machine.fault()),
        }
    }
}

/// The definition of `function` gives what the builtin gives, to the bit.
fn same(function: &str, arguments: &[Vec<f64>]) {
    same_of(function, &Vec::from_iter(arguments.iter().map(|list| list.iter().map(|x| Data::Float(*x)).collect())));
}

fn same_of(function: &str, arguments: &[Vec<Data>]) {
    let primitives = Builtins::only(Vec::from_iter(Builtins::primitives().map(Builtin::numbered)).leak());
    let (native, portable) = (image(function, Library::Native), image(function, Library::Portable));
    assert!(Builtins::names().position(|name| name == function).is_some_and(|n| !portable.program().builtins().any(|b| b as usize == n)));
    for batch in arguments.chunks(BATCH) {
        let (expected, got) = (answers(&native, Builtins::ALL, batch), answers(&portable, &primitives, batch));
        assert_eq!(expected.len(), batch.len());
        let shown = |bits: &Option<u64>| bits.map(f64::from_bits);
        let wrong = expected.iter().zip(&got).zip(batch).filter(|((expected, got), _)| expected != got);
        let wrong: Vec<_> =
            wrong.map(|((expected, got), list)| format!("({function} {list:?}): {:?}, not {:?}", shown(expected), shown(got))).collect();
        assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), batch.len(), wrong[..wrong.len().min(10)].join("\n"));
    }
}

/// Bits from a generator (splitmix64).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any double.
    fn any(&mut self) -> f64 {
        f64::from_bits(self.next())
    }

    /// A double between 2^-exponent and 2^exponent, of either sign.
    fn within(&mut self, exponent: u64) -> f64 {
        let bits = self.next();
        let power = 1023 - exponent + (bits >> 20) % (2 * exponent);
        f64::from_bits(self.next() & (1 << 63 | ((1 << 52) - 1)) | power << 52)
    }

    /// A double few steps from `x`.
    fn near(&mut self, x: f64) -> f64 {
        f64::from_bits(x.to_bits().wrapping_add_signed((self.next() % 9) as i64 - 4))
    }
}

/// The doubles at which something changes.
fn special() -> Vec<f64> {
    let mut all =
        vec![0.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, f64::MAX, 5e-324, 3e-310, 1e22, 1e300, 0.4375, 0.6875, 0.975, 2.4375];
    all.extend((-1074..1024).step_by(7).map(|n| 2f64.powi(n)));
    all.extend([
        0.5,
        1.0,
        2.0,
        3.0,
        0.25,
        1.5,
        1.1875,
        700.0,
        709.782_712_893_384,
        708.396_418_532_264_1,
        745.133_219_101_941_2,
        1024.0,
        1075.0,
    ]);
    // The double that comes closest to a multiple of pi/2, and others that are close.
    all.extend([6_381_956_970_095_103.0 * 2f64.powi(797), 16_367_173.0, 5_918_830.0, 1_647_099.0, 710.0, 355.0]);
    let near: Vec<f64> =
        all.iter().flat_map(|x| [-2i64, -1, 0, 1, 2].map(|step| f64::from_bits(x.to_bits().wrapping_add_signed(step)))).collect();
    near.into_iter().flat_map(|x| [x, -x]).collect()
}

fn one_by_one(xs: impl IntoIterator<Item = f64>) -> Vec<Vec<f64>> {
    xs.into_iter().map(|x| vec![x]).collect()
}

/// Single arguments: special ones, any, ordinary ones.
fn ones(seed: u64) -> Vec<Vec<f64>> {
    let mut bits = Bits(seed);
    let mut all = special();
    all.extend((0..10_000).map(|_| bits.any()));
    all.extend((0..10_000).map(|_| bits.within(12)));
    one_by_one(all)
}

/// Pairs of arguments: special ones with each other, any, ordinary ones.
fn twos(seed: u64) -> Vec<Vec<f64>> {
    let mut bits = Bits(seed);
    let some: Vec<f64> = special().into_iter().enumerate().filter(|(i, x)| i % 29 == 0 || !x.is_normal()).map(|(_, x)| x).collect();
    let mut all: Vec<Vec<f64>> = some.iter().flat_map(|x| some.iter().map(|y| vec![*x, *y])).collect();
    all.extend((0..10_000).map(|_| vec![bits.any(), bits.any()]));
    all.extend((0..10_000).map(|_| vec![bits.within(12), bits.within(12)]));
    all
}

fn angles(seed: u64) -> Vec<Vec<f64>> {
    let mut bits = Bits(seed);
    let mut all = ones(seed);
    // Multiples of pi/2: where most of an angle cancels.
    let multiples = (0..5_000).map(|n| f64::from(if n < 40 { n } else { n * n }) * core::f64::consts::FRAC_PI_2).map(|x| bits.near(x));
    all.extend(one_by_one(multiples));
    all.extend(one_by_one((0..5_000).map(|_| bits.within(1_000))));
    all
}

fn parts(seed: u64) -> Vec<Vec<f64>> {
    let mut bits = Bits(seed);
    let all = special().into_iter().chain((0..20_000).map(|_| bits.within(30))).filter(|x| x.is_nan() || x.abs() <= 1.0);
    let mut all = one_by_one(all);
    all.extend(one_by_one((0..20_000).map(|_| (bits.next() as i64) as f64 / (1u64 << 63) as f64)));
    all
}

#[test]
fn roots() {
    same("sqrt", &ones(13));
    let mut bits = Bits(14);
    // Squares and their neighbours, where the nearest root is a close thing.
    let squares = (0..20_000).map(|_| {
        let root = bits.within(30);
        bits.near(root * root)
    });
    same("sqrt", &one_by_one(squares));
}

#[test]
fn sines() {
    same("sin", &angles(1));
}

#[test]
fn cosines() {
    same("cos", &angles(2));
}

#[test]
fn tangents() {
    same("tan", &angles(3));
}

#[test]
fn arc_sines() {
    same("asin", &parts(4));
}

#[test]
fn arc_cosines() {
    same("acos", &parts(5));
}

#[test]
fn arc_tangents() {
    same("atan", &ones(6));
}

#[test]
fn angles_of_points() {
    same("atan2", &twos(7));
}

#[test]
fn lengths() {
    same("hypot", &twos(8));
}

#[test]
fn logarithms() {
    same("log", &ones(9));
    same("log", &twos(10));
}

#[test]
fn exponentials() {
    let mut bits = Bits(11);
    let mut all = ones(11);
    all.extend(one_by_one((0..10_000).map(|_| (bits.next() as i64) as f64 / (1u64 << 53) as f64)));
    same("exp", &all);
}

#[test]
fn powers() {
    let mut bits = Bits(12);
    let mut all = twos(12);
    // Near one to large powers, and results at both ends.
    all.extend((0..10_000).map(|_| vec![bits.near(1.0) + bits.within(40) / 1e16, bits.within(60)]));
    all.extend((0..10_000).map(|_| {
        let x = bits.within(12).abs();
        vec![x, [1024.0, -1022.0, -1075.0, -1050.0][(bits.next() % 4) as usize] / x.log2() * (1.0 + bits.within(52) / 1e16)]
    }));
    all.extend((-40..40).flat_map(|x| (-40..40).map(move |y| vec![f64::from(x) / 2.0, f64::from(y) / 2.0])));
    same("expt", &all);
    same("math/pow", &all[..BATCH]);
}

#[test]
fn texts() {
    let mut bits = Bits(15);
    let mut texts: Vec<String> = special().iter().flat_map(|x| [format!("{x}"), format!("{x:e}")]).collect();
    for _ in 0..1_000 {
        let (x, y) = (bits.any(), bits.next());
        texts.extend([format!("{x:e}"), format!("{}.{}E{}", y >> 40, y & 0xffff, y as i64 % 340), format!("{}", bits.within(12))]);
    }
    same_of("parse-float", &Vec::from_iter(texts.into_iter().map(|text| vec![Data::Str(text)])));
}

#[test]
fn long_texts() {
    // The middle between the least double and nothing, with all its digits: 751 of them count.
    let least = format!("{:.1074}", 5e-324);
    let halved = least.bytes().skip(2).chain([b'0']).scan(0, |rest, digit| {
        let n = 10 * *rest + u32::from(digit - b'0');
        *rest = n % 2;
        char::from_digit(n / 2, 10)
    });
    let middle: String = halved.collect();
    let texts = [740, 760, 767, 768, 769, 770, 800, 1000, 1070, 1074, 1075].into_iter().flat_map(|n| {
        let (zeros, cut) = ("0".repeat(n), &middle[..n]);
        [
            format!("0.{cut}"),
            format!("0.{cut}1"),
            format!("0.{cut}0000000000000000"),
            format!("1{zeros}"),
            format!("9007199254740993.{zeros}1"),
            format!("9007199254740993.{zeros}"),
            format!("0.{zeros}1e{n}"),
            format!("9007199254740993{zeros}e-{n}"),
            format!("9007199254740993{zeros}1e-{}", n + 1),
        ]
    });
    same_of("parse-float", &Vec::from_iter(texts.map(|text| vec![Data::Str(text)])));
}
