//! A disk that remembers what was done to it, and what can be left of that when the power goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// Random numbers: splitmix64 (<https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// What was done to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write { at: u64, bytes: Arc<[u8]> },
    Resize(u64),
    Sync,
}

const PAGE: u64 = 4096;

/// The bytes of a disk: a base that many images share, and pages that differ from it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Image {
    base: Arc<Vec<u8>>,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    len: u64,
}

impl Image {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { base: Arc::new(bytes), pages: BTreeMap::new(), len }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// Makes what was written the base of the images to come.
    pub(crate) fn settle(&mut self) {
        *self = Self::of(self.bytes());
    }

    fn page(&self, page: u64) -> [u8; PAGE as usize] {
        if let Some(page) = self.pages.get(&page) {
            return **page;
        }
        let mut bytes = [0; PAGE as usize];
        let start = ((page * PAGE) as usize).min(self.base.len());
        let end = (start + PAGE as usize).min(self.base.len());
        bytes[..end - start].copy_from_slice(&self.base[start..end]);
        bytes
    }

    fn read(&self, at: u64, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let here = at + done as u64;
            let (page, offset) = (here / PAGE, (here % PAGE) as usize);
            let count = (PAGE as usize - offset).min(out.len() - done);
            out[done..done + count].copy_from_slice(&self.page(page)[offset..offset + count]);
            done += count;
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let here = at + done as u64;
            let (page, offset) = (here / PAGE, (here % PAGE) as usize);
            let count = (PAGE as usize - offset).min(bytes.len() - done);
            let mut new = self.page(page);
            new[offset..offset + count].copy_from_slice(&bytes[done..done + count]);
            self.pages.insert(page, Box::new(new));
            done += count;
        }
        self.len = self.len.max(at + bytes.len() as u64);
    }

    fn resize(&mut self, len: u64) {
        if len < self.len {
            // What comes back after a cut is zero.
            let zeros = vec![0; (self.len - len) as usize];
            self.write(len, &zeros);
        }
        self.len = len;
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { at, bytes } => self.write(*at, bytes),
            Op::Resize(len) => self.resize(*len),
            Op::Sync => {}
        }
    }
}

/// What the power may leave of the writes that were not synced yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    Nothing,
    Everything,
    Subset,
    Reorder,
    Sectors,
    Bytes,
}

impl Loss {
    pub(crate) const ALL: [Self; 6] = [Self::Nothing, Self::Everything, Self::Subset, Self::Reorder, Self::Sectors, Self::Bytes];

    /// What is left on the disk of `base` and the writes after its last sync.
    pub(crate) fn image(self, base: &Image, pending: &[Op], random: &mut Random) -> Image {
        let mut image = base.clone();
        let mut left: Vec<&Op> = match self {
            Self::Everything => Vec::new(),
            Self::Subset | Self::Reorder => pending.iter().filter(|_| random.coin()).collect(),
            Self::Nothing | Self::Sectors | Self::Bytes => pending.iter().collect(),
        };
        if self == Self::Reorder {
            for at in (1..left.len()).rev() {
                left.swap(at, random.below(at + 1));
            }
        }
        let torn = random.below(left.len());
        for (nth, op) in left.into_iter().enumerate() {
            match op {
                Op::Write { at, bytes } if nth == torn && self == Self::Sectors => {
                    for (sector, bytes) in bytes.chunks(512).enumerate() {
                        if random.coin() {
                            image.write(at + sector as u64 * 512, bytes);
                        }
                    }
                }
                Op::Write { at, bytes } if nth == torn && self == Self::Bytes => {
                    let cut = random.below(bytes.len() + 1);
                    let kept = if random.coin() { 0..cut } else { cut..bytes.len() };
                    image.write(at + kept.start as u64, &bytes[kept]);
                }
                op => image.apply(op),
            }
        }
        image
    }
}

/// How a disk lies about what it has synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    None,
    /// A sync does nothing.
    NeverSyncs,
    /// A sync leaves out the write before it.
    SyncsTooEarly,
}

#[derive(Debug)]
pub(crate) struct Tape {
    pub(crate) image: Image,
    pub(crate) ops: Vec<Op>,
    lie: Lie,
}

/// A disk whose every write, resize and sync is on a tape.
#[derive(Clone, Debug)]
pub(crate) struct Disk(pub(crate) Arc<Mutex<Tape>>);

impl Disk {
    pub(crate) fn of(image: Image, lie: Lie) -> Self {
        Self(Arc::new(Mutex::new(Tape { image, ops: Vec::new(), lie })))
    }
    pub(crate) fn ops(&self) -> usize {
        self.0.lock().unwrap().ops.len()
    }
    fn done(&self, op: Op) -> io::Result<()> {
        let mut tape = self.0.lock().unwrap();
        tape.image.apply(&op);
        let last = tape.ops.len();
        match (&op, tape.lie) {
            (Op::Sync, Lie::NeverSyncs) => {}
            (Op::Sync, Lie::SyncsTooEarly) if last > 0 => tape.ops.insert(last - 1, op),
            _ => tape.ops.push(op),
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().image.len)
    }
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let tape = self.0.lock().unwrap();
        if at + out.len() as u64 > tape.image.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        tape.image.read(at, out);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.done(Op::Resize(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.done(Op::Sync)
    }
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.done(Op::Write { at, bytes: data.into() })
    }
}
