//! Images changed on purpose, as by somebody who knows the format.

use std::sync::LazyLock;

use vigy_lisp::{CompileOptions, compile};

/// Programs that use every instruction and every kind of constant between them.
const PROGRAMS: &[&str] = &[
    "(define (f n acc) (if (< n 1) acc (f (- n 1) (cons n acc)))) (f 20 ())",
    "(let* ((n 0) (up (lambda () (set! n (+ n 1)) n))) (up) (up) (list n (up)))",
    "(try (map (lambda (x) (if (= x 3) (throw :three) (* x 2))) '(1 2 3 4)) (catch (e) (list e :caught)) (finally (println \"end\")))",
    "(define m '{:a 1 :b (2 3.5 \"text\" sym) \"k\" {:x 1e300}}) (list (get m :a) (get m \"k\") (:b m) (assoc m :c 4))",
    "(define big '{1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j 11 k}) (loop [i 0 s 0] (if (< i 12) (recur (+ i 1) (if (get big i) (+ s 1) s)) s))",
    "(define (g a &optional b &rest more) (list a b more)) (list (g 1) (apply g '(1 2 3 4)) (apply + 1 '(2 3)))",
    "(define (deep n) (+ 1 (deep n))) (try (deep 0) (catch (e) (try (error-tag e) (catch (x) x))))",
    "(define c (chan 2)) (>! c 1) (define f (go (lambda () (>! c 2) (<! c)))) (go-run f) (list (<! c) (chan-len c) (go-result f))",
    "(let loop ((i 0) (fs ())) (if (< i 5) (loop (+ i 1) (cons (lambda (x) (list x i)) fs)) (map (lambda (f) (f 9)) fs)))",
    "(define p (delay (+ 1 2))) (list (force p) (force p) (string-append \"a\" (str 1.5 :k 'x)) 4611686018427387904 -0.0)",
    "(list (ask 1 2) (try (tell :x) (catch (e) (error-message e))) (sort < '(3 1 2)) (group-by odd? '(1 2 3)) (read-string \"(1 [2] {3 4})\"))",
    "(while #t (begin (display \"x\") (define y (json-parse \"[1, {\\\"a\\\": 2}]\"))))",
];

static IMAGES: LazyLock<Vec<Vec<u64>>> = LazyLock::new(|| {
    let options = CompileOptions { hosts: super::targets::HOSTS, force: true, ..CompileOptions::default() };
    let words = |text: &&str| compile(text, &options).unwrap_or_else(|e| panic!("{e}")).program().words().to_vec();
    PROGRAMS.iter().map(words).collect()
});

/// Words in front of the table of sections, and sections.
const HEADER: usize = 7;
const SECTIONS: usize = 12;

/// The image that the first byte names, changed as the others say; `None` when there are none.
#[must_use]
pub fn image(data: &[u8]) -> Option<Vec<u64>> {
    let (which, changes) = data.split_first()?;
    let mut words = IMAGES[usize::from(*which) % IMAGES.len()].clone();
    for change in changes.chunks_exact(8) {
        apply(&mut words, change);
    }
    words[2] = checksum(&words[3..]);
    Some(words)
}

fn apply(words: &mut [u64], change: &[u8]) {
    let [section, kind, i0, i1, v0, v1, v2, v3] = *change else { return };
    let index = usize::from(u16::from_le_bytes([i0, i1]));
    let number = u32::from_le_bytes([v0, v1, v2, v3]);
    // Past the sections comes the table of sections itself.
    let (start, len) = match words.get(HEADER + usize::from(section) % (SECTIONS + 1)) {
        Some(entry) if usize::from(section) % (SECTIONS + 1) < SECTIONS => ((entry >> 32) as usize, *entry as u32 as usize),
        _ => (HEADER, SECTIONS),
    };
    let Some(stretch) = start.checked_add(len).and_then(|end| words.get_mut(start..end)).filter(|s| !s.is_empty()) else { return };
    let count = stretch.len();
    let other = stretch[number as usize % count];
    let word = &mut stretch[index / 2 % count];
    let shift = 32 * (index as u32 & 1);
    let half = (*word >> shift) as u32;
    let set = |word: &mut u64, half: u32| *word = *word & !(0xffff_ffff << shift) | u64::from(half) << shift;
    match kind % 8 {
        0 => set(word, number),
        1 => set(word, half.wrapping_add(u32::from(v0)).wrapping_sub(u32::from(v1))),
        2 => set(word, half ^ 1 << (v0 % 32)),
        // One byte: an operand.
        3 => set(word, half & !(0xff << (8 * (v1 % 4))) | u32::from(v0) << (8 * (v1 % 4))),
        4 => *word = other,
        5 => *word = u64::from(number),
        6 => *word = u64::from(number) << 32 | u64::from(v0),
        _ => *word ^= 1 << (v0 % 64),
    }
}

/// The checksum that images carry, by who knows how it is made.
fn checksum(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let half = bytes.len() / 16 * 8;
    u64::from(hash(&bytes)) << 32 | u64::from(hash(&bytes[half..]))
}

fn hash(bytes: &[u8]) -> u32 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    // The bytes are whole words.
    let words = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    let hash = words.fold(bytes.len() as u64, |hash, word| (hash.rotate_left(5) ^ word).wrapping_mul(MIX));
    ((hash ^ hash >> 32).wrapping_mul(MIX) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use vigy_lisp::Program;

    #[test]
    fn an_image_that_nobody_changed_is_one() {
        for which in 0..super::PROGRAMS.len() {
            let words = super::image(&[which as u8]).expect("an image");
            Program::load(&words).expect("nothing was changed");
        }
    }
}
