//! Base64, hex, URL encoding, hashes, and paths as text.

use super::Answer;
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

fn fail(m: &mut Machine<'_>, name: &str, what: &str) -> Stop {
    m.error(Tag::NativeFn, &["`", name, "`: ", what])
}

fn text(m: &mut Machine<'_>, at: usize, name: &str) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::STRING) { Ok(v) } else { Err(fail(m, name, "a string is expected")) }
}

/// Makes a string of the bytes that `step` makes of the text, stretch by stretch: it says how many it took, and what they mean.
fn decoded(m: &mut Machine<'_>, v: Value, len: usize, name: &str, step: impl Fn(&[u8]) -> Option<(usize, [u8; 3], usize)>) -> Answer {
    m.charge(len)?;
    let mut w = m.heap.writer()?;
    let mut at = 0;
    let mut well = true;
    while well && at < len {
        match step(&w.heap().bytes(v)[at..len]) {
            Some((took, bytes, n)) => {
                w.push_bytes(&bytes[..n]);
                at += took;
            }
            None => well = false,
        }
    }
    if well && w.is_text() {
        return Ok(w.seal()?);
    }
    Err(fail(m, name, if well { "the bytes are no text" } else { "the text is malformed" }))
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode64(m: &mut Machine<'_>, at: usize, name: &str, alphabet: &[u8; 64], pad: bool) -> Answer {
    let v = text(m, at, name)?;
    let len = m.heap.bytes(v).len();
    super::string::build(m, |w| {
        let mut i = 0;
        while i < len {
            let bytes = w.heap().bytes(v);
            let n = (len - i).min(3);
            let mut group = 0u32;
            for k in 0..3 {
                group = group << 8 | if k < n { u32::from(bytes[i + k]) } else { 0 };
            }
            for k in 0..4 {
                if k <= n {
                    w.push_bytes(&[alphabet[(group >> (18 - 6 * k)) as usize & 63]]);
                } else if pad {
                    w.push_bytes(b"=");
                }
            }
            i += 3;
        }
    })
}

fn decode64(m: &mut Machine<'_>, at: usize, name: &str, alphabet: &'static [u8; 64], pad: bool) -> Answer {
    let v = text(m, at, name)?;
    let bytes = m.heap.bytes(v);
    let mut len = bytes.len();
    if pad {
        len = bytes.iter().rposition(|b| *b != b'=').map_or(0, |i| i + 1);
        if !bytes.len().is_multiple_of(4) || bytes.len() - len > 2 {
            return Err(fail(m, name, "the text is malformed"));
        }
    }
    decoded(m, v, len, name, |bytes| {
        let n = bytes.len().min(4);
        let mut group = 0u32;
        for byte in &bytes[..n] {
            group = group << 6 | alphabet.iter().position(|a| a == byte)? as u32;
        }
        // Of a short group, the bits that belong to no byte are zero.
        let bits = 6 * n as u32;
        let whole = group << (24 - bits);
        let [_, made @ ..] = whole.to_be_bytes();
        (n > 1 && group & ((1 << (bits % 8)) - 1) == 0).then_some((n, made, n * 6 / 8))
    })
}

pub(super) fn base64_encode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    encode64(m, at, "base64-encode", STANDARD, true)
}
pub(super) fn base64_decode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    decode64(m, at, "base64-decode", STANDARD, true)
}
pub(super) fn base64url_encode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    encode64(m, at, "base64url-encode", URL, false)
}
pub(super) fn base64url_decode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    decode64(m, at, "base64url-decode", URL, false)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn hex_encode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "hex-encode")?;
    let len = m.heap.bytes(v).len();
    super::string::build(m, |w| {
        for i in 0..len {
            let b = w.heap().bytes(v)[i];
            w.push_bytes(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    })
}

fn digit(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

pub(super) fn hex_decode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "hex-decode")?;
    let len = m.heap.bytes(v).len();
    decoded(m, v, len, "hex-decode", |bytes| {
        let byte = digit(bytes[0])? << 4 | digit(*bytes.get(1)?)?;
        Some((2, [byte, 0, 0], 1))
    })
}

pub(super) fn url_encode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "url-encode")?;
    let len = m.heap.bytes(v).len();
    super::string::build(m, |w| {
        for i in 0..len {
            let b = w.heap().bytes(v)[i];
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
                w.push_bytes(&[b]);
            } else {
                let upper = |d: u8| HEX[usize::from(d)].to_ascii_uppercase();
                w.push_bytes(&[b'%', upper(b >> 4), upper(b & 15)]);
            }
        }
    })
}

pub(super) fn url_decode(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "url-decode")?;
    let len = m.heap.bytes(v).len();
    decoded(m, v, len, "url-decode", |bytes| match bytes {
        [b'%', rest @ ..] => Some((3, [digit(*rest.first()?)? << 4 | digit(*rest.get(1)?)?, 0, 0], 1)),
        _ => Some((1, [bytes[0], 0, 0], 1)),
    })
}

/// The fractional bits of a root of a prime, as SHA-2 takes its constants: by integer search, so that no table is copied.
const fn root_bits(prime: u64, cube: bool) -> u64 {
    // floor(prime^(1/k) * 2^64) modulo 2^64, bit by bit: x^k <= prime * 2^(64 k).
    let mut low: u128 = 0;
    let mut bit: u128 = 1 << 69;
    while bit > 0 {
        let x = low | bit;
        if fits(x, prime, cube) {
            low = x;
        }
        bit >>= 1;
    }
    low as u64
}

/// Whether x^2 <= prime * 2^128, or x^3 <= prime * 2^192, in limbs of 32 bits.
const fn fits(x: u128, prime: u64, cube: bool) -> bool {
    let limbs = [x as u32 as u64, (x >> 32) as u32 as u64, (x >> 64) as u32 as u64, 0, 0, 0, 0, 0];
    let mut product = multiply(&limbs, &limbs);
    if cube {
        product = multiply(&product, &limbs);
    }
    let mut bound = [0u64; 8];
    let shift = if cube { 6 } else { 4 };
    bound[shift] = prime as u32 as u64;
    let mut i = 8;
    while i > 0 {
        i -= 1;
        if product[i] != bound[i] {
            return product[i] < bound[i];
        }
    }
    true
}

const fn multiply(a: &[u64; 8], b: &[u64; 8]) -> [u64; 8] {
    let mut out = [0u64; 8];
    let mut i = 0;
    while i < 8 {
        let mut carry = 0u64;
        let mut j = 0;
        while i + j < 8 {
            let t = out[i + j] + a[i] * b[j] + carry;
            out[i + j] = t & 0xffff_ffff;
            carry = t >> 32;
            j += 1;
        }
        i += 1;
    }
    out
}

const fn primes() -> [u64; 80] {
    let mut out = [0u64; 80];
    let mut n = 0;
    let mut candidate = 2;
    while n < 80 {
        let mut d = 2;
        let mut prime = true;
        while d * d <= candidate {
            if candidate % d == 0 {
                prime = false;
            }
            d += 1;
        }
        if prime {
            out[n] = candidate;
            n += 1;
        }
        candidate += 1;
    }
    out
}

const fn roots(cube: bool) -> [u64; 80] {
    let primes = primes();
    let mut out = [0u64; 80];
    let mut i = 0;
    while i < 80 {
        if cube || i < 8 {
            out[i] = root_bits(primes[i], cube);
        }
        i += 1;
    }
    out
}

static ROUND: [u64; 80] = roots(true);
static START: [u64; 80] = roots(false);

/// SHA-256 (`wide` false) or SHA-512 of the bytes that `byte` gives.
fn sha2(len: usize, wide: bool, byte: impl Fn(usize) -> u8) -> [u64; 8] {
    let (block, word, rounds) = if wide { (128, 8, 80) } else { (64, 4, 64) };
    let bits = word as u32 * 8;
    // SHA-256 works on the upper halves of SHA-512's constants, its words kept in the lower half here.
    let narrow = |x: u64| if wide { x } else { x >> 32 };
    let mask = if wide { u64::MAX } else { 0xffff_ffff };
    let rot = |x: u64, n: u32| {
        if wide { x.rotate_right(n) } else { u64::from((x as u32).rotate_right(n)) }
    };
    let _ = bits;
    let mut h = [0u64; 8];
    for (h, s) in h.iter_mut().zip(&START) {
        *h = narrow(*s);
    }
    let padded = (len + 1 + 2 * word).next_multiple_of(block);
    let length = (len as u64) << 3;
    let at = |i: usize| -> u8 {
        if i < len {
            byte(i)
        } else if i == len {
            0x80
        } else if i + 8 >= padded {
            (length >> (8 * (padded - 1 - i))) as u8
        } else {
            0
        }
    };
    let (s0, s1, e0, e1) =
        if wide { ((1, 8, 7), (19, 61, 6), (28, 34, 39), (14, 18, 41)) } else { ((7, 18, 3), (17, 19, 10), (2, 13, 22), (6, 11, 25)) };
    for start in (0..padded).step_by(block) {
        let mut w = [0u64; 80];
        for (t, w) in w.iter_mut().enumerate().take(16) {
            *w = (0..word).fold(0, |acc, k| acc << 8 | u64::from(at(start + t * word + k)));
        }
        for t in 16..rounds {
            let a = rot(w[t - 15], s0.0) ^ rot(w[t - 15], s0.1) ^ w[t - 15] >> s0.2;
            let b = rot(w[t - 2], s1.0) ^ rot(w[t - 2], s1.1) ^ w[t - 2] >> s1.2;
            w[t] = w[t - 16].wrapping_add(a).wrapping_add(w[t - 7]).wrapping_add(b) & mask;
        }
        let mut v = h;
        for t in 0..rounds {
            let sum1 = rot(v[4], e1.0) ^ rot(v[4], e1.1) ^ rot(v[4], e1.2);
            let choose = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7].wrapping_add(sum1).wrapping_add(choose).wrapping_add(narrow(ROUND[t])).wrapping_add(w[t]) & mask;
            let sum0 = rot(v[0], e0.0) ^ rot(v[0], e0.1) ^ rot(v[0], e0.2);
            let major = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            let t2 = sum0.wrapping_add(major) & mask;
            v = [t1.wrapping_add(t2) & mask, v[0], v[1], v[2], v[3].wrapping_add(t1) & mask, v[4], v[5], v[6]];
        }
        for (h, v) in h.iter_mut().zip(v) {
            *h = h.wrapping_add(v) & mask;
        }
    }
    h
}

fn hash(m: &mut Machine<'_>, at: usize, name: &str, wide: bool) -> Answer {
    let v = text(m, at, name)?;
    let len = m.heap.bytes(v).len();
    m.charge(len)?;
    let bytes = m.heap.bytes(v);
    let h = sha2(len, wide, |i| bytes[i]);
    super::string::build(m, |w| {
        use core::fmt::Write;
        for word in h {
            // A writer that is full says so when it is sealed.
            let _ = if wide { write!(w, "{word:016x}") } else { write!(w, "{word:08x}") };
        }
    })
}

pub(super) fn sha256(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    hash(m, at, "sha256", false)
}
pub(super) fn sha512(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    hash(m, at, "sha512", true)
}

/// `(hmac-sha256 key message)`
pub(super) fn hmac_sha256(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    const BLOCK: usize = 64;
    let key = text(m, at, "hmac-sha256")?;
    let message = text(m, at + 1, "hmac-sha256")?;
    m.charge(m.heap.bytes(key).len() + m.heap.bytes(message).len() + 4 * BLOCK)?;
    let (key, message) = (m.heap.bytes(key), m.heap.bytes(message));
    let len = message.len();
    let mut padded = [0u8; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&sha256_bytes(key.len(), |i| key[i]));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = sha256_bytes(BLOCK + len, |i| if i < BLOCK { padded[i] ^ 0x36 } else { message[i - BLOCK] });
    let outer = sha256_bytes(BLOCK + 32, |i| if i < BLOCK { padded[i] ^ 0x5c } else { inner[i - BLOCK] });
    hex(m, &outer)
}

fn sha256_bytes(len: usize, byte: impl Fn(usize) -> u8) -> [u8; 32] {
    let mut out = [0; 32];
    for (four, word) in out.chunks_exact_mut(4).zip(sha2(len, false, byte)) {
        four.copy_from_slice(&(word as u32).to_be_bytes());
    }
    out
}

fn hex(m: &mut Machine<'_>, bytes: &[u8]) -> Answer {
    super::string::build(m, |w| {
        for b in bytes {
            w.push_bytes(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    })
}

/// `(sha1 text)`: for what still asks for it; it protects nothing any more.
pub(super) fn sha1(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "sha1")?;
    let len = m.heap.bytes(v).len();
    m.charge(len)?;
    let bytes = m.heap.bytes(v);
    let mut h: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let blocks = (len + 8) / 64 + 1;
    for block in 0..blocks {
        let mut w = [0u32; 80];
        for (i, word) in w.iter_mut().take(16).enumerate() {
            let at = block * 64 + i * 4;
            *word = u32::from_be_bytes([0, 1, 2, 3].map(|k| match at + k {
                i if i < len => bytes[i],
                i if i == len => 0x80,
                i if i >= blocks * 64 - 8 => (len as u64 * 8).to_be_bytes()[i - (blocks * 64 - 8)],
                _ => 0,
            }));
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, word) in h.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(word);
        }
    }
    let mut out = [0; 20];
    for (four, word) in out.chunks_exact_mut(4).zip(h) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    hex(m, &out)
}

// Paths are text; nothing here looks at a file system.

pub(super) fn path_join(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut first = 0;
    for i in 0..n {
        let v = text(m, at + i, "path-join")?;
        // A path that starts at the root makes what was in front of it meaningless.
        if m.heap.bytes(v).first() == Some(&b'/') {
            first = i;
        }
    }
    let (args, heap) = m.args_and_heap(at + first, n - first);
    let mut w = heap.writer()?;
    let mut slash = true;
    for v in args.iter().map(|v| Value(*v)) {
        if !slash {
            w.push_bytes(b"/");
        }
        w.push_text(v);
        // What is empty adds a slash at most.
        slash = w.heap().bytes(v).last().is_none_or(|last| *last == b'/');
    }
    Ok(w.seal()?)
}

/// Start and end of the last part of a path; slashes behind it do not count, nor do parts that are a dot. `..` names nothing.
fn base(path: &[u8]) -> (usize, usize) {
    let mut end = path.len();
    loop {
        end = path[..end].iter().rposition(|b| *b != b'/').map_or(0, |i| i + 1);
        let start = path[..end].iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
        match &path[start..end] {
            b"." => end = start,
            b".." => return (start, start),
            _ => return (start, end),
        }
    }
}

pub(super) fn path_basename(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "path-basename")?;
    let (start, end) = base(m.heap.bytes(v));
    super::string::part(m, v, start, end)
}

pub(super) fn path_dirname(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "path-dirname")?;
    let (start, _) = base(m.heap.bytes(v));
    let end = m.heap.bytes(v)[..start].iter().rposition(|b| *b != b'/').map_or_else(|| usize::from(start > 0), |i| i + 1);
    super::string::part(m, v, 0, end)
}

pub(super) fn path_extension(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at, "path-extension")?;
    let (start, end) = base(m.heap.bytes(v));
    let name = &m.heap.bytes(v)[start..end];
    let dot = name.iter().rposition(|b| *b == b'.').filter(|i| *i > 0);
    let from = dot.map_or(end, |i| start + i + 1);
    super::string::part(m, v, from, end)
}

/// `(slugify name kind)`: a DNS name as part of a name: its dots become underscores, one for several of them in a row; a wildcard and the
/// root are spelt out; the kind follows in lower case.
pub(super) fn slugify(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let a = text(m, at, "slugify")?;
    let b = text(m, at + 1, "slugify")?;
    super::string::build(m, |w| {
        let mut from = 0;
        match w.heap().bytes(a) {
            b"" | b"@" => {
                w.push_bytes(b"root");
                from = usize::MAX;
            }
            [b'*', rest @ ..] if rest.is_empty() || rest.starts_with(b".") => {
                w.push_bytes(b"wildcard");
                from = 1;
            }
            _ => {}
        }
        let mut before = 0;
        while let Some(byte) = w.heap().bytes(a).get(from).copied() {
            from += 1;
            let byte = if byte == b'.' { b'_' } else { byte };
            if byte != b'_' || before != b'_' {
                w.push_bytes(&[byte]);
            }
            before = byte;
        }
        w.push_bytes(b"_");
        for i in 0..w.heap().bytes(b).len() {
            let byte = w.heap().bytes(b)[i].to_ascii_lowercase();
            w.push_bytes(&[byte]);
        }
    })
}
