//! Who ticks next: the scheduler's state, which does no I/O and knows no clock.
//!
//! ```text
//!              told, ask                  next
//!   ──────────► asleep ──────────────────────────────────────► ticking
//!                 ▲                                               │
//!                 └────────── over, troubled, suspended ──────────┘
//! ```
//!
//! **A vigy is in one place at a time**, so its ticks never overlap, whoever asked for them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use vigy_core::{Incarnation, Timestamp, VigyId};

/// What the agenda knows of a vigy, as the store had it at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    /// The life it is in.
    pub(crate) life: Incarnation,
    /// Orders what is told: who reads the store later has a version that is not smaller.
    pub(crate) version: u64,
    /// When it ticks next on its own; nothing when it does not.
    pub(crate) due: Option<Timestamp>,
}

/// A tick that is to begin.
#[derive(Debug)]
pub(crate) struct Start<R> {
    pub(crate) id: VigyId,
    pub(crate) life: Incarnation,
    /// Who asked for it; nobody when it is due.
    pub(crate) request: Option<R>,
}

/// See the [module](self). `R` is what somebody who asks for a tick leaves behind.
#[derive(Debug)]
pub(crate) struct Agenda<R> {
    entries: HashMap<VigyId, Entry<R>>,
    /// Those asleep that are to tick, the most urgent first. Who was asked for comes before all that are due.
    places: BTreeSet<(Timestamp, VigyId)>,
}

#[derive(Debug)]
struct Entry<R> {
    turn: Turn,
    ticking: bool,
    /// Where it stands among the places.
    place: Option<Timestamp>,
    /// Ticks that could not begin or go on, in a row.
    troubles: u32,
    /// Who asked for a tick, the first first.
    requests: VecDeque<R>,
}

impl<R> Default for Agenda<R> {
    fn default() -> Self {
        Self { entries: HashMap::new(), places: BTreeSet::new() }
    }
}

impl<R> Agenda<R> {
    /// Takes up what the store said of a vigy after a change, unless something newer is known.
    pub(crate) fn told(&mut self, id: VigyId, turn: Turn) {
        let new = Entry { turn, ticking: false, place: None, troubles: 0, requests: VecDeque::new() };
        let entry = self.entries.entry(id).or_insert(new);
        if entry.turn.life != turn.life {
            // What was asked of the earlier life hears that it is over.
            *entry = Entry { turn, ticking: false, place: entry.place, troubles: 0, requests: VecDeque::new() };
        } else if entry.turn.version < turn.version {
            (entry.turn, entry.troubles) = (turn, 0);
        }
        self.place(id);
    }

    /// The life that is known of a vigy.
    pub(crate) fn life(&self, id: VigyId) -> Option<Incarnation> {
        self.entries.get(&id).map(|entry| entry.turn.life)
    }

    /// Takes up what the store has just said of a vigy that waits because of trouble.
    pub(crate) fn retry(&mut self, id: VigyId, turn: Turn) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.turn.life == turn.life && entry.troubles > 0 && !entry.ticking)
        {
            (entry.turn, entry.troubles) = (turn, 0);
            self.place(id);
        }
    }

    /// Forgets a vigy, if it is still in this life.
    pub(crate) fn forget(&mut self, id: VigyId, life: Incarnation) {
        if self.entries.get(&id).is_some_and(|entry| entry.turn.life == life)
            && let Some(Entry { place: Some(place), .. }) = self.entries.remove(&id)
        {
            self.places.remove(&(place, id));
        }
    }

    /// Somebody asks for a tick of a vigy that the store had as `turn`: at once, or after the one in flight.
    pub(crate) fn ask(&mut self, id: VigyId, turn: Turn, request: R) {
        self.told(id, turn);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.requests.push_back(request);
            self.place(id);
        }
    }

    /// The next tick that is to begin at `now`; nothing while none is.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Start<R>> {
        let (_, id) = self.places.first().copied().filter(|(due, _)| *due <= now)?;
        let entry = self.entries.get_mut(&id)?;
        entry.ticking = true;
        let request = entry.requests.pop_front();
        let start = Start { id, life: entry.turn.life, request };
        self.place(id);
        Some(start)
    }

    /// When the next tick is due.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.places.first().map(|(due, _)| *due)
    }

    /// A tick is over, and the store had the vigy as `turn` then.
    pub(crate) fn over(&mut self, id: VigyId, turn: Turn) {
        self.rest(id, turn.life, |entry| {
            if turn.version >= entry.turn.version {
                entry.turn = turn;
            }
            entry.troubles = 0;
        });
    }

    /// A tick could not begin or go on: the store or the host is in trouble, for the `n`th time in a row, from 0. It is tried again after
    /// `wait(n)`.
    pub(crate) fn troubled(&mut self, id: VigyId, life: Incarnation, now: Timestamp, wait: impl FnOnce(u32) -> u64) {
        self.rest(id, life, |entry| {
            let again = now.plus(wait(entry.troubles));
            entry.troubles = entry.troubles.saturating_add(1);
            entry.turn.due = entry.turn.due.map(|_| again);
        });
    }

    /// A tick cannot be on this host: the vigy sleeps until the store has something new to say of it.
    pub(crate) fn suspended(&mut self, id: VigyId, life: Incarnation) {
        self.rest(id, life, |entry| entry.turn.due = None);
    }

    fn rest(&mut self, id: VigyId, life: Incarnation, note: impl FnOnce(&mut Entry<R>)) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.turn.life == life && entry.ticking) {
            entry.ticking = false;
            note(entry);
            self.place(id);
        }
    }

    /// Puts a vigy in its place, after a change.
    fn place(&mut self, id: VigyId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let place = match entry.turn.due {
            _ if entry.ticking => None,
            _ if !entry.requests.is_empty() => Some(Timestamp(0)),
            due => due,
        };
        if place != entry.place {
            if let Some(before) = std::mem::replace(&mut entry.place, place) {
                self.places.remove(&(before, id));
            }
            self.places.extend(place.map(|place| (place, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, as simply as it can be said: a list that is searched.
    #[derive(Default)]
    struct Model(Vec<Modelled>);

    struct Modelled {
        id: VigyId,
        turn: Turn,
        ticking: bool,
        requests: Vec<u32>,
    }

    impl Model {
        fn find(&mut self, id: VigyId) -> Option<&mut Modelled> {
            self.0.iter_mut().find(|vigy| vigy.id == id)
        }

        fn told(&mut self, id: VigyId, turn: Turn) {
            let new = Modelled { id, turn, ticking: false, requests: Vec::new() };
            match self.find(id) {
                Some(vigy) if vigy.turn.life != turn.life => *vigy = new,
                Some(vigy) if vigy.turn.version < turn.version => vigy.turn = turn,
                Some(_) => {}
                None => self.0.push(new),
            }
        }

        fn urgent(&self) -> Option<(Timestamp, VigyId)> {
            let asleep = self.0.iter().filter(|vigy| !vigy.ticking);
            asleep.filter_map(|vigy| Some((if vigy.requests.is_empty() { vigy.turn.due? } else { Timestamp(0) }, vigy.id))).min()
        }

        fn next(&mut self, now: Timestamp) -> Option<(VigyId, Incarnation, Option<u32>)> {
            let (_, id) = self.urgent().filter(|(due, _)| *due <= now)?;
            let vigy = self.find(id)?;
            assert!(!std::mem::replace(&mut vigy.ticking, true), "two ticks of one vigy");
            Some((id, vigy.turn.life, (!vigy.requests.is_empty()).then(|| vigy.requests.remove(0))))
        }

        fn rest(&mut self, id: VigyId, life: Incarnation, note: impl FnOnce(&mut Turn)) {
            if let Some(vigy) = self.find(id).filter(|vigy| vigy.ticking && vigy.turn.life == life) {
                vigy.ticking = false;
                note(&mut vigy.turn);
            }
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        fn turn(&mut self, now: Timestamp) -> Turn {
            let due = (self.below(4) > 0).then(|| now.plus(self.below(50)));
            Turn { life: Incarnation(self.below(20) / 19), version: self.below(6), due }
        }
    }

    #[test]
    fn the_agenda_is_what_a_searched_list_would_be() {
        for seed in 1..=300 {
            let (mut agenda, mut model, mut random) = (Agenda::default(), Model::default(), Random(seed));
            let mut now = Timestamp(1000);
            let mut flying: Vec<(VigyId, Incarnation)> = Vec::new();
            for step in 0..400 {
                let id = VigyId(random.below(5));
                match random.below(9) {
                    0 => {
                        let turn = random.turn(now);
                        agenda.told(id, turn);
                        model.told(id, turn);
                    }
                    1 => {
                        let turn = random.turn(now);
                        agenda.ask(id, turn, step);
                        model.told(id, turn);
                        model.find(id).unwrap().requests.push(step);
                    }
                    2 if random.below(10) == 0 => {
                        let life = Incarnation(random.below(2));
                        agenda.forget(id, life);
                        model.0.retain(|vigy| vigy.id != id || vigy.turn.life != life);
                    }
                    3..=5 if !flying.is_empty() => {
                        let (id, life) = flying.swap_remove(random.below(flying.len() as u64) as usize);
                        let turn = Turn { life, ..random.turn(now) };
                        match random.below(4) {
                            0 => {
                                agenda.troubled(id, life, now, |_| 7);
                                model.rest(id, life, |turn| turn.due = turn.due.map(|_| now.plus(7)));
                            }
                            1 => {
                                agenda.suspended(id, life);
                                model.rest(id, life, |turn| turn.due = None);
                            }
                            _ => {
                                agenda.over(id, turn);
                                model.rest(id, life, |known| *known = if turn.version >= known.version { turn } else { *known });
                            }
                        }
                    }
                    _ => {
                        // The clock jumps, too.
                        now = if random.below(30) == 0 { Timestamp(random.below(3000)) } else { now.plus(random.below(10)) };
                        let start = agenda.next(now).map(|start| (start.id, start.life, start.request));
                        assert_eq!(start, model.next(now), "seed {seed}, step {step}");
                        flying.extend(start.map(|(id, life, _)| (id, life)));
                    }
                }
                assert_eq!(agenda.deadline(), model.urgent().map(|(due, _)| due), "seed {seed}, step {step}");
            }
        }
    }

    fn turn(version: u64, due: u64) -> Turn {
        Turn { life: Incarnation(1), version, due: Some(Timestamp(due)) }
    }

    #[test]
    fn what_is_told_late_changes_nothing() {
        let mut agenda = Agenda::<()>::default();
        agenda.told(VigyId(1), turn(2, 10));
        agenda.told(VigyId(1), turn(1, 5));
        assert_eq!(agenda.deadline(), Some(Timestamp(10)));
        assert!(agenda.next(Timestamp(9)).is_none() && agenda.next(Timestamp(10)).is_some());
        assert_eq!(agenda.deadline(), None, "it ticks");
    }

    #[test]
    fn a_vigy_that_cannot_tick_is_tried_again_later_and_later() {
        let mut agenda = Agenda::<()>::default();
        agenda.told(VigyId(1), turn(1, 10));
        for (now, again) in [(10, 11), (11, 13), (13, 17)] {
            let start = agenda.next(Timestamp(now)).unwrap();
            agenda.troubled(start.id, start.life, Timestamp(now), |times| 1 << times);
            assert_eq!(agenda.deadline(), Some(Timestamp(again)));
        }
    }

    #[test]
    fn an_idle_vigy_takes_little_memory() {
        assert!(size_of::<(VigyId, Entry<Box<()>>)>() <= 104);
    }
}
